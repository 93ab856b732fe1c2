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

// candidates lists the quantisers that a search for x tries, in the reference's order: for i = 1..n the range that is
// i/n of the full one and, if x is two-sided, every zero point. x may be one channel of a tensor; side is the whole
// tensor's.
//
// Reference: perform_1D_search and perform_2D_search in quant/quant_layer.py.
func candidates(x []float32, bits, n int, side sides) []candidate {
	lo, hi := extremes(x)
	last := float32(int(1)<<bits - 1)
	var cs []candidate
	for i := 1; i <= n; i++ {
		if side != twoSided {
			full := max(-lo, lo, hi)
			c := candidate{scale: max(full/float32(n)*float32(i)/last, minScale)}
			if side == negative {
				c.zero = last
			}
			cs = append(cs, c)
			continue
		}
		scale := max((max(hi, 0)-min(lo, 0))/float32(n)*float32(i)/last, minScale)
		for zero := range 1 << bits {
			cs = append(cs, candidate{scale, float32(zero)})
		}
	}
	return cs
}

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
	cs := candidates(x, bits, c.Candidates, side)
	if side == twoSided && metric == LpNorm {
		x = outermostFirst(x)
	}
	scores := make([]float64, len(cs))
	var limit atomic.Uint64 // the bits of the best score so far
	limit.Store(math.Float64bits(math.Inf(1)))
	err := parallel(ctx, len(cs), func(i int) {
		i = len(cs) - 1 - i // wide ranges first: they soon give a low limit
		if metric == Cosine {
			scores[i] = cs[i].cosineDistance(x, bits)
			return
		}
		scores[i] = cs[i].errorSum(x, bits, p, math.Float64frombits(limit.Load()))
		for {
			old := limit.Load()
			if scores[i] >= math.Float64frombits(old) || limit.CompareAndSwap(old, math.Float64bits(scores[i])) {
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
	return cs[best], err
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
	cs, p := candidates(x, bits, c.Candidates, sidesOf(x)), power.New(c.Power)
	zeros := len(cs) / c.Candidates
	best := make([]ActQuant, c.Candidates)
	err := parallel(ctx, c.Candidates, func(i int) {
		least := math.Inf(1)
		for _, cand := range cs[i*zeros : (i+1)*zeros] {
			if sum := cand.errorSum(x, bits, p, least); sum < least {
				best[i], least = ActQuant{Bits: bits, Scale: cand.scale, Zero: cand.zero}, sum
			}
		}
	})
	return best, err
}
