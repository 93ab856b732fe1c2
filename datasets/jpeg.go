package datasets

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"strings"
)

// jpegHead is what a JPEG file says before its pixels.
type jpegHead struct {
	frame      byte // marker of the frame, 0xc0 to 0xcf, which says how the pixels are coded; 0: there is none
	precision  int  // bits of a sample
	components []jpegComponent
	adobe      int // offset in the file of Adobe's colour transform; 0: there is none
}

// jpegComponent is a component's number of samples in a unit of pixels.
type jpegComponent struct{ h, v int }

// readJPEGHead reads the segments up to the first scan.
// Source: ITU T.81, section B.1.
func readJPEGHead(data []byte) (head jpegHead) {
	for at := 2; at+4 <= len(data); {
		marker := data[at+1]
		switch {
		case data[at] != 0xff || marker == 0xff: // filling
			at++
			continue
		case marker == 0 || 0xd0 <= marker && marker <= 0xd7: // has no length
			at += 2
			continue
		}
		size := int(data[at+2])<<8 | int(data[at+3])
		if marker == 0xda || size < 2 || at+2+size > len(data) { // a scan; or the file is cut
			return head
		}
		segment := data[at+4 : at+2+size]
		switch {
		case marker == 0xee && bytes.HasPrefix(segment, []byte("Adobe")) && len(segment) >= 12:
			head.adobe = at + 4 + 11
		case 0xc0 <= marker && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc && len(segment) >= 6:
			head.frame, head.precision, head.components = marker, int(segment[0]), nil
			for c := segment[6:]; len(c) >= 3; c = c[3:] {
				head.components = append(head.components, jpegComponent{int(c[1] >> 4), int(c[1] & 15)})
			}
		}
		at += 2 + size
	}
	return head
}

// String says what is special about the file, for messages.
func (h jpegHead) String() string {
	switch {
	case h.frame == 0:
		return "a JPEG without a frame"
	case h.frame >= 0xc9:
		return "an arithmetic-coded JPEG"
	case h.frame == 0xc3 || h.frame > 0xc4:
		return "a lossless or hierarchical JPEG"
	case h.precision != 8:
		return fmt.Sprintf("a JPEG of %d bits a sample", h.precision)
	}
	text := fmt.Sprintf("a JPEG of %d components", len(h.components))
	for _, c := range h.components {
		text += fmt.Sprintf(" %dx%d", c.h, c.v)
	}
	return text
}

// steps returns how many columns and rows of the image stand for one sample of component i.
func (h jpegHead) steps(i int) (x, y int) {
	var most jpegComponent
	for _, c := range h.components {
		most.h, most.v = max(most.h, c.h), max(most.v, c.v)
	}
	if i >= len(h.components) {
		return 1, 1
	}
	return max(most.h, 1) / max(h.components[i].h, 1), max(most.v, 1) / max(h.components[i].v, 1)
}

// decodeJPEG decodes a JPEG file as libjpeg does.
func decodeJPEG(data []byte) (*rgb, error) {
	head := readJPEGHead(data)
	const noTransform = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
	file := io.Reader(bytes.NewReader(data))
	inks := len(head.components) == 4
	ycck := inks && head.adobe > 0 && data[head.adobe] != 0
	switch { // the decoder is to leave four components alone: it repeats samples, where libjpeg interpolates
	case ycck:
		file = io.MultiReader(bytes.NewReader(data[:head.adobe]), bytes.NewReader([]byte{0}),
			bytes.NewReader(data[head.adobe+1:]))
	case inks && head.adobe == 0:
		file = io.MultiReader(bytes.NewReader(data[:2]), strings.NewReader(noTransform), bytes.NewReader(data[2:]))
	}
	im, err := jpeg.Decode(file)
	if err != nil {
		return nil, err
	}
	switch im := im.(type) {
	case *image.YCbCr:
		return head.fromYCbCr(im)
	case *image.CMYK:
		return head.fromInks(im, ycck)
	}
	return toRGB(im), nil
}
