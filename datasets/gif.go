package datasets

import (
	"bytes"
	"image"
	"image/gif"
)

// decodeGIF decodes the first image of a GIF, on the whole of its screen. c is the file's, with the screen's size and
// palette.
func decodeGIF(data []byte, c image.Config) (*rgb, error) {
	opaque := bytes.Clone(data)
	clearTransparent(opaque)
	im, err := gif.Decode(bytes.NewReader(opaque))
	if err != nil {
		return nil, err
	}
	frame, ok := im.(*image.Paletted)
	if !ok || frame.Rect == image.Rect(0, 0, c.Width, c.Height) {
		return toRGB(im), nil
	}
	screen := image.NewPaletted(image.Rect(0, 0, c.Width, c.Height), frame.Palette)
	for y := frame.Rect.Min.Y; y < frame.Rect.Max.Y; y++ {
		for x := frame.Rect.Min.X; x < frame.Rect.Max.X; x++ {
			screen.SetColorIndex(x, y, frame.ColorIndexAt(x, y))
		}
	}
	return toRGB(screen), nil
}

// clearTransparent makes the colour that is transparent in the first image a colour like the others: the decoder
// forgets what it was.
// Source: GIF89a, sections 18 to 23.
func clearTransparent(data []byte) {
	const header = 13
	if len(data) < header {
		return
	}
	at := header
	if packed := data[10]; packed&0x80 != 0 { // a palette
		at += 3 << (packed&7 + 1)
	}
	for at+3 < len(data) && data[at] == 0x21 { // extensions, before the first image
		if data[at+1] == 0xf9 {
			data[at+3] &^= 1
		}
		at += 2
		for at < len(data) && data[at] != 0 { // blocks
			at += int(data[at]) + 1
		}
		at++
	}
}
