package exec

import (
	"context"
	"errors"
	"sync"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
)

const (
	// MaxChunk is the largest number of images that go through a network together when nothing is optimised.
	MaxChunk = 125
	// chunkBytes is the largest size of a layer's output for a chunk. Larger outputs are slower, and take memory.
	chunkBytes = 1 << 26
)

// Images is a source of images, or of tensors that a network computes from them.
type Images interface {
	Len() int
	Tensor(lo, hi int) (*tensors.Tensor, error) // images lo to hi-1, [hi-lo,...]
}

// Normalised are images, normalised, as a network's input.
type Normalised struct{ datasets.Images }

// Tensor returns images lo to hi-1, normalised.
func (im Normalised) Tensor(lo, hi int) (*tensors.Tensor, error) {
	return tensors.FromFlatDataAndDimensions(im.Floats(lo, hi), hi-lo, im.Channels, im.Height, im.Width), nil
}

// FirstImages are the first N images of a cache.
type FirstImages struct {
	*Cache
	N int
}

// Len returns N.
func (f FirstImages) Len() int { return f.N }

// Runner computes graphs over many images, in chunks.
type Runner struct {
	Backend  compute.Backend
	Crew                                      // computes chunks at the same time
	Chunk    int                              // images in a chunk
	NewCache func(dims []int) (*Cache, error) // makes the caches for results
	Finite   []string                         // names of the first results, which must be finite
	Progress func(done, total int)            // called after each chunk, not concurrently; nil: silent
}

// NewRunner returns a runner for images of n's input. It keeps results in memory.
func NewRunner(b compute.Backend, crew Crew, n *models.Network) Runner {
	return Runner{Backend: b, Crew: crew, Chunk: ChunkSize(n), NewCache: func(dims []int) (*Cache, error) {
		return NewCache(dims, false, "")
	}}
}

// ChunkSize returns the number of images that go through n together.
func ChunkSize(n *models.Network) int {
	largest := n.Channels * n.Height * n.Width
	for _, s := range n.Shapes() {
		largest = max(largest, Product(s))
	}
	return min(max(chunkBytes/4/largest, 1), MaxChunk)
}

// Run computes the graph f over all images of ins, whose lengths are equal, and joins the results. Images must not
// interact in f. The last chunk overlaps the one before, so that all have the same size, and one compiled graph. The
// caller frees the results.
func (r Runner) Run(ctx context.Context, f func(xs []*Node) []*Node, ins ...Images) ([]*Cache, error) {
	graph, err := NewShared(r.Backend, f)
	if err != nil {
		return nil, err
	}
	defer graph.Finalize()
	return r.Call(ctx, graph, ins...)
}

// Call is Run for a compiled graph, which several runs may use.
func (r Runner) Call(ctx context.Context, graph *Shared, ins ...Images) (outs []*Cache, err error) {
	n := ins[0].Len()
	if n == 0 {
		return nil, errors.New("no images; give at least one")
	}
	size := min(n, r.Chunk)
	var mu sync.Mutex // guards outs and done, and calls of Progress
	done := 0
	err = r.Each((n+size-1)/size, func(k int, device compute.DeviceNum) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		lo := min(k*size, n-size)
		results, err := callOnImages(graph, device, lo, lo+size, ins)
		if err != nil {
			return err
		}
		defer Free(results...)
		mu.Lock()
		defer mu.Unlock()
		if outs == nil {
			if outs, err = r.newCaches(n, results); err != nil {
				return err
			}
		}
		if err := r.store(outs, results, lo); err != nil {
			return err
		}
		if done = min(done+size, n); r.Progress != nil {
			r.Progress(done, n)
		}
		return nil
	})
	if err != nil {
		FreeCaches(outs...)
		return nil, err
	}
	return outs, nil
}

// store copies the results for the images from lo on to outs.
func (r Runner) store(outs []*Cache, results []*tensors.Tensor, lo int) error {
	for i, t := range results {
		if i < len(r.Finite) {
			if err := FiniteRows(t, r.Finite[i], lo); err != nil {
				return err
			}
		}
		if err := outs[i].Put(t, lo); err != nil {
			return err
		}
	}
	return nil
}

// newCaches returns caches for n images of results.
func (r Runner) newCaches(n int, results []*tensors.Tensor) ([]*Cache, error) {
	var outs []*Cache
	for _, t := range results {
		c, err := r.NewCache(append([]int{n}, t.Shape().Dimensions[1:]...))
		if err != nil {
			FreeCaches(outs...)
			return nil, err
		}
		outs = append(outs, c)
	}
	return outs, nil
}

// callOnImages calls graph on a device, on images lo to hi-1 of each of ins.
func callOnImages(graph *Shared, device compute.DeviceNum, lo, hi int, ins []Images) ([]*tensors.Tensor, error) {
	parts, args := make([]*tensors.Tensor, len(ins)), make([]any, len(ins))
	defer func() { Free(parts...) }()
	for i, in := range ins {
		var err error
		if parts[i], err = in.Tensor(lo, hi); err != nil {
			return nil, err
		}
		args[i] = parts[i]
	}
	return graph.CallOn(device, args...)
}

// Constants returns a function that returns the tensor of w called name as a constant of g.
func Constants(g *Graph, w models.Weights) func(name string) *Node {
	nodes := map[string]*Node{}
	return func(name string) *Node {
		if nodes[name] == nil {
			nodes[name] = ConstTensor(g, w[name])
		}
		return nodes[name]
	}
}

// Free frees the memory of tensors that aren't used any more. The garbage collector doesn't free the memory of some
// backends.
func Free(ts ...*tensors.Tensor) {
	for _, t := range ts {
		if t.Ok() {
			t.MustFinalizeAll()
		}
	}
}

// FreeCaches frees all of cs, which may be nil.
func FreeCaches(cs ...*Cache) {
	for _, c := range cs {
		c.Free()
	}
}
