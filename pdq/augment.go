package pdq

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pdquant/pdquant/datasets"
)

// augmenter draws batches of images that are mirrored, moved and mixed at random.
type augmenter struct {
	images datasets.Images
	c      FineTuneConfig
	seed   uint64
	unit   int // of the streams of random numbers: none of the units'
}

func newAugmenter(images datasets.Images, c Config) augmenter {
	return augmenter{images, c.FineTune, c.Seed, math.MaxInt32}
}

// withMirrored returns the images with a mirrored copy of each behind them.
func withMirrored(images datasets.Images) (datasets.Images, error) {
	n := images.Len()
	indices := make([]int, 2*n)
	for i := range indices {
		indices[i] = i % n
	}
	out, err := images.Select(indices)
	if err != nil {
		return out, err
	}
	copies := out.Pixels[len(out.Pixels)/2:]
	for row := range slices.Chunk(copies, images.Width) {
		slices.Reverse(row)
	}
	return out, nil
}

// batch returns the images of a step.
func (a augmenter) batch(step, size int) (datasets.Images, error) {
	indices := datasets.Sample(stream(a.seed, a.unit, step, -1), size, a.images.Len())
	out, err := a.images.Select(indices)
	if err != nil {
		return out, err
	}
	per := len(out.Pixels) / size
	for i := range indices {
		rng := rand.New(stream(a.seed, a.unit, step, i))
		to := out.Pixels[i*per : (i+1)*per]
		a.draw(rng, to, indices[i])
		if rng.Float64() < a.c.Mix {
			other := make([]uint8, per)
			a.draw(rng, other, rng.IntN(a.images.Len()))
			a.paste(rng, to, other)
		}
	}
	return out, nil
}

// draw writes image k, perhaps mirrored and moved.
func (a augmenter) draw(rng *rand.Rand, to []uint8, k int) {
	h, w := a.images.Height, a.images.Width
	from := a.images.Pixels[k*len(to) : (k+1)*len(to)]
	mirror := rng.Float64() < a.c.Flip
	shift := min(a.c.Shift, max(h, w)) // moved further, nothing is left
	dx, dy := rng.IntN(2*shift+1)-shift, rng.IntN(2*shift+1)-shift
	for i := range to {
		c, y, x := i/(h*w), i/w%h, i%w
		if mirror {
			x = w - 1 - x
		}
		y, x = min(max(y+dy, 0), h-1), min(max(x+dx, 0), w-1)
		to[i] = from[(c*h+y)*w+x]
	}
}

// paste puts a rectangle of another image into an image: its share of the area is uniform (CutMix, arXiv 1905.04899).
func (a augmenter) paste(rng *rand.Rand, to, other []uint8) {
	h, w := a.images.Height, a.images.Width
	side := math.Sqrt(rng.Float64())
	rows, columns := int(side*float64(h)), int(side*float64(w))
	top, left := rng.IntN(h-rows+1), rng.IntN(w-columns+1)
	for c := range a.images.Channels {
		for y := top; y < top+rows; y++ {
			at := (c*h+y)*w + left
			copy(to[at:at+columns], other[at:at+columns])
		}
	}
}
