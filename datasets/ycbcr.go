package datasets

import (
	"errors"
	"image"
)

// fromYCbCr returns the colours of im. Components that have fewer samples than the image has pixels are interpolated as
// libjpeg does by default ("fancy upsampling"). Go's own conversion repeats them: 420.jpg of the tests then differs
// from libjpeg's by 3 levels in the mean and 46 at most, instead of 0.04 and 2.
//
// Source: libjpeg-turbo, jdsample.c (jinit_upsampler, h2v1, h1v2 and h2v2_fancy_upsample) and jdcolor.c.
func (h jpegHead) fromYCbCr(im *image.YCbCr) (*rgb, error) {
	out := newRGB(im.Rect.Dx(), im.Rect.Dy())
	repeated := im.SubsampleRatio == image.YCbCrSubsampleRatio444 // by the decoder, where it has no other ratio
	var samples [3][]uint8
	for i, c := range []component{
		{im.Y, im.YStride, repeated}, {im.Cb, im.CStride, repeated}, {im.Cr, im.CStride, repeated},
	} {
		var err error
		if samples[i], err = h.whole(i, c, out); err != nil {
			return nil, err
		}
	}
	luma, cb, cr := samples[0], samples[1], samples[2]
	for i := range luma {
		out.pix[3*i], out.pix[3*i+1], out.pix[3*i+2] = colour(luma[i], cb[i], cr[i])
	}
	return out, nil
}

// fromInks returns the colours of im, whose four components are stored inverted: ink, or luma and chroma of ink (ycck).
func (h jpegHead) fromInks(im *image.CMYK, ycck bool) (*rgb, error) {
	out := newRGB(im.Rect.Dx(), im.Rect.Dy())
	var samples [4][]uint8
	for i := range samples {
		plane := make([]uint8, out.w*out.h)
		for y := range out.h {
			for x := range out.w {
				plane[y*out.w+x] = 255 - im.Pix[y*im.Stride+4*x+i]
			}
		}
		var err error
		if samples[i], err = h.whole(i, component{plane, out.w, true}, out); err != nil {
			return nil, err
		}
	}
	out.fill(func(x, y int) (r, g, b uint8) {
		at := y*out.w + x
		cyan, magenta, yellow := 255-samples[0][at], 255-samples[1][at], 255-samples[2][at]
		if ycck {
			cyan, magenta, yellow = colour(samples[0][at], samples[1][at], samples[2][at])
		}
		return fromCMYK(cyan, magenta, yellow, 255-samples[3][at])
	})
	return out, nil
}

// component is the samples of a component as the decoder gives them.
type component struct {
	pix      []uint8
	stride   int
	repeated bool // each as often as it stands for a pixel
}

// whole returns component i with a value for each pixel of im.
func (h jpegHead) whole(i int, c component, im *rgb) ([]uint8, error) {
	x, y := h.steps(i)
	p := plane2D{w: divideUp(im.w, x), h: divideUp(im.h, y)}
	stepX, stepY := 1, 1
	if c.repeated {
		stepX, stepY = x, y
	}
	if (p.h-1)*stepY*c.stride+(p.w-1)*stepX >= len(c.pix) {
		return nil, errors.New("a JPEG with two frames")
	}
	p.pix = make([]uint8, 0, p.w*p.h)
	for y := range p.h {
		row := c.pix[y*stepY*c.stride:]
		if stepX == 1 {
			p.pix = append(p.pix, row[:p.w]...)
			continue
		}
		for x := range p.w {
			p.pix = append(p.pix, row[x*stepX])
		}
	}
	return p.upsampled(im.w, im.h, x, y), nil
}

// colour converts luma and chroma.
func colour(luma, cb, cr uint8) (r, g, b uint8) {
	l, u, v := int32(luma), int32(cb)-128, int32(cr)-128
	const half = 1 << 15 // 1.402, 0.71414, 0.34414 and 1.772 in 16 bits of fraction
	red, green, blue := l+(91881*v+half)>>16, l+(-22554*u-46802*v+half)>>16, l+(116130*u+half)>>16
	return clamp8(red), clamp8(green), clamp8(blue)
}

// fromCMYK converts amounts of ink as Pillow does.
func fromCMYK(c, m, y, k uint8) (r, g, b uint8) {
	paper := 255 - int(k)
	return uint8(paper) - scale8(int(c), paper), uint8(paper) - scale8(int(m), paper), uint8(paper) - scale8(int(y), paper)
}

func clamp8(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

func divideUp(a, b int) int { return (a + b - 1) / b }

// plane2D is the samples of a component, [h,w].
type plane2D struct {
	w, h int
	pix  []uint8
}

// upsampled returns p for an image of w x h pixels, of which stepX x stepY stand for one sample.
func (p plane2D) upsampled(w, h, stepX, stepY int) []uint8 {
	if stepX == 1 && stepY == 1 {
		return p.pix
	}
	out := make([]uint8, w*h)
	sums := make([]int, p.w)
	wide := stepX == 2 && p.w > 2 // libjpeg doesn't interpolate narrower ones
	for y := range h {
		row := out[y*w : (y+1)*w]
		switch {
		case wide && stepY == 2:
			p.fancyH2V2(row, y, sums)
		case wide && stepY == 1:
			fancyH2V1(row, p.row(y))
		case stepX == 1 && stepY == 2:
			p.fancyH1V2(row, y)
		default: // each sample as often as it stands for
			from := p.row(y / stepY)
			for x := range row {
				row[x] = from[x/stepX]
			}
		}
	}
	return out
}

// row returns row y, or the one at the border that is nearest.
func (p plane2D) row(y int) []uint8 {
	y = min(max(y, 0), p.h-1)
	return p.pix[y*p.w : (y+1)*p.w]
}

// rows returns the nearest row to row y of an image twice as high, and that beyond which y is next to.
func (p plane2D) rows(y int) (near, other []uint8) {
	return p.row(y / 2), p.row(y/2 - 1 + 2*(y%2))
}

// fancyH2V1 doubles a row: each new value is 3/4 of the nearer old one and 1/4 of the other.
func fancyH2V1(out, row []uint8) {
	for x := range out {
		i := x / 2
		near, other, round := int(row[i]), i-1, 1
		if x%2 == 1 {
			other, round = i+1, 2
		}
		if other < 0 || other >= len(row) {
			out[x] = row[i]
			continue
		}
		out[x] = uint8((3*near + int(row[other]) + round) / 4)
	}
}

// fancyH1V2 makes row y of a plane twice as high.
func (p plane2D) fancyH1V2(out []uint8, y int) {
	near, other := p.rows(y)
	for x := range out {
		out[x] = uint8((3*int(near[x]) + int(other[x]) + 1 + y%2) / 4)
	}
}

// fancyH2V2 makes row y of a plane twice as high and wide. sums is room for a row of p.
func (p plane2D) fancyH2V2(out []uint8, y int, sums []int) {
	near, other := p.rows(y)
	for x := range sums {
		sums[x] = 3*int(near[x]) + int(other[x])
	}
	for x := range out {
		k := x / 2
		next, round := k-1, 8
		if x%2 == 1 {
			next, round = k+1, 7
		}
		if next < 0 || next >= p.w {
			out[x] = uint8((4*sums[k] + round) / 16)
			continue
		}
		out[x] = uint8((3*sums[k] + sums[next] + round) / 16)
	}
}
