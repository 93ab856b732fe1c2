package pdq

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// stream returns the random numbers for one image of a step's batch or, with image -1, for the choice of the batch.
// They don't depend on other units, on earlier steps, or on the images that are computed together.
func stream(seed uint64, unit, step, image int) *rand.ChaCha8 {
	var key [32]byte
	for i, v := range []uint64{seed, uint64(unit), uint64(step), uint64(image)} {
		binary.LittleEndian.PutUint64(key[8*i:], v)
	}
	return rand.NewChaCha8(key)
}

// coins selects elements with a given probability, 64 at a time.
type coins struct {
	rng    rand.Source
	spread *[256][8]bool // the result of spreadBytes
}

// spreadBytes returns the bits of each byte, lowest first.
func spreadBytes() *[256][8]bool {
	var s [256][8]bool
	for b := range s {
		for i := range s[b] {
			s[b][i] = b>>i&1 == 1
		}
	}
	return &s
}

// word returns 64 independent bits, each 1 with probability p, which is rounded to a multiple of 1/65536. If p has few
// binary digits, it takes few draws: one for 1/2.
func (c coins) word(p float64) uint64 {
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
func (c coins) fill(x []bool, p float64) {
	for len(x) > 0 {
		w := c.word(p)
		for range 8 {
			x = x[copy(x, c.spread[w&0xff][:]):]
			w >>= 8
		}
	}
}

// mix replaces each element of x by the element of y with probability p.
func (c coins) mix(x, y []float32, p float64) {
	for lo := 0; lo < len(x); lo += 64 {
		w := c.word(p)
		part, other := x[lo:min(lo+64, len(x))], y[lo:]
		for i, v := range part { // without branches, which processors would mispredict
			a, b := math.Float32bits(v), math.Float32bits(other[i])
			part[i] = math.Float32frombits(a ^ (a^b)&-uint32(w>>i&1))
		}
	}
}
