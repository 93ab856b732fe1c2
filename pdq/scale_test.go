package pdq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/pdquant/pdquant/pdq/internal/power"
)

// candidates lists the quantisers that a search tries, by its definition.
func candidates(x []float32, bits, n int, side sides) []candidate {
	var cs []candidate
	for _, scale := range scales(x, bits, n, side) {
		switch side {
		case positive:
			cs = append(cs, candidate{scale, 0})
		case negative:
			cs = append(cs, candidate{scale, lastLevel(bits)})
		default:
			for zero := range 1 << bits {
				cs = append(cs, candidate{scale, float32(zero)})
			}
		}
	}
	return cs
}

// plainSearch is the search by its definition: it computes every candidate in full.
func plainSearch(x []float32, bits int, side sides, metric Metric, c ScaleConfig) candidate {
	var best candidate
	least := math.Inf(1)
	for _, cand := range candidates(x, bits, c.Candidates, side) {
		var sum, xq, qq, xx float64
		for _, v := range x {
			y, _, _ := plainQuantize(float64(v), float64(cand.scale), float64(cand.zero), bits, Pass)
			sum += math.Pow(math.Abs(float64(v)-y), c.Power)
			level := math.Round(y / float64(cand.scale)) // cosine doesn't depend on the scale: ties are exact
			xq, qq, xx = xq+float64(v)*level, qq+level*level, xx+float64(v)*float64(v)
		}
		if metric == Cosine {
			sum = 1
			if qq > 0 && xx > 0 {
				sum = 1 - xq/math.Sqrt(xx*qq)
			}
		}
		if sum < least {
			best, least = cand, sum
		}
	}
	return best
}

func searchInput(seed uint64, kind int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, 400)
	for i := range x {
		v := rng.NormFloat64()
		switch kind {
		case 0:
			v = max(v, 0)
		case 1:
			v = -math.Abs(v)
		case 2:
			v = v*v*v + 0.5
		}
		x[i] = float32(v)
	}
	return x
}

func TestSearch(t *testing.T) {
	for kind := range 4 {
		for _, bits := range []int{2, 3, 4} {
			for _, metric := range []Metric{LpNorm, Cosine} {
				x := searchInput(uint64(kind), kind)
				c := ScaleConfig{Power: 2.4, Candidates: 50}
				got, err := search(t.Context(), x, bits, sidesOf(x), metric, c, power.New(c.Power))
				if want := plainSearch(x, bits, sidesOf(x), metric, c); err != nil {
					t.Error(err)
				} else if got != want {
					t.Errorf("kind %d, %d bits, %v: found %+v, want %+v", kind, bits, metric, got, want)
				}
			}
		}
	}
}

func FuzzSearch(f *testing.F) {
	f.Add(uint64(1), 3, 2, byte(0))
	f.Add(uint64(2), 100, 4, byte(2))
	f.Add(uint64(3), 60, 3, byte(7))
	f.Add(uint64(4), 9, 7, byte(4))
	f.Add(uint64(5), 50, 7, byte(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, bits int, kind byte) {
		x := searchInput(seed, int(kind%4))[:1+uint(n)%200]
		bits = []int{2, 3, 4, 8}[uint(bits)%4]
		side := sidesOf(x)
		if kind&4 != 0 { // as a channel, whatever its signs, of a tensor with both
			side = twoSided
		}
		c := ScaleConfig{Power: 2.4, Candidates: 20}
		got, err := search(t.Context(), x, bits, side, LpNorm, c, power.New(2.4))
		if err != nil {
			t.Fatal(err)
		}
		want := plainSearch(x, bits, side, LpNorm, c)
		p := power.New(2.4)
		a, b := got.errorSum(x, bits, p, math.Inf(1)), want.errorSum(x, bits, p, math.Inf(1))
		if got != want && math.Abs(a-b) > 1e-6*b { // float32 and float64 may break ties differently
			t.Errorf("found %+v with error %g, want %+v with %g", got, a, want, b)
		}
	})
}

func TestSearchDegenerate(t *testing.T) {
	c := ScaleConfig{Power: 2.4, Candidates: 100, Metric: LpNorm}
	for name, x := range map[string][]float32{"zeros": make([]float32, 9), "one value": {0.7}, "constant": {-2, -2, -2}} {
		q, err := searchActivation(t.Context(), x, 4, c)
		if err != nil {
			t.Error(err)
		}
		if !(q.Scale > 0) {
			t.Errorf("%s: scale %g", name, q.Scale)
		}
		y, _, _ := plainQuantize(float64(x[0]), float64(q.Scale), float64(q.Zero), 4, Pass)
		if math.Abs(y-float64(x[0])) > 1e-6 {
			t.Errorf("%s: %g becomes %g", name, x[0], y)
		}
	}
}

func TestSearchErrors(t *testing.T) {
	c := ScaleConfig{Power: 2.4, Candidates: 100, Metric: LpNorm}
	x := []float32{1, float32(math.NaN()), 2}
	if _, err := searchActivation(t.Context(), x, 4, c); err == nil ||
		err.Error() != "value 1 is NaN; no scale fits it" {
		t.Errorf("error %v", err)
	}
	if _, err := searchWeight(t.Context(), []float32{1, 2, 3, float32(math.Inf(-1))}, 2, 4, c); err == nil ||
		err.Error() != "value 3 is -Inf; no scale fits it" {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := searchActivation(ctx, x[:1], 4, c); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}

func BenchmarkSearchWeight(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 0))
	w := make([]float32, 16*1280) // 16 channels of a classifier
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	for _, bits := range []int{2, 4, 8} {
		b.Run(fmt.Sprint(bits), func(b *testing.B) {
			for b.Loop() {
				if _, err := searchWeight(b.Context(), w, 16, bits, ScaleConfig{Power: 2.4, Candidates: 100}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSearchActivation(b *testing.B) {
	x := searchInput(1, 0)
	for len(x) < 1<<20 {
		x = append(x, x...)
	}
	for _, bits := range []int{2, 4, 8} {
		b.Run(fmt.Sprintf("relu/%d", bits), func(b *testing.B) {
			for b.Loop() {
				if _, err := searchActivation(b.Context(), x[:1<<20], bits, ScaleConfig{Power: 2.4, Candidates: 100}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
