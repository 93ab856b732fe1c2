package pdq

import (
	"context"
	"sync"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// chunk is how many images go through a network at once where nothing is optimised.
const chunk = 125

// overImages computes f in chunks of the first axis of ins, which must be float32 and
// agree on that axis, up to workers of them at once, and joins the results. Images must not
// interact in f. The last chunk overlaps the one before it, so that one compiled graph serves
// all. between is called after each chunk, never twice at once. The results are the caller's to
// free.
func overImages(ctx context.Context, b compute.Backend, workers int, f func(xs []*Node) []*Node, between func(done, total int), ins ...*tensors.Tensor) ([]*tensors.Tensor, error) {
	n := ins[0].Shape().Dim(0)
	size := min(n, chunk)
	exec, err := NewExec(b, f)
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	var mu sync.Mutex // guards outs, done and between
	var outs []*joined
	done := 0
	err = sideBySide((n+size-1)/size, workers, func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		lo := min(k*size, n-size)
		res, err := callOnRows(exec, lo, lo+size, ins)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if outs == nil {
			outs = make([]*joined, len(res))
			for i, r := range res {
				outs[i] = newJoined(r, n)
			}
		}
		for i, r := range res {
			if err := outs[i].put(r, lo); err != nil {
				return err
			}
		}
		if done = min(done+size, n); between != nil {
			between(done, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	result := make([]*tensors.Tensor, len(outs))
	for i, o := range outs {
		result[i] = o.tensor()
	}
	return result, nil
}

// callOnRows calls exec on the elements lo to hi-1 of each of ins.
func callOnRows(exec *Exec, lo, hi int, ins []*tensors.Tensor) ([]*tensors.Tensor, error) {
	parts, args := make([]*tensors.Tensor, len(ins)), make([]any, len(ins))
	for i, in := range ins {
		var err error
		if parts[i], err = rows(in, lo, hi); err != nil {
			return nil, err
		}
		args[i] = parts[i]
	}
	defer free(parts...)
	return exec.Call(args...)
}

// joined collects chunks of a tensor along its first axis.
type joined struct {
	dims []int
	flat []float32
}

func newJoined(part *tensors.Tensor, n int) *joined {
	dims := append([]int{n}, part.Shape().Dimensions[1:]...)
	return &joined{dims, make([]float32, n*part.Size()/part.Shape().Dim(0))}
}

// put copies part to row lo, and frees it.
func (j *joined) put(part *tensors.Tensor, lo int) error {
	per := len(j.flat) / j.dims[0]
	if err := tensors.ConstFlatData(part, func(flat []float32) { copy(j.flat[lo*per:], flat) }); err != nil {
		return err
	}
	return part.FinalizeAll()
}

func (j *joined) tensor() *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(j.flat, j.dims...)
}

// rows returns a copy of t's elements lo to hi-1 of the first axis. t is float32.
func rows(t *tensors.Tensor, lo, hi int) (*tensors.Tensor, error) {
	dims := append([]int{hi - lo}, t.Shape().Dimensions[1:]...)
	per := t.Size() / t.Shape().Dim(0)
	flat := make([]float32, (hi-lo)*per)
	err := tensors.ConstFlatData(t, func(all []float32) { copy(flat, all[lo*per:]) })
	return tensors.FromFlatDataAndDimensions(flat, dims...), err
}

// constants returns the tensors of w as constants of g.
func constants(g *Graph, w models.Weights) func(name string) *Node {
	nodes := map[string]*Node{}
	return func(name string) *Node {
		if nodes[name] == nil {
			nodes[name] = ConstTensor(g, w[name])
		}
		return nodes[name]
	}
}

// free releases the memory of tensors that aren't used again. Some backends' memory is beyond
// the garbage collector's reach: what isn't freed stays.
func free(ts ...*tensors.Tensor) {
	for _, t := range ts {
		if t.Ok() {
			t.MustFinalizeAll()
		}
	}
}
