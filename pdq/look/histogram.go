package look

import (
	"math"
	"slices"
)

// Histogram counts values in bins of equal width from Low to High.
type Histogram struct {
	Low, High float64
	Counts    []int
}

// NewHistogram counts the numbers x in bins between their extremes. For an empty x, all counts are 0. With 0 bins or
// fewer, there are no counts.
func NewHistogram(x []float32, bins int) Histogram {
	h := Histogram{Counts: make([]int, max(bins, 0))}
	if len(x) == 0 {
		return h
	}
	lo, hi := slices.Min(x), slices.Max(x)
	h.Low, h.High = float64(lo), float64(hi)
	if bins < 1 {
		return h
	}
	for _, v := range x {
		k := 0
		if hi > lo {
			k = int(float64(bins) * (float64(v) - h.Low) / (h.High - h.Low))
		}
		h.Counts[min(k, bins-1)]++
	}
	return h
}

// Decibels is 10·log10(signal/noise): infinite without noise, NaN without both.
func Decibels(signal, noise float64) float64 { return 10 * math.Log10(signal/noise) }
