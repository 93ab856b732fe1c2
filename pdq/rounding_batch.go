package pdq

import (
	"math"

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

// predictions returns the number of images of a step whose logits the graph reads.
func (r *Rounder) predictions() int {
	if !r.needsLogits() {
		return r.opt.size
	}
	return max(1, int(math.Round(float64(r.opt.size)*(1-r.q.c.Loss.Skip))))
}

// mostParts returns into how many parts a batch can be cut so that the logits of some image of each are read.
func (r *Rounder) mostParts() int {
	apart := (r.opt.size + r.predictions() - 1) / r.predictions() // from one such image to the next, at most
	return r.opt.size / apart
}

// ordered returns lo to hi-1, the positions of a part's images in the batch, in the order in which the graph takes
// them: first those, predicted in number, whose logits it reads. These lie at equal distances in the batch, whatever
// its parts.
func (r *Rounder) ordered(lo, hi int) (positions []int, predicted int) {
	var others []int
	of, next := r.predictions(), 0
	for i := range hi {
		first, _ := exec.Part(r.opt.size, of, next)
		switch {
		case next < of && i == first:
			next++
			if i >= lo {
				positions = append(positions, i)
			}
		case i >= lo:
			others = append(others, i)
		}
	}
	return append(positions, others...), len(positions)
}

// part returns the graph's arguments for images lo to hi-1 of the batch of step t: inputs, target, logits and masks.
// The caller frees them, also after an error.
func (r *Rounder) part(t int, batch []int, lo, hi int) ([]*tensors.Tensor, error) {
	positions, predicted := r.ordered(lo, hi)
	rngs, indices := make([]coins, hi-lo), make([]int, hi-lo)
	for i, at := range positions {
		rngs[i] = coins{stream(r.q.c.Seed, r.d.Unit, t, at), r.spread}
		indices[i] = batch[at]
	}
	again := 0 // images that go through the unit a second time
	if r.passes() == 2 {
		again = predicted
	}
	in, err := r.inputs(indices, again, rngs)
	ts := []*tensors.Tensor{in}
	for _, of := range []struct {
		*Cache
		indices []int
	}{{r.d.Target, indices}, {r.d.Logits, indices[:predicted]}} {
		if err != nil {
			return ts, err
		}
		t := tensors.FromShape(of.Shape(len(of.indices)))
		ts = append(ts, t)
		err = exec.Mutate(t, func(flat []float32) error { return of.Gather(flat, of.indices) })
	}
	if err != nil || !r.drops() {
		return ts, err
	}
	masks, err := r.masks(rngs, again)
	return append(ts, masks...), err
}

// inputs returns the unit's inputs for all passes, [B+again,C,H,W]: first the student's, mixed element by element with
// the teacher's corrected ones, then the student's of the first again images as they are.
func (r *Rounder) inputs(indices []int, again int, rngs []coins) (*tensors.Tensor, error) {
	n := len(indices)
	t := tensors.FromShape(r.d.StudentIn.Shape(n + again))
	return t, exec.Mutate(t, func(flat []float32) error {
		first := flat[:len(flat)/(n+again)*n]
		if err := r.d.StudentIn.Gather(first, indices); err != nil {
			return err
		}
		copy(flat[len(first):], first)
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

// masks draws, for each of the unit's quantised activations, the elements that are quantised: of the step's images,
// then of the first again of them once more.
func (r *Rounder) masks(rngs []coins, again int) ([]*tensors.Tensor, error) {
	var ms []*tensors.Tensor
	outputs, images := r.q.folded.Shapes(), len(rngs)+again
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
