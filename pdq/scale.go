package pdq

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pdquant/pdquant/pdq/internal/exec"
	"github.com/pdquant/pdquant/pdq/internal/power"
)

// minScale is the smallest scale of a quantiser, as in the reference.
const minScale = 1e-8

// sides says on which sides of 0 a tensor's values lie, which decides the candidates of a search.
type sides int

const (
	twoSided sides = iota // values of both signs: every zero point is tried
	positive              // no value below 0: ranges start at 0
	negative              // no value above 0: ranges end at 0
	centred               // whatever the signs, the zero point is the middle level, see ScaleConfig.SymmetricWeights
)

func sidesOf(x []float32) sides {
	lo, hi := extremes(x)
	switch {
	case lo >= 0:
		return positive
	case hi <= 0:
		return negative
	}
	return twoSided
}

func extremes(x []float32) (lo, hi float32) {
	lo, hi = x[0], x[0]
	for _, v := range x {
		if v < lo {
			lo = v
		} else if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// candidate is a quantiser that a search tries.
type candidate struct {
	scale, zero float32
}

// scales lists the scales that a search for x tries, in the reference's order: for i = 1..n that of the range which is
// i/n of the full one. x may be one channel of a tensor; side is the whole tensor's. The full range of centred levels
// has the largest magnitude at the last level, so that the first lies a step beyond.
//
// Reference: perform_1D_search and perform_2D_search in quant/quant_layer.py.
func scales(x []float32, bits, n int, side sides) []float32 {
	lo, hi := extremes(x)
	full, steps := max(hi, 0)-min(lo, 0), lastLevel(bits)
	if side != twoSided {
		full = max(-lo, lo, hi)
	}
	if side == centred {
		steps -= middleLevel(bits)
	}
	s := make([]float32, n)
	for i := range s {
		s[i] = max(full/float32(n)*float32(i+1)/steps, minScale)
	}
	return s
}

func lastLevel(bits int) float32 { return float32(int(1)<<bits - 1) }

func middleLevel(bits int) float32 { return float32(int(1) << (bits - 1)) }

// errorSum returns Σ|x-x_q|^p over x. It stops as soon as the sum is above limit.
func (c candidate) errorSum(x []float32, bits int, p *power.Table, limit float64) float64 {
	lo, hi := -c.zero, float32(int(1)<<bits-1)-c.zero
	inverse := 1 / c.scale
	var sum float64
	for block := 32; len(x) > 0 && sum <= limit; block *= 2 { // most candidates exceed limit after a few values
		part := x[:min(block, len(x))]
		x = x[len(part):]
		for _, v := range part {
			sum += p.Of(abs(v - roundWithin(v*inverse, lo, hi)*c.scale))
		}
	}
	return sum
}

// cosineDistance returns 1 - x·x_q/(|x||x_q|), and 1 if either is 0.
func (c candidate) cosineDistance(x []float32, bits int) float64 {
	lo, hi := -c.zero, float32(int(1)<<bits-1)-c.zero
	var xq, qq, xx float64
	for _, v := range x {
		q := float64(roundWithin(v/c.scale, lo, hi))
		xq += float64(v) * q
		qq += q * q
		xx += float64(v) * float64(v)
	}
	if xx == 0 || qq == 0 {
		return 1
	}
	return 1 - xq/math.Sqrt(xx*qq)
}

// roundWithin rounds u, half to even, after clipping it to [lo, hi], which are integers.
func roundWithin(u, lo, hi float32) float32 {
	const magic = 3 << 22 // adding it to a number up to 2^22 leaves no bits for a fraction
	if u < lo {
		return lo
	}
	if u > hi {
		return hi
	}
	return float32(u+magic) - magic
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// search returns the best candidate for x, the first of equals. It uses all processors; the result doesn't depend on
// their number.
func search(ctx context.Context, x []float32, bits int, side sides, metric Metric, c ScaleConfig, p *power.Table) (
	candidate, error) {
	return newZeroSearch(x, bits, side, metric, p).search(ctx, scales(x, bits, c.Candidates, side))
}

// zeroSearch looks for the best zero point of a tensor at given scales.
type zeroSearch struct {
	x      []float32
	bits   int
	side   sides
	metric Metric
	power  *power.Table
	lo, hi float32 // the extremes of x
	bins   bins    // of x; none: every score is computed
}

func newZeroSearch(x []float32, bits int, side sides, metric Metric, p *power.Table) zeroSearch {
	z := zeroSearch{x: x, bits: bits, side: side, metric: metric, power: p}
	z.lo, z.hi = extremes(x)
	switch {
	case metric != LpNorm:
	case len(x) >= 4*mostBins:
		z.bins = newBins(x, z.lo, z.hi)
	case side == twoSided:
		z.x = outermostFirst(x)
	}
	return z
}

// search returns the best candidate at the scales ss, the first of equals. With bins, the candidate with the least
// bound comes first: few others have a bound below its score, so that few scores are computed.
func (z zeroSearch) search(ctx context.Context, ss []float32) (candidate, error) {
	limit := math.Inf(1)
	if len(z.bins.all) > 0 {
		first, err := z.least(ctx, ss, limit, z.bound)
		if err != nil {
			return first, err
		}
		limit = first.errorSum(z.x, z.bits, z.power, limit)
	}
	return z.least(ctx, ss, limit, z.score)
}

// scorer returns the score of a candidate. It may stop at any score above limit.
type scorer func(c candidate, limit float64) float64

// least returns the first candidate at the scales ss with the least score, which must be at most limit.
func (z zeroSearch) least(ctx context.Context, ss []float32, limit float64, score scorer) (candidate, error) {
	found, scores := make([]candidate, len(ss)), make([]float64, len(ss))
	var lowest atomic.Uint64 // the bits of limit, and later of the best score so far
	lowest.Store(math.Float64bits(limit))
	err := parallel(ctx, len(ss), func(i int) {
		i = len(ss) - 1 - i // wide ranges first: they soon give a low limit
		found[i], scores[i] = z.best(ss[i], math.Float64frombits(lowest.Load()), score)
		for {
			old := lowest.Load()
			if scores[i] >= math.Float64frombits(old) || lowest.CompareAndSwap(old, math.Float64bits(scores[i])) {
				return
			}
		}
	})
	best := 0
	for i, s := range scores {
		if s < scores[best] {
			best = i
		}
	}
	return found[best], err
}

// best returns the candidate with the least score at a scale, the first of equals, and its score. If no score is at
// most limit, any candidate with a score above limit may be returned.
//
// From the zero point that covers lo, it goes up as long as the error of hi alone is within limit, since that error
// never falls, and then down as long as that of lo is. At 8 bits few of the 256 zero points are left.
func (z zeroSearch) best(scale float32, limit float64, score scorer) (candidate, float64) {
	last := lastLevel(z.bits)
	best, least := candidate{scale: scale}, math.Inf(1)
	try := func(zero, outermost float32) bool {
		c := candidate{scale, zero}
		if z.metric == LpNorm && c.errorSum([]float32{outermost}, z.bits, z.power, limit) > limit {
			return false
		}
		if score := score(c, limit); score < least || score == least && zero < best.zero {
			best, least = c, score
			limit = min(limit, score)
		}
		return true
	}
	switch z.side {
	case positive:
		try(0, z.hi)
	case negative:
		try(last, z.lo)
	case centred:
		try(middleLevel(z.bits), z.hi)
	default:
		natural := float32(math.RoundToEven(float64(min(max(-z.lo/scale, 0), last))))
		for zero := natural; zero <= last && try(zero, z.hi); zero++ {
		}
		for zero := natural - 1; zero >= 0 && try(zero, z.lo); zero-- {
		}
	}
	return best, least
}

// score is the scorer of the metric.
func (z zeroSearch) score(c candidate, limit float64) float64 {
	if z.metric == Cosine {
		return c.cosineDistance(z.x, z.bits)
	}
	if bound := z.bound(c, limit); bound > limit {
		return bound
	}
	return c.errorSum(z.x, z.bits, z.power, limit)
}

// bound is a scorer that is at most the errorSum.
func (z zeroSearch) bound(c candidate, limit float64) float64 {
	return z.bins.bound(c, z.bits, z.power, limit)
}

// outermostFirst returns x in order of falling magnitude. Most candidates clip the outermost values, so the errors of a
// few of these exceed the limit.
func outermostFirst(x []float32) []float32 {
	x = slices.Clone(x)
	slices.SortFunc(x, func(a, b float32) int { return cmp.Compare(abs(b), abs(a)) })
	return x
}

// parallel calls f(0) … f(n-1) on all processors. It stops early if ctx ends.
func parallel(ctx context.Context, n int, f func(i int)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// searchWeight returns the quantiser of a weight [O,...], whose elements are w: the best candidate for each channel.
// The signs of the whole tensor decide the candidates.
func searchWeight(ctx context.Context, w []float32, channels, bits int, c ScaleConfig) (WeightQuant, error) {
	if err := allFinite(w); err != nil {
		return WeightQuant{}, err
	}
	q := WeightQuant{Bits: bits, Scale: make([]float32, channels), Zero: make([]float32, channels)}
	side, p, per := sidesOf(w), power.New(c.Power), len(w)/channels
	if c.SymmetricWeights {
		side = centred
	}
	for o := range channels {
		best, err := search(ctx, w[o*per:(o+1)*per], bits, side, LpNorm, c, p)
		if err != nil {
			return WeightQuant{}, err
		}
		q.Scale[o], q.Zero[o] = best.scale, best.zero
	}
	return q, nil
}

// allFinite returns an error that names the first value of x that isn't finite.
func allFinite(x []float32) error {
	if i := exec.NonFinite(x); i >= 0 {
		return fmt.Errorf("value %d is %g; no scale fits it", i, x[i])
	}
	return nil
}

// searchActivation returns the quantiser of the activations x with the least LpNorm or Cosine.
func searchActivation(ctx context.Context, x []float32, bits int, c ScaleConfig) (ActQuant, error) {
	if err := allFinite(x); err != nil {
		return ActQuant{}, err
	}
	best, err := search(ctx, x, bits, sidesOf(x), c.Metric, c, power.New(c.Power))
	return ActQuant{Bits: bits, Scale: best.scale, Zero: best.zero}, err
}

// RangeCandidates returns a quantiser for the activations x for each range that a search of scales tries: the k-th
// range is k/Candidates of the full one. Each has the zero point with the least LpNorm, the first of equals.
func RangeCandidates(ctx context.Context, x []float32, bits int, c ScaleConfig) ([]ActQuant, error) {
	if err := allFinite(x); err != nil {
		return nil, err
	}
	if err := checkWidth(bits); err != nil {
		return nil, fmt.Errorf("pdq: range candidates: %w", err)
	}
	if len(x) == 0 || c.Candidates < 1 || !(c.Power > 0) {
		return nil, fmt.Errorf("pdq: range candidates: %d values, Candidates %d, Power %g; all must be > 0",
			len(x), c.Candidates, c.Power)
	}
	if c.Candidates > mostCandidates {
		return nil, fmt.Errorf("pdq: range candidates: Candidates is %d; it may be at most %d", c.Candidates, mostCandidates)
	}
	z := newZeroSearch(x, bits, sidesOf(x), LpNorm, power.New(c.Power))
	best := make([]ActQuant, c.Candidates)
	ss := scales(x, bits, c.Candidates, z.side)
	err := parallel(ctx, len(ss), func(i int) {
		c, _ := z.search(ctx, ss[i:i+1]) // fails only where parallel does
		best[i] = ActQuant{Bits: bits, Scale: c.scale, Zero: c.zero}
	})
	return best, err
}
