package look

import (
	"fmt"
	"math"
	"slices"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Histogram counts values in bins of equal width from Low to High.
type Histogram struct {
	Low, High float64
	Counts    []int
}

// mostBins is the largest number of bins in a histogram.
const mostBins = 1 << 16

// NewHistogram counts the numbers x, which must be finite, in bins between their extremes. It is all zeros for an empty
// x, and counts nothing with 0 bins or fewer. More than 65,536 bins are an error.
func NewHistogram(x []float32, bins int) (Histogram, error) {
	if bins > mostBins {
		return Histogram{}, fmt.Errorf("look: a histogram of %d bins; give at most %d", bins, mostBins)
	}
	h := Histogram{Counts: make([]int, max(bins, 0))}
	if len(x) == 0 {
		return h, nil
	}
	if k := exec.NonFinite(x); k >= 0 {
		return h, fmt.Errorf("look: value %d of a histogram is %g; leave out what isn't finite", k, x[k])
	}
	lo, hi := slices.Min(x), slices.Max(x)
	h.Low, h.High = float64(lo), float64(hi)
	if bins < 1 {
		return h, nil
	}
	for _, v := range x {
		k := 0
		if hi > lo {
			k = int(float64(bins) * (float64(v) - h.Low) / (h.High - h.Low))
		}
		h.Counts[min(k, bins-1)]++
	}
	return h, nil
}

// Decibels is 10·log10(signal/noise): infinite without noise, NaN without both.
func Decibels(signal, noise float64) float64 { return 10 * math.Log10(signal/noise) }
