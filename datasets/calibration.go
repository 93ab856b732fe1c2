package datasets

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// drawStream is the second seed of the generator behind Draw ("draw" in ASCII). Another
// value is another draw for every seed: never change it.
const drawStream = 0x64726177

// Calibration is a calibration set with the record of how it was drawn.
type Calibration struct {
	Images         // the images drawn, in the order of Indices
	Seed    uint64 // of the draw
	Indices []int  // [N], of the images within the pool they were drawn from
	Crops   []Crop // [N], the part of a file that each image is; nil: the whole images, or their centres
}

// Calibrate draws n different images of pool. Calibrate of the same pool, n and seed is
// the same on every machine. Errors are Draw's.
func Calibrate(pool Images, n int, seed uint64) (Calibration, error) {
	indices, err := Draw(n, pool.Len(), seed)
	if err != nil {
		return Calibration{}, fmt.Errorf("%w (pool %s)", err, pool.Name)
	}
	images, err := pool.Select(indices)
	if err != nil {
		return Calibration{}, err
	}
	return Calibration{Images: images, Seed: seed, Indices: indices}, nil
}

// Draw returns n different indices of 0 to from-1 in random order: the first n of a
// permutation that seed alone decides, so a smaller draw begins a larger one, and both are
// the same on every machine and in every version of Go. It is an error unless
// 1 ≤ n ≤ from.
func Draw(n, from int, seed uint64) ([]int, error) {
	if n < 1 || n > from {
		return nil, fmt.Errorf("datasets: cannot draw %d of %d images; ask for 1 to %d", n, from, max(from, 1))
	}
	return Sample(rand.NewPCG(seed, drawStream), n, from), nil
}

// Sample returns n different indices of 0 to from-1 in random order, and moves rng on. It
// panics unless 0 ≤ n ≤ from.
func Sample(rng rand.Source, n, from int) []int {
	order := make([]int, from)
	for i := range order {
		order[i] = i
	}
	for i := range n { // Fisher and Yates, from the front
		k := i + int(below(rng, uint64(from-i)))
		order[i], order[k] = order[k], order[i]
	}
	return order[:n:n]
}

// below returns a uniform number of 0 to n-1. The method stands here because
// math/rand/v2 promises to keep its sources, not what it derives from them.
// Source: Lemire, Fast random integer generation in an interval, section 4.
func below(rng rand.Source, n uint64) uint64 {
	hi, lo := bits.Mul64(rng.Uint64(), n)
	for reject := -n % n; lo < reject; {
		hi, lo = bits.Mul64(rng.Uint64(), n)
	}
	return hi
}
