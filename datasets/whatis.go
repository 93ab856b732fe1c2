package datasets

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
)

const pictureFormats = "JPEG, PNG, BMP, GIF, TIFF or WebP"

// whatIs says what a file is, by its beginning: "a web page".
func whatIs(data []byte) string {
	if len(bytes.TrimLeft(data, "\x00")) == 0 {
		if len(data) == 0 {
			return "an empty file"
		}
		return "a file of zeros"
	}
	for _, k := range []struct {
		at           int
		start, about string
	}{
		{4, "ftypavif", "an AVIF image"}, {4, "ftyphei", "a HEIC image"}, {4, "ftyphev", "a HEIC image"},
		{4, "ftypmif1", "a HEIF image"}, {4, "ftyp", "a film"},
		{0, "\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"}, {0, "\xff\x4f\xff\x51", "a JPEG 2000 image"},
		{0, "\x00\x00\x00\x0cJXL ", "a JPEG XL image"}, {0, "\xff\x0a", "a JPEG XL image"},
		{0, "8BPS", "a Photoshop file"}, {0, "\x00\x00\x01\x00", "an icon file"}, {0, "v/1\x01", "an OpenEXR image"},
		{0, "P4\n", "a PBM image"}, {0, "P5", "a PGM image"}, {0, "P6", "a PPM image"}, {0, "\x93NUMPY", "a NumPy array"},
		{0, "<svg", "an SVG drawing"},
		{0, "version https://git-lfs", "a pointer of Git LFS; fetch the files with git lfs pull"},
		{0, "MZ", "a program"}, {0, "\x7fELF", "a program"}, {0, "\x00\x05\x16\x07", "a resource file of macOS"},
	} {
		if len(data) > k.at && bytes.HasPrefix(data[k.at:], []byte(k.start)) {
			return k.about
		}
	}
	kind, _, _ := strings.Cut(http.DetectContentType(data), ";")
	switch kind {
	case "text/html":
		return "a web page"
	case "text/xml":
		return "an XML file"
	case "text/plain":
		return "a text"
	case "application/pdf":
		return "a PDF file"
	case "application/zip", "application/x-gzip", "application/x-rar-compressed":
		return "an archive"
	}
	return "a file of unknown content"
}

// unreadable adds to err what the file of an image is.
func unreadable(data []byte, format string, err error) error {
	what := map[string]string{"png": "a PNG", "bmp": "a BMP", "gif": "a GIF", "tiff": "a TIFF", "webp": "a WebP"}[format]
	ending := map[string]string{"jpeg": "\xff\xd9", "png": "IEND"}[format]
	const animated = 2
	switch {
	case format == "jpeg":
		what = readJPEGHead(data).String()
	case format == "webp" && len(data) > 20 && string(data[12:16]) == "VP8X" && data[20]&animated != 0:
		what = "an animated WebP"
	}
	if !bytes.Contains(data, []byte(ending)) {
		what += " that is cut off"
	}
	return fmt.Errorf("%s: %w", what, err)
}

// faxed says whether a TIFF file's first image is coded as for fax.
// Source: TIFF 6.0, sections 2 and 8.
func faxed(data []byte) bool {
	const entrySize, compression = 12, 259
	order := binary.ByteOrder(binary.LittleEndian)
	if data[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return false
	}
	entries := data[at+2:]
	for range order.Uint16(data[at:]) {
		if len(entries) < entrySize {
			break
		}
		if order.Uint16(entries) == compression {
			kind := order.Uint16(entries[8:])
			return 2 <= kind && kind <= 4
		}
		entries = entries[entrySize:]
	}
	return false
}
