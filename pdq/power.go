package pdq

import "math"

// power computes x^p of float32 values x >= 0 for one p, by a table of the mantissa
// (linear interpolation, relative error below p²/2³¹) and one of the exponent. Scale searches
// need hundreds of millions of such powers; math.Pow takes twenty times as long.
type power struct {
	mantissa [1<<powerBits + 1]float64
	exponent [256]float64
}

const powerBits = 14

func newPower(p float64) *power {
	var t power
	for i := range t.mantissa {
		t.mantissa[i] = math.Pow(1+float64(i)/(1<<powerBits), p)
	}
	for i := 1; i < len(t.exponent); i++ { // 0: zero and subnormal numbers, taken as 0
		t.exponent[i] = math.Pow(2, float64(i-127)*p)
	}
	return &t
}

func (t *power) of(x float32) float64 {
	const low = 23 - powerBits
	bits := math.Float32bits(x)
	k := bits >> low & (1<<powerBits - 1)
	frac := float64(bits&(1<<low-1)) / (1 << low)
	lo, hi := t.mantissa[k], t.mantissa[k+1]
	return t.exponent[bits>>23&0xff] * (lo + frac*(hi-lo))
}
