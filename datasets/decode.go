package datasets

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // formats of image.Decode
	_ "image/png"
	"io"

	"github.com/bep/imagemeta"
	_ "golang.org/x/image/bmp" // more formats
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

const (
	maxPixels = 100_000_000   // of an image that is decoded: a file that claims more may be made to exhaust memory
	maxBytes  = 8 * maxPixels // of its file
)

// decodeFile returns the image in a file as RGB: JPEG, PNG, BMP, GIF, TIFF or WebP, whatever its name. orient turns it
// as its EXIF orientation says.
func decodeFile(path string, orient bool) (*rgb, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = fmt.Errorf("more than %d bytes", maxBytes)
	}
	var im *rgb
	if err == nil {
		im, err = decode(data, orient)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return im, nil
}

// decode is decodeFile of a file's content.
func decode(data []byte, orient bool) (*rgb, error) {
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	if errors.Is(err, image.ErrFormat) {
		return nil, fmt.Errorf("%s, not an image that can be read: %s", whatIs(data), pictureFormats)
	}
	if err != nil {
		return nil, unreadable(data, format, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return nil, fmt.Errorf("%d x %d pixels, not 1 to %d", c.Width, c.Height, maxPixels)
	}
	var out *rgb
	switch format {
	case "jpeg":
		out, err = decodeJPEG(data)
	case "gif":
		out, err = decodeGIF(data, c)
	default:
		out, err = decodeOther(data, format)
	}
	if err != nil {
		return nil, unreadable(data, format, err)
	}
	if !orient {
		return out, nil
	}
	turn, err := orientation(bytes.NewReader(data), format)
	if err != nil {
		return nil, err
	}
	return out.turned(turn), nil
}

// decodeOther decodes an image of PNG, BMP, TIFF or WebP.
func decodeOther(data []byte, format string) (*rgb, error) {
	if format == "tiff" && faxed(data) {
		return nil, errors.New("pixels coded as for fax") // which the decoder inverts
	}
	file := io.Reader(bytes.NewReader(data))
	if format == "png" { // the end that some files lack
		file = io.MultiReader(file, bytes.NewReader([]byte("\x00\x00\x00\x00IEND\xae\x42\x60\x82")))
	}
	im, _, err := image.Decode(file)
	if err != nil {
		return nil, err
	}
	lossy, isLossy := im.(*image.YCbCr)
	if withAlpha, ok := im.(*image.NYCbCrA); ok {
		lossy, isLossy = &withAlpha.YCbCr, true
	}
	deep, isDeep := im.(*image.NRGBA64)
	var out *rgb
	switch {
	case format == "webp" && isLossy:
		out = fromWebP(lossy)
	case format == "png" && isDeep && data[pngColour] == 0:
		out = fromDeepGrey(deep)
	default:
		out = toRGB(im)
	}
	if out == nil {
		return nil, fmt.Errorf("pixels of type %T", im)
	}
	return out, nil
}

const pngColour = 8 + 8 + 9 // offset in a PNG of its kind of colour, 0 for grey

// fromDeepGrey is toRGB of grey of 16 bits, which the decoder makes a colour where one of the greys is transparent.
func fromDeepGrey(im *image.NRGBA64) *rgb {
	grey := image.NewGray16(image.Rect(0, 0, im.Rect.Dx(), im.Rect.Dy()))
	for i := 0; i < len(grey.Pix); i += 2 {
		copy(grey.Pix[i:i+2], im.Pix[4*i:])
	}
	return toRGB(grey)
}

// toRGB returns im as Pillow's convert("RGB") does; nil for kinds that no format has. Transparency is dropped, not
// blended.
func toRGB(im image.Image) *rgb {
	b := im.Bounds()
	out := newRGB(b.Dx(), b.Dy())
	switch im := im.(type) {
	case *image.Gray:
		out.fill(func(x, y int) (r, g, b uint8) {
			v := im.Pix[y*im.Stride+x]
			return v, v, v
		})
	case *image.Gray16: // Pillow takes such numbers as they are, and clips
		out.fill(func(x, y int) (r, g, b uint8) {
			i := y*im.Stride + 2*x
			v := uint8(min(int(im.Pix[i])<<8|int(im.Pix[i+1]), 255))
			return v, v, v
		})
	case *image.CMYK:
		out.fill(func(x, y int) (r, g, b uint8) {
			p := im.Pix[y*im.Stride+4*x:]
			return fromCMYK(p[0], p[1], p[2], p[3])
		})
	case *image.Paletted:
		var colours [256]color.NRGBA // black where the palette ends early
		for i, c := range im.Palette {
			colours[i] = color.NRGBAModel.Convert(c).(color.NRGBA)
		}
		out.fill(func(x, y int) (r, g, b uint8) {
			c := colours[im.Pix[y*im.Stride+x]]
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

// orientation returns EXIF's orientation of the file in r, 1 to 8; 1 if it has none.
func orientation(r io.ReadSeeker, format string) (int, error) {
	kind, ok := map[string]imagemeta.ImageFormat{"jpeg": imagemeta.JPEG, "png": imagemeta.PNG,
		"tiff": imagemeta.TIFF, "webp": imagemeta.WebP}[format]
	if !ok {
		return 1, nil
	}
	turn := 1
	err := imagemeta.Decode(imagemeta.Options{
		R: r, Sources: imagemeta.EXIF,
		ImageFormat:     kind,
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
