package pdq

import (
	"cmp"
	"math"
	"slices"

	"github.com/pdquant/pdquant/pdq/internal/power"
)

// mostBins is how many bins there are for a range: some hundred for each level of 8 bits.
const mostBins = 1 << 16

// bins are the values of a large tensor, sorted into narrow ranges. They give a lower bound of a candidate's error
// without a look at each value, which is so close that few candidates are left to compute.
type bins struct {
	all   []bin   // those of the largest magnitude first; most candidates clip these, so that they soon exceed a limit
	slack float32 // more than the rounding of float32 adds to a value's error
}

// bin has the values of a range: their number, extremes and mean.
type bin struct {
	n            int
	lo, hi, mean float32
}

// newBins sorts x, whose extremes are lo and hi.
func newBins(x []float32, lo, hi float32) bins {
	type sums struct {
		bin
		sum float64
	}
	all := make([]sums, mostBins)
	perUnit := mostBins / (hi - lo)
	divided := perUnit > 0 && !math.IsInf(float64(perUnit), 0) // no: all values are equal, or the range overflows
	for _, v := range x {
		s := &all[0]
		if divided {
			s = &all[min(int((v-lo)*perUnit), mostBins-1)]
		}
		if s.n == 0 {
			s.lo, s.hi = v, v
		}
		s.n++
		s.sum += float64(v)
		s.lo, s.hi = min(s.lo, v), max(s.hi, v)
	}
	b := bins{slack: max(abs(lo), abs(hi)) / (1 << 21)}
	for _, s := range all {
		if s.n > 0 {
			s.mean = float32(s.sum / float64(s.n))
			b.all = append(b.all, s.bin)
		}
	}
	slices.SortFunc(b.all, func(x, y bin) int { return cmp.Compare(abs(y.mean), abs(x.mean)) })
	return b
}

// bound returns at most errorSum of the values. It stops as soon as the sum is above limit.
//
// Values of a bin that become the same level have at least the error of their mean, times their number, because |x|^p
// is convex for p >= 1. If they become two levels that follow each other, none is nearer to its level than the extreme
// that is nearest.
func (b bins) bound(c candidate, bits int, p *power.Table, limit float64) float64 {
	lo, hi := -c.zero, float32(int(1)<<bits-1)-c.zero
	inverse := 1 / c.scale
	const exact = 1 - 1e-6 // what the sum's own rounding leaves, at least
	var sum float64
	for _, x := range b.all {
		first, last := roundWithin(x.lo*inverse, lo, hi), roundWithin(x.hi*inverse, lo, hi)
		var distance float32
		switch {
		case first == last && p.P >= 1:
			distance = abs(x.mean - first*c.scale)
		case last-first == 1:
			distance = min(x.lo-first*c.scale, last*c.scale-x.hi)
		}
		if distance > b.slack {
			if sum += float64(x.n) * p.Of(distance-b.slack); sum*exact > limit {
				break
			}
		}
	}
	return sum * exact
}
