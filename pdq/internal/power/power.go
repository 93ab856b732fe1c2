// Package power computes x^p for many x and one p, from tables.
package power

import "math"

// Table computes x^p of float32 values x >= 0 for one p, from a table of the mantissa (linear interpolation, relative
// error below p²/2³¹) and a table of the exponent. Scale searches need hundreds of millions of such powers; math.Pow
// takes twenty times as long.
type Table struct {
	P        float64 // p
	mantissa [1<<indexBits + 1]float64
	exponent [256]float64
}

const indexBits = 14 // of the mantissa's 23

// New returns the table for p.
func New(p float64) *Table {
	t := Table{P: p}
	for i := range t.mantissa {
		t.mantissa[i] = math.Pow(1+float64(i)/(1<<indexBits), p)
	}
	for i := 1; i < len(t.exponent); i++ { // 0 is for zero and subnormal numbers, which count as 0
		t.exponent[i] = math.Pow(2, float64(i-127)*p)
	}
	return &t
}

// Of returns x^p.
func (t *Table) Of(x float32) float64 {
	const low = 23 - indexBits
	bits := math.Float32bits(x)
	k := bits >> low & (1<<indexBits - 1)
	frac := float64(bits&(1<<low-1)) / (1 << low)
	lo, hi := t.mantissa[k], t.mantissa[k+1]
	return t.exponent[bits>>23&0xff] * (lo + frac*(hi-lo))
}
