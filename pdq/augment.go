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
	unit   int     // selects the streams of random numbers: a number that no unit has
	lo, hi float64 // between which pixels or values stay
}

func newAugmenter(images datasets.Images, c Config) augmenter {
	a := augmenter{images, c.FineTune, c.Seed, math.MaxInt32, 0, 255}
	if len(images.Values) > 0 {
		a.lo, a.hi = float64(slices.Min(images.Values)), float64(slices.Max(images.Values))
	}
	return a
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
	mirror(out.Pixels[len(out.Pixels)/2:], images.Width)
	mirror(out.Values[len(out.Values)/2:], images.Width)
	return out, nil
}

// mirror reverses each row of w pixels.
func mirror[T any](pixels []T, w int) {
	for row := range slices.Chunk(pixels, w) {
		slices.Reverse(row)
	}
}

// batch returns size changed images for the given step.
func (a augmenter) batch(step, size int) (datasets.Images, error) {
	indices := datasets.Sample(stream(a.seed, a.unit, step, -1), size, a.images.Len())
	out, err := a.images.Select(indices)
	if err != nil {
		return out, err
	}
	if a.images.Values != nil {
		change(a, step, indices, out.Values, a.images.Values, func(v float64) float32 { return float32(v) })
	} else {
		change(a, step, indices, out.Pixels, a.images.Pixels, func(v float64) uint8 { return uint8(math.Round(v)) })
	}
	return out, nil
}

// change writes the images at indices of all to the slice to, changed at random.
func change[T uint8 | float32](a augmenter, step int, indices []int, to, all []T, store func(float64) T) {
	per := len(to) / len(indices)
	for i, to := range slices.Collect(slices.Chunk(to, per)) {
		rng := rand.New(stream(a.seed, a.unit, step, i))
		draw(a, rng, to, all[indices[i]*per:][:per], store)
		if rng.Float64() < a.c.Mix {
			other, k := make([]T, per), rng.IntN(a.images.Len())
			draw(a, rng, other, all[k*per:][:per], store)
			paste(a, rng, to, other)
		}
	}
}

// draw writes an image to the slice to, randomly mirrored, shifted, turned, scaled and with other contrast and
// brightness.
func draw[T uint8 | float32](a augmenter, rng *rand.Rand, to, from []T, store func(float64) T) {
	h, w := a.images.Height, a.images.Width
	at := a.place(rng)
	light := a.light(rng, meanOf(from))
	for y := range h {
		for x := range w {
			fx, fy := at(float64(x), float64(y))
			for c := range a.images.Channels {
				plane := c * h * w
				to[plane+y*w+x] = store(light(bilinear(from[plane:plane+h*w], w, fx, fy)))
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

// light draws a change of the contrast of an image of this mean, and of its brightness.
func (a augmenter) light(rng *rand.Rand, mean float64) func(float64) float64 {
	contrast, brightness := 1+a.c.Light*symmetric(rng), (a.hi-a.lo)*a.c.Light/2*symmetric(rng)
	return func(v float64) float64 { return min(max(mean+contrast*(v-mean)+brightness, a.lo), a.hi) }
}

// meanOf returns the mean of an image's pixels.
func meanOf[T uint8 | float32](image []T) float64 {
	m := 0.0
	for _, v := range image {
		m += float64(v) / float64(len(image))
	}
	return m
}

// symmetric draws a number uniformly from [-1,1).
func symmetric(rng *rand.Rand) float64 { return 2*rng.Float64() - 1 }

// bilinear interpolates a plane, whose rows have w pixels, at x, y. The border is repeated beyond it.
func bilinear[T uint8 | float32](plane []T, w int, x, y float64) float64 {
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
func paste[T any](a augmenter, rng *rand.Rand, to, other []T) {
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
