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

// again returns how many of a part's images go through the unit a second time in step t, without mixed inputs: those
// whose logits are read, predicted in number, and those with kept gradients. If both passes are the same, it returns 0.
func (r *Rounder) again(t, images, predicted int) int {
	switch {
	case !r.predicts(t) || !r.mixes() && !r.drops():
		return 0
	case r.kept != nil:
		return images
	}
	return predicted
}

// predicts says whether step t computes the terms that read the student's logits: every Loss.Every-th does. A negative
// t is a measurement, which does.
func (r *Rounder) predicts(t int) bool {
	return r.needsLogits() && (t < 0 || t%max(r.q.c.Loss.Every, 1) == 0)
}

// draw returns the indices of the images of step t. With Loss.Reuse, those whose logits are read are the images of the
// batch with the oldest gradients.
func (r *Rounder) draw(t int) []int {
	batch := datasets.Sample(stream(r.q.c.Seed, r.d.Unit, t, -1), r.opt.size, r.d.StudentIn.Len())
	if r.kept == nil {
		return batch
	}
	order, _ := r.ordered(0, r.opt.size)
	return r.kept.oldestFirst(batch, order)
}

// fresh returns the images of a batch in the order of Rounder.ordered: those whose logits are read, then the others.
func (r *Rounder) fresh(batch []int) (fresh, others []int) {
	order, n := r.ordered(0, len(batch))
	images := make([]int, len(batch))
	for i, at := range order {
		images[i] = batch[at]
	}
	return images[:n], images[n:]
}

// counted returns how many images of a batch have their part in the terms that read the student's logits: those whose
// logits are read, and those with kept gradients.
func (r *Rounder) counted(batch []int) int {
	fresh, others := r.fresh(batch)
	if r.kept == nil {
		return len(fresh)
	}
	return len(fresh) + r.kept.count(others)
}

// keep keeps the gradients that a step with this batch has computed.
func (r *Rounder) keep(batch []int, computed []*tensors.Tensor) error {
	if len(computed) == 0 {
		return nil
	}
	fresh, others := r.fresh(batch)
	return r.kept.update(others, fresh, computed, float32(r.counted(batch)))
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

// part returns the graph's arguments for images lo to hi-1 of the batch of step t: inputs, target, logits, masks and
// the kept gradients of the images whose logits aren't read. The caller frees them, also after an error.
func (r *Rounder) part(t int, batch []int, lo, hi int) ([]*tensors.Tensor, error) {
	positions, predicted := r.ordered(lo, hi)
	rngs, indices := make([]coins, hi-lo), make([]int, hi-lo)
	for i, at := range positions {
		rngs[i] = coins{stream(r.q.c.Seed, r.d.Unit, t, at), r.spread}
		indices[i] = batch[at]
	}
	again := r.again(t, hi-lo, predicted)
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
	if err == nil && r.drops() {
		masks, failed := r.masks(rngs, again)
		ts, err = append(ts, masks...), failed
	}
	if err == nil && r.predicts(t) && r.kept != nil && predicted < hi-lo {
		kept, failed := r.kept.tensor(indices[predicted:], 1/float32(r.counted(batch)))
		ts, err = append(ts, kept), failed
	}
	return ts, err
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
