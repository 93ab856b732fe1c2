package power

import (
	"math"
	"testing"
)

func TestPower(t *testing.T) {
	for _, p := range []float64{0.5, 1, 2, 2.4, 4} {
		table := New(p)
		for _, x := range []float32{0, 1e-9, 3.3e-5, 0.1, 0.999, 1, 1.5, 2, 77.7, 1e6} {
			want := math.Pow(float64(x), p)
			if got := table.Of(x); math.Abs(got-want) > p*p/(1<<31)*want {
				t.Errorf("%g^%g is %g, want %g", x, p, got, want)
			}
		}
	}
}
