package pdq

import (
	"math"
	"testing"
)

func TestCoins(t *testing.T) {
	spread := spreadBytes()
	for _, p := range []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 1} {
		c := coins{stream(7, 0, 0, 0), spread}
		x := make([]bool, 100003)
		c.fill(x, p)
		ones, same := 0, 0 // and how often neighbours agree
		for i, v := range x {
			if v {
				ones++
			}
			if i > 0 && v == x[i-1] {
				same++
			}
		}
		n := float64(len(x))
		for what, got := range map[string][2]float64{"ones": {float64(ones), p}, "equal neighbours": {float64(same), p*p + (1-p)*(1-p)}} {
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
