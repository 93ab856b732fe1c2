package pdq

import (
	"strings"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"
)

// sideBySide calls f with 0 to n-1, up to workers of them at once, and returns the first error.
// Which of them run at once must not matter to what they compute.
func sideBySide(n, workers int, f func(k int) error) error {
	var g errgroup.Group
	g.SetLimit(max(workers, 1))
	for k := range n {
		g.Go(func() error { return f(k) })
	}
	return g.Wait()
}

// share returns the k-th of n parts of 0 to size-1 that differ by one at most: lo to hi-1.
func share(size, n, k int) (lo, hi int) { return size * k / n, size * (k + 1) / n }

// toDevice takes ts to b. A tensor goes there by itself at its first use, but two first uses at once
// are a race in GoMLX: tensors that several workers read must be there before.
func toDevice(b compute.Backend, ts []*tensors.Tensor) error {
	for _, t := range ts {
		if err := t.MaterializeOnDevice(b, true, 0); err != nil {
			return err
		}
	}
	return nil
}

// sharedExec is a graph that several workers call. At a graph's first execution the Go backend tries kernels for each node; of two
// first executions at once one may try a kernel after it has lost its operands (compute v0.1.14, IsExecutorCached in
// binaryops_simd.go). So the first call with arguments of some shapes goes alone.
type sharedExec struct {
	*graph.Exec
	mu    sync.RWMutex
	known map[string]bool // shapes that a call has succeeded with
}

func newSharedExec(b compute.Backend, f func(args []*graph.Node) []*graph.Node) (*sharedExec, error) {
	exec, err := graph.NewExec(b, f)
	if err != nil {
		return nil, err
	}
	return &sharedExec{Exec: exec, known: map[string]bool{}}, nil
}

// Call is Exec's.
func (e *sharedExec) Call(args ...any) ([]*tensors.Tensor, error) {
	shapes := shapesOf(args)
	e.mu.RLock()
	known := e.known[shapes]
	e.mu.RUnlock()
	if known {
		return e.Exec.Call(args...)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out, err := e.Exec.Call(args...)
	if err == nil {
		e.known[shapes] = true
	}
	return out, err
}

// shapesOf tells the shapes of tensors.
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
