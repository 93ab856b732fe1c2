package datasets

import (
	"image"
	"math"
)

// resize returns im with w x h pixels: the numbers of Pillow's Image.resize, in its fixed-point arithmetic, to the bit.
// (BiLinear of golang.org/x/image/draw is the same filter, but differs by 0.2 levels in the mean.)
//
// Source: Pillow, src/libImaging/Resample.c.
func resize(im *rgb, w, h int, by Interpolation) *rgb {
	return resizePart(im, w, h, image.Rect(0, 0, w, h), by)
}

// resizePart returns part of im resized to w x h pixels, and makes nothing of the resized image that isn't needed.
func resizePart(im *rgb, w, h int, part image.Rectangle, by Interpolation) *rgb {
	rows := newFilter(im.h, h, part.Min.Y, part.Max.Y, by)
	top, bottom := rows.span()
	im = im.crop(image.Rect(0, top, im.w, bottom))
	if w != im.w {
		im = im.pass(newFilter(im.w, w, part.Min.X, part.Max.X, by))
	} else {
		im = im.crop(image.Rect(part.Min.X, 0, part.Max.X, im.h))
	}
	for y := range rows.first {
		rows.first[y] -= top
	}
	return im.passDown(rows)
}

// rgb is an image of 8 bits a channel, [H,W,3].
type rgb struct {
	w, h int
	pix  []uint8
}

func newRGB(w, h int) *rgb { return &rgb{w, h, make([]uint8, 3*w*h)} }

const filterBits = 32 - 8 - 2 // of a weight's fraction

// filter says which pixels of a row make each pixel of the resized one.
type filter struct {
	first   []int // the first of them
	weights [][]int32
}

// newFilter returns the filter of pixels lo to hi-1 of a row that is resized from a number of pixels to another.
func newFilter(from, to, lo, hi int, by Interpolation) filter {
	var f filter
	scale := float64(from) / float64(to)
	wider := max(scale, 1)
	support := wider * by.support()
	for x := lo; x < hi; x++ {
		centre := (float64(x) + 0.5) * scale
		first, end := max(int(centre-support+0.5), 0), min(int(centre+support+0.5), from)
		var sum float64
		w := make([]float64, end-first)
		for i := range w {
			w[i] = by.at((float64(first+i) - centre + 0.5) / wider)
			sum += w[i]
		}
		fixed := make([]int32, len(w))
		for i := range w {
			v := w[i] / sum * (1 << filterBits)
			fixed[i] = int32(v + math.Copysign(0.5, v))
		}
		f.first, f.weights = append(f.first, first), append(f.weights, fixed)
	}
	return f
}

// span returns the first pixel that f needs, and the one after the last.
func (f filter) span() (first, end int) {
	last := len(f.first) - 1
	return f.first[0], f.first[last] + len(f.weights[last])
}

// pass resizes each row.
func (im *rgb) pass(f filter) *rgb {
	out := newRGB(len(f.first), im.h)
	at := 0
	for y := range im.h {
		row := im.pix[3*y*im.w : 3*(y+1)*im.w]
		for x, weights := range f.weights {
			r, g, b := int32(1<<(filterBits-1)), int32(1<<(filterBits-1)), int32(1<<(filterBits-1))
			part := row[3*f.first[x]:]
			for i, w := range weights {
				r += int32(part[3*i]) * w
				g += int32(part[3*i+1]) * w
				b += int32(part[3*i+2]) * w
			}
			out.pix[at], out.pix[at+1], out.pix[at+2] = clip8(r), clip8(g), clip8(b)
			at += 3
		}
	}
	return out
}

// passDown resizes each column. It adds up whole rows, which lie in memory one after the other.
func (im *rgb) passDown(f filter) *rgb {
	out := newRGB(im.w, len(f.first))
	sums := make([]int32, 3*im.w)
	for y, weights := range f.weights {
		for i := range sums {
			sums[i] = 1 << (filterBits - 1)
		}
		for k, w := range weights {
			row := im.pix[3*(f.first[y]+k)*im.w:][:len(sums)]
			for i, v := range row {
				sums[i] += int32(v) * w
			}
		}
		to := out.pix[3*y*im.w:][:len(sums)]
		for i, v := range sums {
			to[i] = clip8(v)
		}
	}
	return out
}

func clip8(v int32) uint8 { return uint8(min(max(v>>filterBits, 0), 255)) }

func (im *rgb) transposed() *rgb {
	out := newRGB(im.h, im.w)
	for y := range im.h {
		for x := range im.w {
			copy(out.pix[3*(x*im.h+y):][:3], im.pix[3*(y*im.w+x):])
		}
	}
	return out
}

// crop returns the pixels of r, which lies within im.
func (im *rgb) crop(r image.Rectangle) *rgb {
	out := newRGB(r.Dx(), r.Dy())
	for y := range out.h {
		copy(out.pix[3*y*out.w:], im.pix[3*((r.Min.Y+y)*im.w+r.Min.X):][:3*out.w])
	}
	return out
}

// flipped returns im mirrored, left to right.
func (im *rgb) flipped() *rgb {
	out := newRGB(im.w, im.h)
	for y := range im.h {
		for x := range im.w {
			copy(out.pix[3*(y*im.w+im.w-1-x):][:3], im.pix[3*(y*im.w+x):])
		}
	}
	return out
}

// covering returns the size of im resized for c: the smallest at which im covers a frame of c's proportions whose
// shorter side has c.Resize pixels, or with c.Squash that frame. For a square the former is torchvision's
// Resize(c.Resize).
func (im *rgb) covering(c ImageConfig) (w, h int) {
	short := min(c.Width, c.Height)
	frameW, frameH := c.Resize*c.Width/short, c.Resize*c.Height/short
	if c.Squash {
		return frameW, frameH
	}
	if im.w*frameH <= im.h*frameW {
		return frameW, max(frameH, frameW*im.h/im.w)
	}
	return max(frameW, frameH*im.w/im.h), frameH
}

// centre returns the part of cw x ch pixels in the middle of w x h, as torchvision's CenterCrop((ch, cw)).
func centre(w, h, cw, ch int) image.Rectangle {
	left, top := int(math.RoundToEven(float64(w-cw)/2)), int(math.RoundToEven(float64(h-ch)/2))
	return image.Rect(left, top, left+cw, top+ch)
}
