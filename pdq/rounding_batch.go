package pdq

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// The images of a step are drawn, gathered and mixed here, on the host, with random numbers that are the same on every
// backend. Gathering them in the graph would copy all images on ONNX Runtime.

// drops says whether activations are randomly left unquantised.
func (r *Rounder) drops() bool { return r.q.c.Rounding.ActDrop > 0 }

// mixes says whether the student's inputs are mixed with the teacher's corrected ones.
func (r *Rounder) mixes() bool { return r.q.c.Rounding.InputDrop > 0 }

// passes returns how many times the images of a step go through the unit: once with mixed inputs and unquantised
// activations, for the unit's output, and once without them, for the logits. If both are the same, it returns 1.
func (r *Rounder) passes() int {
	if r.needsLogits() && (r.mixes() || r.drops()) {
		return 2
	}
	return 1
}

// draw returns the indices of the images of step t.
func (r *Rounder) draw(t int) []int {
	return datasets.Sample(stream(r.q.c.Seed, r.d.Unit, t, -1), r.opt.size, r.d.StudentIn.Len())
}

// part returns the graph's arguments for images lo to hi-1 of the batch of step t: inputs, target, logits and masks.
// The caller frees them, also after an error.
func (r *Rounder) part(t int, batch []int, lo, hi int) ([]*tensors.Tensor, error) {
	rngs := make([]coins, hi-lo)
	for i := range rngs {
		rngs[i] = coins{stream(r.q.c.Seed, r.d.Unit, t, lo+i), r.spread}
	}
	indices := batch[lo:hi]
	in, err := r.inputs(indices, rngs)
	ts := []*tensors.Tensor{in}
	for _, of := range []*Cache{r.d.Target, r.d.Logits} {
		if err != nil {
			return ts, err
		}
		t := tensors.FromShape(of.Shape(len(indices)))
		ts = append(ts, t)
		err = exec.Mutate(t, func(flat []float32) error { return of.Gather(flat, indices) })
	}
	if err != nil || !r.drops() {
		return ts, err
	}
	masks, err := r.masks(rngs)
	return append(ts, masks...), err
}

// inputs returns the unit's inputs for all passes, [passes·B,C,H,W]: first the student's, mixed element by element with
// the teacher's corrected ones, then the student's as they are.
func (r *Rounder) inputs(indices []int, rngs []coins) (*tensors.Tensor, error) {
	t := tensors.FromShape(r.d.StudentIn.Shape(r.passes() * len(indices)))
	return t, exec.Mutate(t, func(flat []float32) error {
		first := flat[:len(flat)/r.passes()]
		if err := r.d.StudentIn.Gather(first, indices); err != nil {
			return err
		}
		copy(flat[len(flat)-len(first):], first)
		if !r.mixes() {
			return nil
		}
		corrected := make([]float32, len(first))
		if err := r.d.CorrectedIn.Gather(corrected, indices); err != nil {
			return err
		}
		for i, rng := range rngs {
			lo, hi := exec.Part(len(first), len(rngs), i)
			rng.mix(first[lo:hi], corrected[lo:hi], r.q.c.Rounding.InputDrop)
		}
		return nil
	})
}

// masks draws, for each of the unit's quantised activations, the elements that are quantised.
func (r *Rounder) masks(rngs []coins) ([]*tensors.Tensor, error) {
	var ms []*tensors.Tensor
	outputs, images := r.q.folded.Shapes(), len(rngs)*r.passes()
	for _, v := range r.acts {
		dims := append([]int{images}, outputs[r.q.folded.Index(v.layer)]...)
		t := tensors.FromShape(shapes.Make(dtypes.Bool, dims...))
		ms = append(ms, t)
		err := tensors.MutableFlatData(t, func(keep []bool) {
			for i := range images {
				lo, hi := exec.Part(len(keep), images, i)
				rngs[i%len(rngs)].fill(keep[lo:hi], 1-r.q.c.Rounding.ActDrop)
			}
		})
		if err != nil {
			return ms, err
		}
	}
	return ms, nil
}
