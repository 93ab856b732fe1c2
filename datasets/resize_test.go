package datasets

import (
	"image"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// TestResizePart: a part of a resized image is what is cut out of the whole.
func TestResizePart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		im := newRGB(1+rng.IntN(40), 1+rng.IntN(40))
		for i := range im.pix {
			im.pix[i] = uint8(rng.Uint32())
		}
		w, h := 1+rng.IntN(40), 1+rng.IntN(40)
		x, y := rng.IntN(w), rng.IntN(h)
		part := image.Rect(x, y, x+1+rng.IntN(w-x), y+1+rng.IntN(h-y))
		if got := resizePart(im, w, h, part); !slices.Equal(got.pix, resize(im, w, h).crop(part).pix) {
			t.Fatalf("%d x %d to %d x %d: %v differs from that of the whole", im.w, im.h, w, h, part)
		}
	}
}

// TestResizeStrip: an image of one column takes no more time and memory than the part that is needed of it, not those
// of the 256 x 768,000 pixels that it is resized to.
func TestResizeStrip(t *testing.T) {
	im := newRGB(1, 3000)
	c := ImageNetConfig()
	w, h := im.covering(c)
	if w != 256 || h != 768_000 {
		t.Fatalf("resized to %d x %d", w, h)
	}
	fuzzed.Within(t, 2<<20, func() { resizePart(im, w, h, centre(w, h, c.Width, c.Height)) })
}
