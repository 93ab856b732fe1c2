package datasets

import (
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const formatsDir = "testdata/formats"

// TestDecode compares the pixels of files of many kinds with Pillow's; make.py there tells the kinds.
func TestDecode(t *testing.T) {
	for _, c := range []struct {
		file string
		mean float64 // levels of 255 that pixels may differ in the mean
		most int     // and at most
	}{
		{"1x2.jpg", 0.2, 3}, {"4x1.jpg", 0.2, 3}, {"2x2_1x1_1x2.jpg", 0.2, 3}, {"1x1_2x1_1x1.jpg", 0.2, 3},
		{"tiny.jpg", 0.2, 3}, {"rgb.jpg", 0.2, 3}, {"ycck.jpg", 0.2, 3}, {"cmyk.jpg", 0.2, 3}, {"noadobe.jpg", 0.2, 3},
		{"lossy.webp", 0, 0}, {"even.webp", 0, 0}, {"alpha.webp", 0, 0}, {"lossless.webp", 0, 0},
		{"bmp.jpg", 0, 0}, {"palette.bmp", 0, 0}, {"tiff.jpg", 0, 0}, {"transparent.gif", 0, 0}, {"gif.jpg", 0, 0},
		{"grey16.png", 0, 0}, {"noend.png", 0, 0},
	} {
		im, err := decodeFile(filepath.Join(formatsDir, c.file), false)
		if err != nil {
			t.Error(err)
			continue
		}
		mean, most := levels(t, im.pix, goldenImage(t, formatsDir, c.file))
		t.Logf("%-16s %.3f levels from Pillow's in the mean, %d at most", c.file, mean, most)
		if mean > c.mean || most > c.most {
			t.Errorf("%s: %.3f levels from Pillow's in the mean, %d at most; want up to %g and %d",
				c.file, mean, most, c.mean, c.most)
		}
	}
}

// TestDecodeErrors: the message says what the file is.
func TestDecodeErrors(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(formatsDir, "1x2.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	deep := slices.Clone(whole)
	deep[strings.Index(string(deep), "\xff\xc0")+4] = 12
	for name, c := range map[string]struct{ file, want string }{
		"page":      {"<!DOCTYPE html><html>", "a web page, not an image that can be read: " + pictureFormats},
		"empty":     {"", "an empty file"},
		"zeros":     {string(make([]byte, 600)), "a file of zeros"},
		"text":      {"Not found", "a text"},
		"lfs":       {"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS; fetch"},
		"heic":      {"\x00\x00\x00\x18ftypheic", "a HEIC image"},
		"avif":      {"\x00\x00\x00\x18ftypavif", "an AVIF image"},
		"jp2":       {"\x00\x00\x00\x0cjP  \r\n", "a JPEG 2000 image"},
		"zip":       {"PK\x03\x04", "an archive"},
		"unknown":   {"\x01\x02\x03\x04", "a file of unknown content"},
		"cut":       {string(whole[:len(whole)-99]), "a JPEG of 3 components 1x2 1x1 1x1 that is cut off: "},
		"deep":      {string(deep), "a JPEG of 12 bits a sample: "},
		"head only": {"\xff\xd8\xff\xd9", "a JPEG without a frame: "},
		"tiff head": {"II*\x00\xff\xff\xff\xff", "a TIFF: "},
		"png head":  {"\x89PNG\r\n\x1a\n", "a PNG that is cut off: "},
	} {
		path := writeFile(t, "a.jpg", []byte(c.file))
		if _, err := decodeFile(path, true); lacks(err, path+": "+c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for file, want := range map[string]string{
		"3x1.jpg":        "a JPEG of 3 components 3x1 1x1 1x1: ",
		"arithmetic.jpg": "an arithmetic-coded JPEG: ",
		"animated.webp":  "an animated WebP: ",
		"fax.tiff":       "a TIFF: pixels coded as for fax",
	} {
		if _, err := decodeFile(filepath.Join(formatsDir, file), false); lacks(err, file+": "+want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// FuzzDecode: no file makes decode panic.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(formatsDir + "/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, _, err := image.DecodeConfig(strings.NewReader(string(data))); err == nil && c.Width*c.Height > 1<<20 {
			t.Skip("a large image")
		}
		im, err := decode(data, true)
		if (im == nil) == (err == nil) {
			t.Errorf("image %v, error %v", im, err)
		}
		if err == nil && len(im.pix) != 3*im.w*im.h {
			t.Errorf("%d numbers for %d x %d", len(im.pix), im.w, im.h)
		}
	})
}
