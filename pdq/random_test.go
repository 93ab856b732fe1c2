package pdq

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

func TestCoins(t *testing.T) {
	spread := spreadBytes()
	for _, p := range []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 1} {
		c := coins{stream(7, 0, 0, 0), spread}
		x := make([]bool, 100003)
		c.fill(x, p)
		ones, same := 0, 0 // same counts neighbours that are equal
		for i, v := range x {
			if v {
				ones++
			}
			if i > 0 && v == x[i-1] {
				same++
			}
		}
		n := float64(len(x))
		for what, got := range map[string][2]float64{"ones": {float64(ones), p},
			"equal neighbours": {float64(same), p*p + (1-p)*(1-p)}} {
			if d, limit := math.Abs(got[0]/n-got[1]), 4*math.Sqrt(0.25/n); d > limit {
				t.Errorf("p %g: %s are a fraction of %g, want %g ± %g", p, what, got[0]/n, got[1], limit)
			}
		}
		mixed, y := make([]float32, 100003), make([]float32, 100003)
		for i := range y {
			y[i] = 1
		}
		coins{stream(7, 0, 0, 0), spread}.mix(mixed, y, p)
		for i, v := range mixed {
			if (v == 1) != x[i] {
				t.Fatalf("p %g: mix and fill differ at %d", p, i)
			}
		}
	}
}

func BenchmarkCoins(b *testing.B) {
	c, x := coins{stream(1, 0, 0, 0), spreadBytes()}, make([]bool, 1<<20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		c.fill(x, 0.5)
	}
}

// TestStreamsStandAlone: the random numbers of a unit's rounding don't depend on whether the units before were rounded,
// or the student was evaluated in between. Another seed gives others.
func TestStreamsStandAlone(t *testing.T) {
	b, p, c := anyBackend(t), tinyProblem(t, 20), tinyConfig(t)
	drawn := func(seed uint64, before func(q *Quantizer, s Student, d *UnitData) Student) ([]int, []float32) {
		c.Seed = seed
		q := quantizerOf(t, b, p, c)
		s, d := prepare(t, q, 1)
		d.CorrectedIn = exec.CacheOf(make([]float32, len(d.StudentIn.Flat())), d.StudentIn.Dims()...)
		fill(d.StudentIn, 1) // so that inputs show only what was mixed
		r, err := q.NewRounder(before(q, s, d), d)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := r.Steps(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		batch := r.draw(r.opt.done)
		part, err := r.part(r.opt.done, batch, 0, len(batch))
		if err != nil {
			t.Fatal(err)
		}
		defer exec.Free(part...)
		mixed, err := tensors.CopyFlatData[float32](part[0])
		if err != nil {
			t.Fatal(err)
		}
		return batch, mixed
	}
	batch, mixed := drawn(1, func(_ *Quantizer, s Student, _ *UnitData) Student { return s })
	again, mixedAgain := drawn(1, func(q *Quantizer, s Student, _ *UnitData) Student {
		_, before := prepare(t, q, 0)
		s0, err := q.Round(t.Context(), s, before)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Evaluate(t.Context(), s0, p.Calibration); err != nil {
			t.Fatal(err)
		}
		return s0
	})
	if !slices.Equal(batch, again) || !slices.Equal(mixed, mixedAgain) {
		t.Errorf("images %d after the unit before was rounded, %d without", again, batch)
	}
	if other, mixedOther := drawn(2, func(_ *Quantizer, s Student, _ *UnitData) Student { return s }); slices.Equal(batch,
		other) || slices.Equal(mixed, mixedOther) {
		t.Errorf("seed 2 draws %d too", other)
	}
}
