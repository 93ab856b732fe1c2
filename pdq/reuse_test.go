package pdq

import (
	"bytes"
	"context"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// rounderOf returns a rounder of unit 2 of the tiny network, with 20 images.
func rounderOf(t *testing.T, b compute.Backend, c Config) *Rounder {
	t.Helper()
	q := quantizerOf(t, b, tinyProblem(t, 20), c)
	r, err := q.NewRounder(prepare(t, q, 2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestEvery: the first of three steps has three times the weight of PD, the next two are those without PD, and any
// number of workers gives the same steps.
func TestEvery(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		step := func(c Config, after OptimiserState) (Loss, OptimiserState) {
			r := rounderOf(t, b, c)
			if after.Done > 0 {
				if err := r.Restore(after); err != nil {
					t.Fatal(err)
				}
			}
			l, err := r.Steps(context.Background(), 1)
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.State()
			if err != nil {
				t.Fatal(err)
			}
			return l, s
		}
		third, thrice, none := c, c, c
		third.Loss.Every, thrice.Loss.PD, none.Loss.PD = 3, 3*c.Loss.PD, 0
		var now OptimiserState
		for k, same := range []Config{thrice, none, none, thrice} {
			gotLoss, got := step(third, now)
			wantLoss, want := step(same, now)
			if wantLoss.PD /= 3; gotLoss.Reconstruction != wantLoss.Reconstruction || !reflect.DeepEqual(got, want) {
				t.Errorf("step %d: loss %+v, want %+v, or another state", k, gotLoss, wantLoss)
			}
			within(t, "PD", math.Abs(gotLoss.PD-wantLoss.PD), 1e-6)
			if (wantLoss.PD > 0) != (k%3 == 0) {
				t.Errorf("step %d: PD is %g", k, wantLoss.PD)
			}
			now = got
		}
		always := c
		always.Loss.Every = 1
		if _, want := step(c, now); !reflect.DeepEqual(second(step(always, now)), want) {
			t.Error("Every 1 isn't every step")
		}
	})
}

func second(_ Loss, s OptimiserState) OptimiserState { return s }

// TestReuse: where variables don't change, kept gradients are the gradients. So once all images of a batch have some, a
// step is as exact as one that computes the logits of all, for any number of workers, and before that as one that has
// the images without gradient left out.
func TestReuse(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		for _, drop := range []float64{0, 0.5} {
			for _, workers := range []int{1, 2, 3} {
				c := tinyConfig(t)
				c.Machine.Workers, c.Rounding.BatchSize, c.Rounding.InputDrop, c.Rounding.ActDrop = workers, 9, drop, 0
				full := rounderOf(t, b, c)
				c.Loss.Skip = 0.6 // 4 of 9 are left
				part := rounderOf(t, b, c)
				c.Loss.Reuse = true
				r := rounderOf(t, b, c)
				for visit := range 3 {
					batch := r.draw(0)
					if want := min(9, 4*visit+4); r.counted(batch) != want {
						t.Fatalf("%d images count, want %d", r.counted(batch), want)
					}
					got, err := r.advance(0, batch, r.relative)
					if err != nil {
						t.Fatal(err)
					}
					if visit == 0 {
						compareMoments(t, got, part, batch)
					}
					if visit == 2 {
						compareMoments(t, got, full, batch)
					}
					if err := r.keep(batch, got.watched); err != nil {
						t.Fatal(err)
					}
					got.free()
				}
			}
		}
	})
}

// compareMoments compares the first moments of all variables after a step, which are a tenth of the gradients, with
// those of other's step.
func compareMoments(t *testing.T, got stepResult, other *Rounder, batch []int) {
	t.Helper()
	want, err := other.advance(0, batch, other.relative)
	if err != nil {
		t.Fatal(err)
	}
	defer want.free()
	for i, v := range other.opt.vars {
		within(t, v.name, distance(flat(t, got.next[3*i+1]), flat(t, want.next[3*i+1])), 1e-4)
	}
}

