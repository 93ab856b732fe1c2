package experiment

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/pdquant/pdquant/datasets"
)

// distort adds noise to every second image, beginning with the first, and blurs the others.
func distort(images datasets.Images) {
	rng := rand.New(rand.NewPCG(1, 0))
	per := images.Channels * images.Height * images.Width
	for i := range images.Len() {
		image := images.Pixels[i*per : (i+1)*per]
		if i%2 == 0 {
			addNoise(rng, image)
			continue
		}
		for plane := range slices.Chunk(image, images.Height*images.Width) {
			blur(plane, images.Width)
		}
	}
}

// addNoise adds normal noise, of a standard deviation of 7 of 255.
func addNoise(rng *rand.Rand, image []uint8) {
	for i, v := range image {
		image[i] = uint8(math.Round(min(max(float64(v)+7*rng.NormFloat64(), 0), 255)))
	}
}

// blur makes each pixel of a plane of rows of w pixels a mean of 3x3, with the weights of a normal distribution of 0.55
// pixels. Beyond the border, the border is repeated.
func blur(plane []uint8, w int) {
	side := math.Exp(-1 / (2 * 0.55 * 0.55))
	weights := []float64{side / (1 + 2*side), 1 / (1 + 2*side), side / (1 + 2*side)}
	from, h := slices.Clone(plane), len(plane)/w
	for i := range plane {
		sum := 0.0
		for dy, a := range weights {
			for dx, b := range weights {
				y, x := min(max(i/w+dy-1, 0), h-1), min(max(i%w+dx-1, 0), w-1)
				sum += a * b * float64(from[y*w+x])
			}
		}
		plane[i] = uint8(math.Round(sum))
	}
}
