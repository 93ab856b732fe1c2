package pdq

import (
	"math"
	"math/rand/v2"

	"github.com/pdquant/pdquant/datasets"
)

// augmenter draws batches of images that are mirrored, moved and mixed at random.
type augmenter struct {
	images datasets.Images
	c      AugmentConfig
	seed   uint64
	unit   int // of the streams of random numbers: none of the units'
}

// extended returns the images with c's copies behind them. They are the same for all seeds, as the images are.
func extended(images datasets.Images, c AugmentConfig) (datasets.Images, error) {
	if c.Copies == 0 {
		return images, nil
	}
	n, a := images.Len(), augmenter{images: images, c: c, unit: math.MaxInt32 - 1}
	indices := make([]int, n*(1+c.Copies))
	for i := range indices {
		indices[i] = i % n
	}
	out, err := images.Select(indices)
	if err != nil {
		return out, err
	}
	per := len(out.Pixels) / len(indices)
	for i := n; i < len(indices); i++ {
		a.change(rand.New(stream(a.seed, a.unit, i/n, i%n)), out.Pixels[i*per:(i+1)*per], i%n)
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
		a.change(rand.New(stream(a.seed, a.unit, step, i)), out.Pixels[i*per:(i+1)*per], indices[i])
	}
	return out, nil
}

// change writes image k, changed at random.
func (a augmenter) change(rng *rand.Rand, to []uint8, k int) {
	a.draw(rng, to, k)
	if rng.Float64() < a.c.Mix {
		other := make([]uint8, len(to))
		a.draw(rng, other, rng.IntN(a.images.Len()))
		a.paste(rng, to, other)
	}
}

// draw writes image k, perhaps mirrored and moved.
func (a augmenter) draw(rng *rand.Rand, to []uint8, k int) {
	h, w := a.images.Height, a.images.Width
	from := a.images.Pixels[k*len(to) : (k+1)*len(to)]
	mirror := rng.Float64() < a.c.Flip
	dx, dy := rng.IntN(2*a.c.Shift+1)-a.c.Shift, rng.IntN(2*a.c.Shift+1)-a.c.Shift
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
