package datasets

import "image"

// fromYCbCr sets out to the colours of im, of the same size. Chroma that has fewer pixels is interpolated
// as libjpeg does by default ("fancy upsampling"). Go's own conversion repeats it: 420.jpg of the
// tests then differs from libjpeg's by 3 levels in the mean and 46 at most, instead of 0.04 and 2.
//
// Source: libjpeg, jdsample.c (h2v1_fancy_upsample, h2v2_fancy_upsample) and jdcolor.c.
func fromYCbCr(out *rgb, im *image.YCbCr) {
	cb, cr := upsampled(im, im.Cb), upsampled(im, im.Cr)
	out.fill(func(x, y int) (r, g, b uint8) {
		luma := int32(im.Y[y*im.YStride+x])
		u, v := int32(cb[y*out.w+x])-128, int32(cr[y*out.w+x])-128
		const half = 1 << 15 // 1.402, 0.71414, 0.34414 and 1.772 in 16 bits of fraction
		red, green, blue := luma+(91881*v+half)>>16, luma+(-22554*u-46802*v+half)>>16, luma+(116130*u+half)>>16
		return clamp8(red), clamp8(green), clamp8(blue)
	})
}

func clamp8(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

// upsampled returns the chroma plane of im at the size of its luma.
func upsampled(im *image.YCbCr, plane []uint8) []uint8 {
	w, h := im.Rect.Dx(), im.Rect.Dy()
	out := make([]uint8, w*h)
	switch im.SubsampleRatio {
	case image.YCbCrSubsampleRatio420:
		fancyH2V2(out, plane, w, h, im.CStride)
	case image.YCbCrSubsampleRatio422:
		for y := range h {
			fancyH2V1(out[y*w:(y+1)*w], plane[y*im.CStride:])
		}
	default: // each value as often as it stands for
		for y := range h {
			for x := range w {
				out[y*w+x] = plane[im.COffset(im.Rect.Min.X+x, im.Rect.Min.Y+y)]
			}
		}
	}
	return out
}

// fancyH2V1 doubles a row: each new value is 3/4 of the nearer old one and 1/4 of the other.
func fancyH2V1(out, row []uint8) {
	n := (len(out) + 1) / 2
	for x := range out {
		i := x / 2
		near, other, round := int(row[i]), i-1, 1
		if x%2 == 1 {
			other, round = i+1, 2
		}
		if other < 0 || other >= n {
			out[x] = row[i]
			continue
		}
		out[x] = uint8((3*near + int(row[other]) + round) / 4)
	}
}

// fancyH2V2 doubles a plane in both directions.
func fancyH2V2(out, plane []uint8, w, h, stride int) {
	rows, n := (h+1)/2, (w+1)/2
	sums := make([]int, n) // 3 of the nearer row and 1 of the other
	for y := range h {
		i := y / 2
		other := i - 1
		if y%2 == 1 {
			other = i + 1
		}
		other = min(max(other, 0), rows-1)
		for x := range sums {
			sums[x] = 3*int(plane[i*stride+x]) + int(plane[other*stride+x])
		}
		for x := range w {
			k := x / 2
			next, round := k-1, 8
			if x%2 == 1 {
				next, round = k+1, 7
			}
			if next < 0 || next >= n {
				out[y*w+x] = uint8((4*sums[k] + round) / 16)
				continue
			}
			out[y*w+x] = uint8((3*sums[k] + sums[next] + round) / 16)
		}
	}
}
