package pdq

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
)

// TestBalanced: when a unit starts, the PD term's gradients are Loss.PD times as large as the reconstruction's, and the
// steps are those with the same weight given.
func TestBalanced(t *testing.T) {
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		rounder := func(l LossConfig, rounding RoundingConfig) *Rounder {
			c := tinyConfig(t)
			c.Loss, c.Rounding = l, rounding
			q := quantizerOf(t, b, tinyProblem(t, 20), c)
			s, d := prepare(t, q, 1)
			r, err := q.NewRounder(s, d)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			return r
		}
		rounding := tinyConfig(t).Rounding
		scalesOnly := rounding
		scalesOnly.LearningRate = 0
		regularised := rounding // from the first step on
		regularised.Warmup = 0
		for _, of := range []RoundingConfig{rounding, scalesOnly, regularised} {
			for _, want := range []float64{0.5, 2} {
				r := rounder(LossConfig{PD: want, Balanced: true, Temperature: 4}, of)
				var reconstruction, pd float64
				for k := range balanceBatches {
					reconstruction += gradientSize(t, r, -1-k, []float32{1, 0})
					pd += gradientSize(t, r, -1-k, []float32{0, float32(r.PDWeight())})
				}
				if got := pd / reconstruction; math.Abs(got-want) > 1e-3*want {
					t.Errorf("gradients of PD are %g times the reconstruction's, want %g", got, want)
				}
				same := rounder(LossConfig{PD: r.PDWeight(), Temperature: 4}, of)
				for range 3 {
					got, err := r.Steps(t.Context(), 1)
					if err != nil {
						t.Fatal(err)
					}
					if want, err := same.Steps(t.Context(), 1); err != nil || got != want {
						t.Errorf("losses %+v, with that weight %+v, error %v", got, want, err)
					}
				}
				for i, v := range r.opt.vars {
					if !slices.Equal(flat(t, v.value), flat(t, same.opt.vars[i].value)) {
						t.Errorf("%s differ from those with the weight given", v.name)
					}
				}
			}
		}
		if r := rounder(LossConfig{Balanced: true}, rounding); r.PDWeight() != 0 {
			t.Errorf("without a PD term its weight is %g", r.PDWeight())
		}
	})
}

func gradientSize(t *testing.T, r *Rounder, step int, w []float32) float64 {
	t.Helper()
	size, err := r.gradientSize(step, w)
	if err != nil {
		t.Fatal(err)
	}
	return size
}
