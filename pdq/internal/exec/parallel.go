package exec

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"
)

// Parallel calls f with 0 to n-1, up to workers calls at the same time, and returns the first error. After it, no call
// begins. The results of f must not depend on which calls run at the same time.
func Parallel(n, workers int, f func(k int) error) error {
	var g errgroup.Group
	var failed atomic.Bool
	g.SetLimit(max(workers, 1))
	for k := range n {
		g.Go(func() error {
			if failed.Load() {
				return nil
			}
			err := f(k)
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return g.Wait()
}

// Crew is what computes graphs at the same time.
type Crew struct {
	Workers int // graphs at the same time on a device; 0 is 1
	Devices int // of the backend, from the first on; 0 is 1
}

// AtOnce returns the number of graphs at the same time.
func (c Crew) AtOnce() int { return max(c.Workers, 1) * max(c.Devices, 1) }

// Each is Parallel for graphs of c. A call of f gets a device that computes less than c.Workers others.
func (c Crew) Each(n int, f func(k int, device compute.DeviceNum) error) error {
	free := make(chan compute.DeviceNum, c.AtOnce())
	for i := range c.AtOnce() {
		free <- compute.DeviceNum(i % max(c.Devices, 1))
	}
	return Parallel(n, c.AtOnce(), func(k int) error {
		device := <-free
		defer func() { free <- device }()
		return f(k, device)
	})
}

// Part divides 0 to size-1 into n parts, whose lengths differ by at most one, and returns the k-th: lo to hi-1.
func Part(size, n, k int) (lo, hi int) { return size * k / n, size * (k + 1) / n }

// ToDevice moves ts to b. GoMLX moves a tensor when it is first used, but two first uses at the same time are a race.
// So tensors that several workers read must be moved before.
func ToDevice(b compute.Backend, ts []*tensors.Tensor) error {
	for _, t := range ts {
		if err := t.MaterializeOnDevice(b, true, 0); err != nil {
			return err
		}
	}
	return nil
}

// Shared is a compiled graph that several workers call. When a graph runs for the first time, the Go backend tries
// kernels for each node. If two first runs overlap, one may try a kernel after its operands are gone (compute v0.1.14,
// IsExecutorCached in binaryops_simd.go). So the first call with arguments of new shapes runs alone.
type Shared struct {
	*graph.Exec
	mu    sync.RWMutex
	known map[string]bool // shapes of arguments with which a call has succeeded
}

// NewShared compiles f.
func NewShared(b compute.Backend, f func(args []*graph.Node) []*graph.Node) (*Shared, error) {
	compiled, err := graph.NewExec(b, f)
	if err != nil {
		return nil, err
	}
	return &Shared{Exec: compiled, known: map[string]bool{}}, nil
}

// Call calls the graph on the first device.
func (s *Shared) Call(args ...any) ([]*tensors.Tensor, error) { return s.CallOn(0, args...) }

// CallOn calls the graph on a device. Tensors among args must be there or in the machine's memory.
func (s *Shared) CallOn(device compute.DeviceNum, args ...any) ([]*tensors.Tensor, error) {
	shapes := shapesOf(args)
	s.mu.RLock()
	known := s.known[shapes]
	s.mu.RUnlock()
	if known {
		return s.callOn(device, args)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := s.callOn(device, args)
	if err == nil {
		s.known[shapes] = true
	}
	return out, err
}

func (s *Shared) callOn(device compute.DeviceNum, args []any) ([]*tensors.Tensor, error) {
	out, _, err := s.CallWithGraphOnDevice(device, args...)
	return out, err
}

// shapesOf returns the shapes of the tensors among args as text.
func shapesOf(args []any) string {
	var b strings.Builder
	for _, x := range args {
		if t, ok := x.(*tensors.Tensor); ok {
			b.WriteString(t.Shape().String())
		}
		b.WriteByte(';')
	}
	return b.String()
}

// Caller is a graph that can be called: an Exec or a Shared.
type Caller interface {
	Call(args ...any) ([]*tensors.Tensor, error)
}

// Call calls f with all tensors of args.
func Call(f Caller, args ...[]*tensors.Tensor) ([]*tensors.Tensor, error) {
	var all []any
	for _, t := range slices.Concat(args...) {
		all = append(all, t)
	}
	return f.Call(all...)
}