// TestReuseOldest: the logits are read of the batch's images with the oldest gradients, none before all others.
func TestReuseOldest(t *testing.T) {
	c := tinyConfig(t)
	c.Loss.Skip, c.Loss.Reuse = 0.75, true // 2 of 8 are left
	r := rounderOf(t, anyBackend(t), c)
	ages := []int{3, notKept, 0, 7, 1, 7, 2, notKept}
	copy(r.kept.ages, ages)
	order, _ := r.ordered(0, 8)
	fresh, others := r.fresh(r.kept.oldestFirst([]int{0, 1, 2, 3, 4, 5, 6, 7}, order))
	if !slices.Equal(fresh, []int{1, 7}) || !slices.Equal(others, []int{3, 5, 0, 6, 4, 2}) {
		t.Errorf("fresh %v, others %v", fresh, others)
	}
	before := slices.Clone(r.kept.ages)
	oldest, left := 0, 0
	for range 80 {
		if _, err := r.Steps(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, age := range r.kept.ages {
		if age == notKept {
			left++
		}
		oldest = max(oldest, age)
	}
	if left > 0 || oldest > 8 || slices.Equal(before, r.kept.ages) { // 3 on average
		t.Errorf("%d images have no gradient, the oldest is %d visits old", left, oldest)
	}
}

// TestReuseGoesOn: a rounder that is restored from a state, read from a file, goes on to the same bits, whether the
// gradients are in memory or in a file.
func TestReuseGoesOn(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		for _, limit := range []int64{0, 1} {
			c := tinyConfig(t)
			c.Loss.Skip, c.Loss.Reuse, c.Loss.Every, c.Machine.MemoryLimit, c.Machine.Workers = 0.5, true, 2, limit, 2
			whole, first, then := rounderOf(t, b, c), rounderOf(t, b, c), rounderOf(t, b, c)
			for r, n := range map[*Rounder]int{whole: 9, first: 4} {
				if _, err := r.Steps(context.Background(), n); err != nil {
					t.Fatal(err)
				}
			}
			s, err := first.State()
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := first.q.WriteState(&file, State{Unit: 2, Student: first.s, Optimiser: s}); err != nil {
				t.Fatal(err)
			}
			read, err := then.q.ReadState(&file)
			if err != nil {
				t.Fatal(err)
			}
			if err := then.Restore(read.Optimiser); err != nil {
				t.Fatal(err)
			}
			if _, err := then.Steps(context.Background(), 5); err != nil {
				t.Fatal(err)
			}
			got, err := then.State()
			if err != nil {
				t.Fatal(err)
			}
			want, err := whole.State()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) || whole.kept.count(whole.draw(9)) == 0 {
				t.Errorf("limit %d: restored, the rounder goes on to another state", limit)
			}
			short := OptimiserState{Done: 1, Values: s.Values[:len(s.Values)-2]}
			if err := then.Restore(short); err == nil {
				t.Error("a state without gradients is restored")
			}
		}
	})
}

// TestReuseWorkers: any number of workers gives the same steps, with everything that drops out.
func TestReuseWorkers(t *testing.T) {
	c := tinyConfig(t)
	c.Rounding.BatchSize, c.Loss.Skip, c.Loss.Reuse = 9, 0.6, true
	var want [][]float32
	for _, workers := range []int{1, 2, 3} {
		c.Machine.Workers = workers
		r := rounderOf(t, anyBackend(t), c)
		if _, err := r.Steps(context.Background(), 4); err != nil {
			t.Fatal(err)
		}
		s, err := r.State()
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = s.Values
		}
		for i := range want {
			within(t, "state", distance(s.Values[i], want[i]), 1e-4)
		}
		if s := r.opt.size; s != 9 || exec.Product(r.kept.cache.Dims()) != len(want[len(want)-1]) {
			t.Errorf("%d images in a batch, %d gradients", s, len(want[len(want)-1]))
		}
	}
}
