package pdq

import (
	"github.com/gomlx/compute"
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
