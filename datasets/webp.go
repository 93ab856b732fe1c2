package datasets

import "image"

// fromWebP returns the colours of a lossy WebP image. Its luma and chroma have the range of video, 16 to 235 and 240,
// and chroma is interpolated. Go's own conversion takes the range for JPEG's, 0 to 255, and repeats chroma.
//
// Source: libwebp, src/dsp/upsampling.c and src/dsp/yuv.h.
func fromWebP(im *image.YCbCr) *rgb {
	out := newRGB(im.Rect.Dx(), im.Rect.Dy())
	w, h := divideUp(out.w, 2), divideUp(out.h, 2)
	chroma := func(plane []uint8, x, y int) int32 {
		nextX, nextY := x/2-1+2*(x%2), min(max(y/2-1+2*(y%2), 0), h-1)
		near, below := int32(plane[y/2*im.CStride+x/2]), int32(plane[nextY*im.CStride+x/2])
		if nextX < 0 || nextX >= w {
			return (3*near + below + 2) >> 2
		}
		beside, across := int32(plane[y/2*im.CStride+nextX]), int32(plane[nextY*im.CStride+nextX])
		return ((near+3*beside+3*below+across+8)>>3 + near) >> 1
	}
	out.fill(func(x, y int) (r, g, b uint8) {
		luma := int32(im.Y[y*im.YStride+x]) * 19077 >> 8
		u, v := chroma(im.Cb, x, y), chroma(im.Cr, x, y)
		red := luma + v*26149>>8 - 14234
		green := luma - u*6419>>8 - v*13320>>8 + 8708
		blue := luma + u*33050>>8 - 17685
		return clamp8(red >> 6), clamp8(green >> 6), clamp8(blue >> 6)
	})
	return out
}
