package datasets

import (
	"fmt"
	"image"
	"math/rand/v2"
	"path/filepath"
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
		w, h, by := 1+rng.IntN(40), 1+rng.IntN(40), Interpolation(rng.IntN(2))
		x, y := rng.IntN(w), rng.IntN(h)
		part := image.Rect(x, y, x+1+rng.IntN(w-x), y+1+rng.IntN(h-y))
		if got := resizePart(im, w, h, part, by); !slices.Equal(got.pix, resize(im, w, h, by).crop(part).pix) {
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
	fuzzed.Within(t, 2<<20, func() { resizePart(im, w, h, centre(w, h, c.Width, c.Height), Bilinear) })
}

// TestInterpolation: the numbers of Pillow, to the bit. testdata/resize/make.py made them.
func TestInterpolation(t *testing.T) {
	const dir = "testdata/resize"
	check := func(im *rgb, key string, w, h int, by Interpolation) {
		key = fmt.Sprintf("%s/%v/%dx%d", key, by, w, h)
		if mean, most := levels(t, resize(im, w, h, by).pix, goldenImage(t, dir, key)); most > 0 {
			t.Errorf("%s: %g levels from Pillow's in the mean, %d at most", key, mean, most)
		}
	}
	for _, name := range []string{"rgb.png", "small.png"} {
		im, err := decodeFile(filepath.Join(imagesDir, name), false)
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range []Interpolation{Bilinear, Bicubic} {
			for _, size := range [][2]int{{37, 31}, {131, 60}, {24, 97}} {
				check(im, name, size[0], size[1], by)
			}
		}
	}
	edges := &rgb{29, 23, goldenImage(t, dir, "edges")}
	check(edges, "edges", 47, 60, Bicubic)
	check(edges, "edges", 11, 9, Bicubic)
}
