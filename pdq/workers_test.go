package pdq

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// TestWorkers: for any number of workers and parts, the parts of a batch together are the whole batch, and a step gives
// the same result, up to the order of sums.
func TestWorkers(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		var want []*tensors.Tensor
		for _, m := range []MachineConfig{{Workers: 1}, {Workers: 2}, {Workers: 3}, {Workers: 2, PartLimit: 1}} {
			c := tinyConfig(t)
			c.Machine = m
			q := quantizerOf(t, b, tinyProblem(t, 20), c)
			s, d := prepare(t, q, 2)
			r, err := q.NewRounder(s, d)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			compareParts(t, r, q.roundingParts(2, r.opt.size))
			if _, err := r.Steps(context.Background(), 2); err != nil {
				t.Fatal(err)
			}
			want = sameState(t, r, want)
		}
	})
}

// sameState compares r's state with want, up to the order of sums, and returns the state; nil: there is none to compare
// with.
func sameState(t *testing.T, r *Rounder, want []*tensors.Tensor) []*tensors.Tensor {
	t.Helper()
	state := r.opt.state()
	if want == nil {
		return state
	}
	for i := range state {
		within(t, "variable", distance(flat(t, state[i]), flat(t, want[i])), 1e-4)
	}
	return want
}

func compareParts(t *testing.T, r *Rounder, parts int) {
	t.Helper()
	batch := r.draw(r.opt.done)
	whole, err := r.part(r.opt.done, batch, 0, len(batch))
	if err != nil {
		t.Fatal(err)
	}
	for k := range parts {
		lo, hi := exec.Part(len(batch), parts, k)
		part, err := r.part(r.opt.done, batch, lo, hi)
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range part {
			passes := got.Shape().Dim(0) / (hi - lo)
			for p := range passes {
				x := imagesOf(t, got, p*(hi-lo), (p+1)*(hi-lo))
				y := imagesOf(t, whole[i], p*len(batch)+lo, p*len(batch)+hi)
				if !slices.Equal(x, y) {
					t.Errorf("argument %d, pass %d: images %d to %d aren't those of the whole batch", i, p, lo, hi-1)
				}
			}
		}
	}
}

// imagesOf returns the values of images lo to hi-1, with booleans as 0 and 1.
func imagesOf(t *testing.T, x *tensors.Tensor, lo, hi int) []float32 {
	t.Helper()
	per := x.Size() / x.Shape().Dim(0)
	if keep, err := tensors.CopyFlatData[bool](x); err == nil {
		out := make([]float32, 0, (hi-lo)*per)
		for _, k := range keep[lo*per : hi*per] {
			if k {
				out = append(out, 1)
			} else {
				out = append(out, 0)
			}
		}
		return out
	}
	return flat(t, x)[lo*per : hi*per]
}

// TestWorkersAgree: where images don't interact, any number of workers gives the same bits.
func TestWorkersAgree(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		var want []float32
		for _, workers := range []int{1, 3} {
			c := tinyConfig(t)
			c.Machine.Workers, c.Correction.Group = workers, 4
			q := quantizerOf(t, b, tinyProblem(t, 2*exec.MaxChunk+7), c)
			_, d := prepare(t, q, 1)
			d, err := q.Correct(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Concat(flat(t, d.CorrectedIn), flat(t, d.Target), flat(t, d.StudentIn))
			if want == nil {
				want = got
			} else if !slices.Equal(got, want) {
				t.Error("3 workers give other bits than one")
			}
		}
	})
}

// TestDevices: any number of devices gives the same bits.
func TestDevices(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		if b.NumDevices() < 2 {
			t.Skipf("%s has one device", b.Name())
		}
		var want []float32
		var wantScore Score
		for _, devices := range []int{1, 2, 4} {
			c := tinyConfig(t)
			c.Machine.Devices, c.Correction.Group = devices, 4
			p := tinyProblem(t, 2*exec.MaxChunk+7)
			q := quantizerOf(t, b, p, c)
			s, d := prepare(t, q, 1)
			d, err := q.Correct(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			score, err := q.Evaluate(context.Background(), s, p.Calibration)
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Concat(flat(t, d.CorrectedIn), flat(t, d.Target), flat(t, d.StudentIn))
			if want == nil {
				want, wantScore = got, score
			} else if !slices.Equal(got, want) || !slices.Equal(score.Top1, wantScore.Top1) {
				t.Errorf("%d devices give other bits than one", devices)
			}
		}
	})
}

// TestTooManyDevices: a backend's devices can't be more than it has.
func TestTooManyDevices(t *testing.T) {
	b := testbackend.Any(t)
	c := tinyConfig(t)
	c.Machine.Devices = b.NumDevices() + 1
	if _, err := New(b, tinyProblem(t, 8), c); err == nil || !strings.Contains(err.Error(), "Machine.Devices is") {
		t.Errorf("%d devices on %s: error %v", c.Machine.Devices, b.Name(), err)
	}
}
