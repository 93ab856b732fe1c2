package pdq

import (
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// stepGraphs are the compiled graphs of an optimiser's step. One worker has one graph for the whole step; several have
// one for the gradients of a part of the batch, and one that applies their sum.
type stepGraphs struct {
	parts        int // into which a batch is cut, one for each worker
	whole, apply *Exec
	gradients    *sharedExec
}

// newStepGraphs prepares the graphs for batches of size images and for workers.
func newStepGraphs(b compute.Backend, workers, size int,
	whole, gradients, apply func(args []*Node) []*Node) (s stepGraphs, err error) {
	s.parts = min(max(workers, 1), size)
	if s.parts == 1 {
		s.whole, err = NewExec(b, whole)
		return s, err
	}
	if s.gradients, err = newSharedExec(b, gradients); err != nil {
		return s, err
	}
	s.apply, err = NewExec(b, apply)
	return s, err
}

func (s stepGraphs) finalize() {
	for _, e := range []*Exec{s.whole, s.apply} {
		if e != nil {
			e.Finalize()
		}
	}
	if s.gradients != nil {
		s.gradients.Finalize()
	}
}

// advance computes a step from state and returns what apply does. read are the first arguments of gradients; part makes
// the others for images lo to hi-1 of a batch of size images.
func (s stepGraphs) advance(b compute.Backend, state, read []*tensors.Tensor, schedule []float32, size int,
	part func(lo, hi int) ([]*tensors.Tensor, error)) ([]*tensors.Tensor, error) {
	now := tensors.FromValue(schedule)
	defer free(now)
	if s.parts == 1 {
		all, err := part(0, size)
		defer free(all...)
		if err != nil {
			return nil, err
		}
		return call(s.whole, state, []*tensors.Tensor{now}, all)
	}
	if err := toDevice(b, read); err != nil {
		return nil, err
	}
	grads := make([][]*tensors.Tensor, s.parts)
	defer func() { free(slices.Concat(grads...)...) }()
	err := sideBySide(len(grads), len(grads), func(k int) error {
		lo, hi := share(size, len(grads), k)
		ts, err := part(lo, hi)
		defer free(ts...)
		if err != nil {
			return err
		}
		grads[k], err = call(s.gradients, read, ts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return call(s.apply, append([][]*tensors.Tensor{state, {now}}, grads...)...)
}

// caller is an Exec or a sharedExec.
type caller interface {
	Call(args ...any) ([]*tensors.Tensor, error)
}

// call calls exec with all of args.
func call(exec caller, args ...[]*tensors.Tensor) ([]*tensors.Tensor, error) {
	var all []any
	for _, t := range slices.Concat(args...) {
		all = append(all, t)
	}
	return exec.Call(all...)
}
