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
		case centred:
			cs = append(cs, candidate{scale, middleLevel(bits)})
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
	f.Add(uint64(6), 90, 4, byte(8))
	f.Add(uint64(7), 90, 3, byte(10))
	f.Fuzz(func(t *testing.T, seed uint64, n, bits int, kind byte) {
		x := searchInput(seed, int(kind%4))[:1+uint(n)%200]
		bits = []int{2, 3, 4, 8}[uint(bits)%4]
		side := sidesOf(x)
		if kind&4 != 0 { // as a channel, whatever its signs, of a tensor with both
			side = twoSided
		}
		if kind&8 != 0 {
			side = centred
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

// FuzzBins: a bound is at most the error, and close to it where bins are narrow.
func FuzzBins(f *testing.F) {
	for kind := range byte(4) {
		f.Add(uint64(kind), 100, kind, kind, float32(2.4))
	}
	f.Add(uint64(4), 5, byte(3), byte(1), float32(0.7))
	f.Add(uint64(5), 1, byte(2), byte(2), float32(1))
	f.Fuzz(func(t *testing.T, seed uint64, n int, kind, width byte, power32 float32) {
		if !(power32 > 0.1 && power32 < 10) {
			t.Skip()
		}
		x, bits, p := searchInput(seed, int(kind%4))[:1+uint(n)%400], []int{2, 3, 4, 8}[width%4], power.New(float64(power32))
		lo, hi := extremes(x)
		b := newBins(x, lo, hi)
		for _, c := range candidates(x, bits, 10, sidesOf(x)) {
			score := c.errorSum(x, bits, p, math.Inf(1))
			bound := b.bound(c, bits, p, math.Inf(1))
			if bound > score {
				t.Errorf("%d bits, %+v: bound %g, error %g", bits, c, bound, score)
			}
			if limit := score / 2; b.bound(c, bits, p, limit) > limit && bound <= limit {
				t.Errorf("%d bits, %+v: bound %g, but above %g if that is the limit", bits, c, bound, limit)
			}
		}
	})
}

// TestDegenerateBins: values that are equal, or too far apart for a difference, are in one bin.
func TestDegenerateBins(t *testing.T) {
	for _, x := range [][]float32{{2, 2, 2}, {1e-45, 2e-45}, {-3e38, 3e38, 0}} {
		lo, hi := extremes(x)
		if b := newBins(x, lo, hi); len(b.all) != 1 || b.all[0].n != len(x) || b.all[0].lo != lo || b.all[0].hi != hi {
			t.Errorf("%g: bins %+v", x, b.all)
		}
	}
}

// TestSearchBins: with bins, a search finds what it finds without, and computes a hundredth of the scores.
func TestSearchBins(t *testing.T) {
	for kind := range 4 {
		x := distinct(4*mostBins, kind)
		for _, bits := range []int{2, 4, 8} {
			p := power.New(2.4)
			z := newZeroSearch(x, bits, sidesOf(x), LpNorm, p)
			ss := scales(x, bits, 30, z.side)
			got, err := z.search(t.Context(), ss)
			if err != nil {
				t.Fatal(err)
			}
			limit, near := got.errorSum(x, bits, p, math.Inf(1)), 0
			for _, c := range candidates(x, bits, 30, z.side) {
				if z.bound(c, limit) <= limit {
					near++
				}
			}
			plain := z
			plain.bins = bins{}
			want, err := plain.search(t.Context(), ss)
			if err != nil || got != want {
				t.Errorf("kind %d, %d bits: found %+v, without bins %+v, error %v", kind, bits, got, want, err)
			}
			if near > max(len(candidates(x, bits, 30, z.side))/100, 2) {
				t.Errorf("kind %d, %d bits: %d scores are computed", kind, bits, near)
			}
		}
	}
}

// distinct returns n values of a kind of searchInput.
func distinct(n, kind int) (x []float32) {
	for seed := uint64(1); len(x) < n; seed++ {
		x = append(x, searchInput(seed, kind)...)
	}
	return x[:n]
}

// TestSymmetricWeights: all zero points are the middle level, and the range of 8 bits covers all values.
func TestSymmetricWeights(t *testing.T) {
	w := []float32{0.5, -1, 0.25, 0.1, 3, 2, 1, 0, -1, -2, -0.5, -4}
	for _, bits := range []int{2, 4, 8} {
		c := ScaleConfig{Power: 2.4, Candidates: 100, SymmetricWeights: true}
		q, err := searchWeight(t.Context(), w, 3, bits, c)
		if err != nil {
			t.Fatal(err)
		}
		for o, zero := range q.Zero {
			if zero != float32(int(1)<<(bits-1)) || bits == 8 && q.Scale[o] < abs(w[[]int{1, 4, 11}[o]])*0.99/128 {
				t.Errorf("%d bits, channel %d: scale %g, zero point %g", bits, o, q.Scale[o], zero)
			}
		}
	}
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
	for kind, name := range []string{"relu", "negative", "skewed", "normal"} {
		x := distinct(1<<22, kind)
		for _, bits := range []int{2, 4, 8} {
			b.Run(fmt.Sprintf("%s/%d", name, bits), func(b *testing.B) {
				for b.Loop() {
					if _, err := searchActivation(b.Context(), x, bits, ScaleConfig{Power: 2.4, Candidates: 100}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
