package exec

import (
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// StepGraphs are the compiled graphs of an optimiser's step. If a batch is one part, whole is the whole step. Else
// gradients computes the gradients on a part of the batch, and apply applies their sum. After the results meant for
// apply, gradients may return others of the part's images, and so may whole after those of apply.
type StepGraphs struct {
	parts        int // of a batch
	workers      int // parts computed at the same time
	whole, apply *Exec
	gradients    *Shared
}

// NewStepGraphs prepares the graphs for batches that are cut into parts, of which workers are computed at the same
// time.
func NewStepGraphs(b compute.Backend, workers, parts int,
	whole, gradients, apply func(args []*Node) []*Node) (s StepGraphs, err error) {
	s.parts, s.workers = max(parts, 1), max(workers, 1)
	if s.parts == 1 {
		s.whole, err = NewExec(b, whole)
		return s, err
	}
	if s.gradients, err = NewShared(b, gradients); err != nil {
		return s, err
	}
	s.apply, err = NewExec(b, apply)
	return s, err
}

// Finalize frees the graphs.
func (s StepGraphs) Finalize() {
	for _, e := range []*Exec{s.whole, s.apply} {
		if e != nil {
			e.Finalize()
		}
	}
	if s.gradients != nil {
		s.gradients.Finalize()
	}
}

// Step computes a step from state. It returns the next state and its report, which are the results of apply, and the
// results of the images, part by part. The first arguments of gradients are read, and as many results, and the losses,
// go to apply. part makes the other arguments, for images lo to hi-1 of a batch of size images.
func (s StepGraphs) Step(b compute.Backend, state, read []*tensors.Tensor, schedule []float32, size int,
	part func(lo, hi int) ([]*tensors.Tensor, error)) (next, images []*tensors.Tensor, err error) {
	now := tensors.FromValue(schedule)
	defer Free(now)
	if s.parts == 1 {
		all, err := part(0, size)
		defer Free(all...)
		if err != nil {
			return nil, nil, err
		}
		out, err := Call(s.whole, state, []*tensors.Tensor{now}, all)
		if err != nil {
			return nil, nil, err
		}
		return out[:len(state)+1], out[len(state)+1:], nil
	}
	if err := ToDevice(b, read); err != nil {
		return nil, nil, err
	}
	grads, own := make([][]*tensors.Tensor, s.parts), make([][]*tensors.Tensor, s.parts)
	defer func() { Free(slices.Concat(grads...)...) }()
	err = Parallel(len(grads), s.workers, func(k int) error {
		lo, hi := Part(size, len(grads), k)
		ts, err := part(lo, hi)
		defer Free(ts...)
		if err != nil {
			return err
		}
		out, err := Call(s.gradients, read, ts)
		if err != nil {
			return err
		}
		grads[k], own[k] = out[:len(read)+1], out[len(read)+1:]
		return nil
	})
	if err == nil {
		next, err = Call(s.apply, append([][]*tensors.Tensor{state, {now}}, grads...)...)
	}
	images = slices.Concat(own...)
	if err != nil {
		Free(images...)
		return nil, nil, err
	}
	return next, images, nil
}
