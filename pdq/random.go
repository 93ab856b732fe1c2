package pdq

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// coins draws elements with a probability, 64 at a time.
type coins struct {
	rng    *rand.PCG
	spread [256][8]bool // the bits of a byte, lowest first
}

func newCoins(rng *rand.PCG) *coins {
	c := &coins{rng: rng}
	for b := range c.spread {
		for i := range c.spread[b] {
			c.spread[b][i] = b>>i&1 == 1
		}
	}
	return c
}

// word returns 64 independent bits, each 1 with probability p, to 1/65536. A p with few binary
// digits needs few draws: 1/2 needs one.
func (c *coins) word(p float64) uint64 {
	digits := uint32(math.Round(p * 65536))
	if digits == 65536 {
		return math.MaxUint64
	}
	var w uint64
	for i := bits.TrailingZeros32(digits); i < 16; i++ {
		if draw := c.rng.Uint64(); digits>>i&1 == 1 {
			w |= draw
		} else {
			w &= draw
		}
	}
	return w
}

// fill sets each element of x to true with probability p.
func (c *coins) fill(x []bool, p float64) {
	for len(x) > 0 {
		w := c.word(p)
		for range 8 {
			x = x[copy(x, c.spread[w&0xff][:]):]
			w >>= 8
		}
	}
}

// mix replaces each element of x by that of y with probability p.
func (c *coins) mix(x, y []float32, p float64) {
	for lo := 0; lo < len(x); lo += 64 {
		w := c.word(p)
		part, other := x[lo:min(lo+64, len(x))], y[lo:]
		for i, v := range part { // without branches: they would be mispredicted
			a, b := math.Float32bits(v), math.Float32bits(other[i])
			part[i] = math.Float32frombits(a ^ (a^b)&-uint32(w>>i&1))
		}
	}
}
