package pdq

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// TestSkipOrder: however many parts a batch is cut into, the same images have their logits read, and every part has
// some.
func TestSkipOrder(t *testing.T) {
	for size := 1; size <= 40; size++ {
		for of := 1; of <= size; of++ {
			c := Config{Loss: LossConfig{Skip: 1 - float64(of)/float64(size)}}
			r := &Rounder{q: &Quantizer{c: c}, opt: optimiser{size: size}, outputs: []Term{{Logits: true}}}
			if r.predictions() != of {
				t.Fatalf("%d of %d images with logits, want %d", r.predictions(), size, of)
			}
			whole, n := r.ordered(0, size)
			want := slices.Sorted(slices.Values(whole[:n]))
			if len(want) != of {
				t.Fatalf("%d of %d images: %v", of, size, want)
			}
			for parts := 1; parts <= r.mostParts(); parts++ {
				var got, all []int
				for k := range parts {
					lo, hi := exec.Part(size, parts, k)
					order, n := r.ordered(lo, hi)
					if n == 0 {
						t.Errorf("%d of %d images: part %d of %d has none", of, size, k, parts)
					}
					got, all = append(got, order[:n]...), append(all, order...)
				}
				slices.Sort(all)
				if !slices.Equal(got, want) || len(all) != size || all[size-1] != size-1 || len(slices.Compact(all)) != size {
					t.Errorf("%d of %d images in %d parts: %v, want %v", of, size, parts, got, want)
				}
			}
		}
	}
}

// TestSkip: the PD term is the mean over the images that aren't skipped, the other terms are as without skipping, and
// any number of workers gives the same steps.
func TestSkip(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		for _, drop := range []struct{ inputs, acts float64 }{{0, 0}, {0.5, 0}, {0.5, 0.5}} {
			var want []*tensors.Tensor
			for _, workers := range []int{1, 2, 3} {
				c := tinyConfig(t)
				c.Machine.Workers, c.Rounding.BatchSize = workers, 9
				c.Rounding.InputDrop, c.Rounding.ActDrop = drop.inputs, drop.acts
				c.Loss.Skip = 0.6 // 4 of 9 are left
				q := quantizerOf(t, b, tinyProblem(t, 20), c)
				s, d := prepare(t, q, 2)
				r, err := q.NewRounder(s, d)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				if workers == 1 && drop.acts == 0 { // else the masks differ
					comparePD(t, r)
				}
				if _, err := r.Steps(context.Background(), 3); err != nil {
					t.Fatal(err)
				}
				want = sameState(t, r, want)
			}
		}
	})
}

// comparePD compares the losses of r's first step with those of single images and of a step that skips none.
func comparePD(t *testing.T, r *Rounder) {
	t.Helper()
	got := stepLoss(t, r, r.draw(0))
	order, n := r.ordered(0, r.opt.size)
	c := r.q.c
	c.Loss.Skip = 0
	full := quantizerOf(t, r.q.b, tinyProblem(t, 20), c)
	all, err := full.NewRounder(r.s, r.d)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	within(t, "reconstruction", math.Abs(got.Reconstruction-stepLoss(t, all, r.draw(0)).Reconstruction), 1e-4)
	var pd float64
	for _, at := range order[:n] {
		same := make([]int, r.opt.size) // a batch of one image
		for i := range same {
			same[i] = r.draw(0)[at]
		}
		pd += stepLoss(t, all, same).PD / float64(n)
	}
	within(t, "PD", math.Abs(got.PD-pd), 1e-5)
}

// stepLoss returns the loss of step 0 with a batch of one's own.
func stepLoss(t *testing.T, r *Rounder, batch []int) Loss {
	t.Helper()
	taken, err := r.opt.advance(wholeStep, r.schedule(0), func(lo, hi int) ([]*tensors.Tensor, error) {
		part, err := r.part(0, batch, lo, hi)
		return append(part, tensors.FromValue(r.relative)), err
	})
	if err != nil {
		t.Fatal(err)
	}
	taken.free()
	return r.loss(taken.report)
}
