package pdq

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
)

// A step's images are drawn, gathered and mixed here, on the host, from streams that are the same
// on every backend; a gather within the graph costs a copy of all images on ONNX Runtime.

// arguments returns the next step's: state, schedule, inputs, target, logits and masks. All but
// the state are the step's own, to be freed after it, also after an error.
func (r *Rounder) arguments() (args []any, own []*tensors.Tensor, err error) {
	for _, t := range r.state {
		args = append(args, t)
	}
	indices := datasets.Sample(r.rng, r.size(), r.d.StudentIn.Shape().Dim(0))
	own = []*tensors.Tensor{tensors.FromValue(r.schedule(r.done))}
	in, err := r.inputs(indices)
	if err != nil {
		return nil, own, err
	}
	own = append(own, in)
	for _, t := range []*tensors.Tensor{r.d.Target, r.d.Logits} {
		part := tensors.FromShape(batchShape(t, len(indices)))
		own = append(own, part)
		if err := mutate(part, func(flat []float32) error { return gather(flat, t, indices) }); err != nil {
			return nil, own, err
		}
	}
	masks, err := r.masks()
	own = append(own, masks...)
	for _, t := range own {
		args = append(args, t)
	}
	return args, own, err
}

// size is the number of images in a batch.
func (r *Rounder) size() int {
	return min(r.q.c.Rounding.BatchSize, r.d.StudentIn.Shape().Dim(0))
}

// passes is how many times a step's images go through the unit: once with mixed inputs for
// the reconstruction, and once as they are for PD, unless both are the same.
func (r *Rounder) passes() int {
	if r.layout.pd && (r.layout.mix || r.layout.drop) {
		return 2
	}
	return 1
}

// inputs returns the unit's inputs for all passes, [passes·B,C,H,W]: those that are mixed element
// by element from the student's and the corrected teacher's, before those that are the student's.
func (r *Rounder) inputs(indices []int) (*tensors.Tensor, error) {
	t := tensors.FromShape(batchShape(r.d.StudentIn, r.passes()*len(indices)))
	return t, mutate(t, func(flat []float32) error {
		first := flat[:len(flat)/r.passes()]
		if err := gather(first, r.d.StudentIn, indices); err != nil {
			return err
		}
		copy(flat[len(flat)-len(first):], first)
		if !r.layout.mix {
			return nil
		}
		corrected := make([]float32, len(first))
		if err := gather(corrected, r.d.CorrectedIn, indices); err != nil {
			return err
		}
		r.random.mix(first, corrected, r.q.c.Rounding.InputDrop)
		return nil
	})
}

// masks draws which elements of each of the unit's activations stay quantised.
func (r *Rounder) masks() ([]*tensors.Tensor, error) {
	var ms []*tensors.Tensor
	if !r.layout.drop {
		return nil, nil
	}
	outputs := r.q.folded.Shapes()
	for _, name := range r.layout.acts {
		dims := append([]int{r.size() * r.passes()}, outputs[r.q.folded.Index(name)]...)
		t := tensors.FromShape(shapes.Make(dtypes.Bool, dims...))
		ms = append(ms, t)
		err := tensors.MutableFlatData(t, func(keep []bool) { r.random.fill(keep, 1-r.q.c.Rounding.ActDrop) })
		if err != nil {
			return ms, err
		}
	}
	return ms, nil
}

// batchShape is t's shape with n images.
func batchShape(t *tensors.Tensor, n int) shapes.Shape {
	s := t.Shape().Clone()
	s.Dimensions[0] = n
	return s
}

// mutate lets f write to t's values.
func mutate(t *tensors.Tensor, f func(flat []float32) error) error {
	var inner error
	if err := tensors.MutableFlatData(t, func(flat []float32) { inner = f(flat) }); err != nil {
		return err
	}
	return inner
}

// gather copies the elements of t's first axis at indices to the slice to, in that order.
func gather(to []float32, t *tensors.Tensor, indices []int) error {
	per := len(to) / len(indices)
	return tensors.ConstFlatData(t, func(all []float32) {
		for i, k := range indices {
			copy(to[i*per:(i+1)*per], all[k*per:(k+1)*per])
		}
	})
}
