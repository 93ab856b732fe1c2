package pdq

import (
	"context"
	"sync"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
)

const (
	chunkImages = 125     // most images that go through a network at once where nothing is optimised
	chunkBytes  = 1 << 26 // and most bytes of one layer's output: more is slower, and takes memory
)

// imageSource is where images, or what a network makes of them, come from.
type imageSource interface {
	Len() int
	tensor(lo, hi int) (*tensors.Tensor, error) // images lo to hi-1, [hi-lo,...]
}

// normalised are images as a network's input.
type normalised struct{ datasets.Images }

func (im normalised) tensor(lo, hi int) (*tensors.Tensor, error) {
	return tensors.FromFlatDataAndDimensions(im.Floats(lo, hi), hi-lo, im.Channels, im.Height, im.Width), nil
}

// runner computes graphs over many images.
type runner struct {
	b       compute.Backend
	workers int                              // chunks at once
	chunk   int                              // images in each
	keep    func(dims []int) (*Cache, error) // makes the caches for results
	finite  []string                         // what the results are, to report one that isn't finite; none: not checked
	between func(done, total int)            // called after each chunk, never twice at once; nil: not
}

// newRunner returns a runner for n's images that keeps results in memory.
func newRunner(b compute.Backend, workers int, n *models.Network) runner {
	return runner{b: b, workers: workers, chunk: chunkOf(n), keep: func(dims []int) (*Cache, error) { return newCache(dims, false, "") }}
}

// chunkOf is how many images go through n at once.
func chunkOf(n *models.Network) int {
	largest := n.Channels * n.Height * n.Width
	for _, s := range n.Shapes() {
		largest = max(largest, product(s))
	}
	return min(max(chunkBytes/4/largest, 1), chunkImages)
}

// run computes f in chunks of the images of ins, which have the same number, up to workers of them
// at once, and joins the results. Images must not interact in f. The last chunk overlaps the one
// before it, so that one compiled graph serves all. The results are the caller's to free.
func (r runner) run(ctx context.Context, f func(xs []*Node) []*Node, ins ...imageSource) ([]*Cache, error) {
	exec, err := newSharedExec(r.b, f)
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	return r.compute(ctx, exec, ins...)
}

// compute is run of a graph that is compiled already, or will be at its first use.
func (r runner) compute(ctx context.Context, exec *sharedExec, ins ...imageSource) (outs []*Cache, err error) {
	n := ins[0].Len()
	size := min(n, r.chunk)
	var mu sync.Mutex // guards outs, done and between
	done := 0
	err = sideBySide((n+size-1)/size, r.workers, func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		lo := min(k*size, n-size)
		res, err := callOnRows(exec, lo, lo+size, ins)
		if err != nil {
			return err
		}
		defer free(res...)
		mu.Lock()
		defer mu.Unlock()
		if outs == nil {
			if outs, err = r.newCaches(n, res); err != nil {
				return err
			}
		}
		for i, t := range res {
			if i < len(r.finite) {
				if err := finiteRows(t, r.finite[i], lo); err != nil {
					return err
				}
			}
			if err := put(outs[i], t, lo); err != nil {
				return err
			}
		}
		if done = min(done+size, n); r.between != nil {
			r.between(done, n)
		}
		return nil
	})
	if err != nil {
		freeCaches(outs...)
		return nil, err
	}
	return outs, nil
}

// newCaches returns caches of n images for results like those.
func (r runner) newCaches(n int, results []*tensors.Tensor) ([]*Cache, error) {
	var outs []*Cache
	for _, t := range results {
		c, err := r.keep(append([]int{n}, t.Shape().Dimensions[1:]...))
		if err != nil {
			freeCaches(outs...)
			return nil, err
		}
		outs = append(outs, c)
	}
	return outs, nil
}

// callOnRows calls exec on images lo to hi-1 of each of ins.
func callOnRows(exec *sharedExec, lo, hi int, ins []imageSource) ([]*tensors.Tensor, error) {
	parts, args := make([]*tensors.Tensor, len(ins)), make([]any, len(ins))
	defer func() { free(parts...) }()
	for i, in := range ins {
		var err error
		if parts[i], err = in.tensor(lo, hi); err != nil {
			return nil, err
		}
		args[i] = parts[i]
	}
	return exec.Call(args...)
}

// put copies t to c's images from lo on.
func put(c *Cache, t *tensors.Tensor, lo int) error {
	var inner error
	if err := tensors.ConstFlatData(t, func(flat []float32) { inner = c.write(flat, lo) }); err != nil {
		return err
	}
	return inner
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

func freeCaches(cs ...*Cache) {
	for _, c := range cs {
		c.Free()
	}
}
