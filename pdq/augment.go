package pdq

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pdquant/pdquant/datasets"
)

// augmenter draws batches of calibration images, changed at random.
type augmenter struct {
	images datasets.Images
	c      FineTuneConfig
	seed   uint64
	unit   int // selects the streams of random numbers: a number that no unit has
}

func newAugmenter(images datasets.Images, c Config) augmenter {
	return augmenter{images, c.FineTune, c.Seed, math.MaxInt32}
}

// withMirrored returns the images, followed by a mirrored copy of each.
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

// batch returns size changed images for the given step.
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

// draw writes image k to the slice to, randomly mirrored, shifted, turned, scaled and with other contrast and
// brightness.
func (a augmenter) draw(rng *rand.Rand, to []uint8, k int) {
	h, w := a.images.Height, a.images.Width
	from := a.images.Pixels[k*len(to) : (k+1)*len(to)]
	at, light := a.place(rng), a.light(rng, from)
	for y := range h {
		for x := range w {
			fx, fy := at(float64(x), float64(y))
			for c := range a.images.Channels {
				plane := c * h * w
				to[plane+y*w+x] = light(bilinear(from[plane:plane+h*w], w, fx, fy))
			}
		}
	}
}

// place draws a geometric change: a function from a pixel of the new image to its place in the old one.
func (a augmenter) place(rng *rand.Rand) func(x, y float64) (float64, float64) {
	h, w := a.images.Height, a.images.Width
	mirror := 1.0
	if rng.Float64() < a.c.Flip {
		mirror = -1
	}
	shift := min(a.c.Shift, max(h, w)) // a larger shift leaves nothing of the image
	dx, dy := float64(rng.IntN(2*shift+1)-shift), float64(rng.IntN(2*shift+1)-shift)
	size, angle := 1+a.c.Zoom*symmetric(rng), a.c.Turn*symmetric(rng)
	sin, cos := math.Sin(angle)/size, math.Cos(angle)/size
	middleX, middleY := float64(w-1)/2, float64(h-1)/2
	return func(x, y float64) (float64, float64) {
		x, y = mirror*(x-middleX), y-middleY
		return cos*x - sin*y + middleX + dx, sin*x + cos*y + middleY + dy
	}
}

// light draws a change of an image's contrast, around its mean, and of its brightness.
func (a augmenter) light(rng *rand.Rand, image []uint8) func(float64) uint8 {
	contrast, brightness := 1+a.c.Light*symmetric(rng), 255*a.c.Light/2*symmetric(rng)
	mean := 0.0
	for _, v := range image {
		mean += float64(v) / float64(len(image))
	}
	return func(v float64) uint8 {
		return uint8(math.Round(min(max(mean+contrast*(v-mean)+brightness, 0), 255)))
	}
}

// symmetric draws a number uniformly from [-1,1).
func symmetric(rng *rand.Rand) float64 { return 2*rng.Float64() - 1 }

// bilinear interpolates a plane, whose rows have w pixels, at x, y. The border is repeated beyond it.
func bilinear(plane []uint8, w int, x, y float64) float64 {
	x, y = min(max(x, 0), float64(w-1)), min(max(y, 0), float64(len(plane)/w-1))
	left, top := int(x), int(y)
	right, bottom := min(left+1, w-1), min(top+1, len(plane)/w-1)
	across := func(row int) float64 {
		a, b := float64(plane[row*w+left]), float64(plane[row*w+right])
		return a + (x-float64(left))*(b-a)
	}
	above, below := across(top), across(bottom)
	return above + (y-float64(top))*(below-above)
}

// paste copies a rectangle of another image into an image. Its part of the area is uniform in [0,1) (CutMix, arXiv
// 1905.04899).
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
