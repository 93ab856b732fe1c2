package datasets

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // formats of image.Decode
	_ "image/png"
	"io"

	"github.com/bep/imagemeta"
)

const maxPixels = 100_000_000 // of an image that is decoded: a file that claims more may be made to exhaust memory

// decodeFile returns the image in a JPEG or PNG file as RGB. orient turns it as its EXIF orientation says.
func decodeFile(path string, orient bool) (*rgb, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	c, format, err := image.DecodeConfig(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return nil, fmt.Errorf("%s: %d x %d pixels, not 1 to %d", path, c.Width, c.Height, maxPixels)
	}
	turn := 1
	if orient {
		if turn, err = orientation(f, format); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	im, _, err := image.Decode(bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	out := toRGB(im)
	if out == nil {
		return nil, fmt.Errorf("%s: pixels of type %T; convert it to an RGB JPEG or PNG", path, im)
	}
	return out.turned(turn), nil
}

// toRGB returns im as Pillow's convert("RGB") does; nil for kinds that neither JPEG nor PNG has. Transparency is
// dropped, not blended.
func toRGB(im image.Image) *rgb {
	b := im.Bounds()
	out := newRGB(b.Dx(), b.Dy())
	switch im := im.(type) {
	case *image.YCbCr:
		fromYCbCr(out, im)
	case *image.Gray:
		out.fill(func(x, y int) (r, g, b uint8) {
			v := im.Pix[y*im.Stride+x]
			return v, v, v
		})
	case *image.Gray16: // Pillow takes such a PNG's numbers as they are, and clips
		out.fill(func(x, y int) (r, g, b uint8) {
			i := y*im.Stride + 2*x
			v := uint8(min(int(im.Pix[i])<<8|int(im.Pix[i+1]), 255))
			return v, v, v
		})
	case *image.CMYK:
		out.fill(func(x, y int) (r, g, b uint8) {
			p := im.Pix[y*im.Stride+4*x:]
			k := 255 - int(p[3])
			return scale8(255-int(p[0]), k), scale8(255-int(p[1]), k), scale8(255-int(p[2]), k)
		})
	case *image.Paletted:
		out.fill(func(x, y int) (r, g, b uint8) {
			c := color.NRGBAModel.Convert(im.Palette[im.Pix[y*im.Stride+x]]).(color.NRGBA)
			return c.R, c.G, c.B
		})
	case *image.RGBA:
		out.fill(func(x, y int) (r, g, b uint8) { p := im.Pix[y*im.Stride+4*x:]; return p[0], p[1], p[2] })
	case *image.NRGBA:
		out.fill(func(x, y int) (r, g, b uint8) { p := im.Pix[y*im.Stride+4*x:]; return p[0], p[1], p[2] })
	case *image.RGBA64: // the upper bytes
		out.fill(func(x, y int) (r, g, b uint8) { p := im.Pix[y*im.Stride+8*x:]; return p[0], p[2], p[4] })
	case *image.NRGBA64:
		out.fill(func(x, y int) (r, g, b uint8) { p := im.Pix[y*im.Stride+8*x:]; return p[0], p[2], p[4] })
	default:
		return nil
	}
	return out
}

// fill sets each pixel.
func (im *rgb) fill(at func(x, y int) (r, g, b uint8)) {
	for y := range im.h {
		for x := range im.w {
			i := 3 * (y*im.w + x)
			im.pix[i], im.pix[i+1], im.pix[i+2] = at(x, y)
		}
	}
}

// scale8 is a·b/255, rounded as Pillow's MULDIV255.
func scale8(a, b int) uint8 {
	t := a*b + 128
	return uint8((t>>8 + t) >> 8)
}

// turned returns im as EXIF's orientation 1 to 8 says it is to be seen.
func (im *rgb) turned(orientation int) *rgb {
	if orientation >= 5 { // rows and columns are exchanged
		im = im.transposed()
	}
	mirrorX := map[int]bool{2: true, 3: true, 6: true, 7: true}[orientation]
	mirrorY := map[int]bool{3: true, 4: true, 7: true, 8: true}[orientation]
	if mirrorX {
		im = im.flipped()
	}
	if mirrorY {
		im = im.transposed().flipped().transposed()
	}
	return im
}

// orientation returns EXIF's orientation of the file in r, 1 to 8; 1 if it has none. It reads r from the start.
func orientation(r io.ReadSeeker, format string) (int, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	turn := 1
	err := imagemeta.Decode(imagemeta.Options{
		R: r, Sources: imagemeta.EXIF,
		ImageFormat:     map[string]imagemeta.ImageFormat{"jpeg": imagemeta.JPEG, "png": imagemeta.PNG}[format],
		ShouldHandleTag: func(tag imagemeta.TagInfo) bool { return tag.Tag == "Orientation" },
		HandleTag: func(tag imagemeta.TagInfo) error {
			if v, ok := tag.Value.(uint16); ok && 1 <= v && v <= 8 {
				turn = int(v)
			}
			return nil
		},
		Warnf: func(string, ...any) {},
	})
	if imagemeta.IsInvalidFormat(err) { // EXIF that can't be read says nothing
		err = nil
	}
	return turn, err
}
