package datasets

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"codeberg.org/sbinet/npyio/npz"
)

const imagesDir = "testdata/images"

// goldenImage reads an array of dir's golden.npz, which its make.py wrote.
func goldenImage(t *testing.T, dir, key string) []uint8 {
	t.Helper()
	f, err := npz.Open(filepath.Join(dir, "golden.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var v []uint8
	if err := f.Read(key+".npy", &v); err != nil {
		t.Fatal(key, err)
	}
	return v
}

// levels returns the mean and largest difference of two images.
func levels(t *testing.T, got, want []uint8) (mean float64, most int) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	for i := range got {
		d := int(got[i]) - int(want[i])
		d = max(d, -d)
		mean, most = mean+float64(d), max(most, d)
	}
	return mean / float64(len(got)), most
}

// TestImagesAgree compares decoding, resizing and cutting out with Pillow's and torchvision's.
func TestImagesAgree(t *testing.T) {
	c56 := ImageConfig{Height: 56, Width: 56, Resize: 64}
	for _, c := range []struct {
		file string
		mean float64 // levels of 255 by which decoding and the result may differ
	}{
		{"420.jpg", 0.5}, {"422.jpg", 0.5}, {"444.jpg", 0.5}, {"grey.jpg", 0.5}, {"cmyk.jpg", 0.5}, {"turned.jpg", 0.5},
		{"rgb.png", 0}, {"small.png", 0}, {"palette.png", 0}, {"grey16.png", 0}, {"alpha.png", 0},
	} {
		full, err := decodeFile(filepath.Join(imagesDir, c.file), false)
		if err != nil {
			t.Fatal(err)
		}
		w, h := min(full.w, 40), min(full.h, 40)
		decoding, worst := levels(t, full.crop(image.Rect(0, 0, w, h)).pix, goldenImage(t, imagesDir, c.file+"/decoded"))
		rw, rh := full.covering(c56)
		middle := resizePart(full, rw, rh, centre(rw, rh, 56, 56), Bilinear)
		result, most := levels(t, middle.pix, goldenImage(t, imagesDir, c.file))
		t.Logf("%-12s decoded: %.3f levels in the mean, %d at most; resized and cut out: %.3f, %d",
			c.file, decoding, worst, result, most)
		if decoding > c.mean || result > c.mean {
			t.Errorf("%s: decoded %.3f, resized %.3f levels from Pillow's in the mean, want up to %g",
				c.file, decoding, result, c.mean)
		}
	}
	turned, err := decodeFile(filepath.Join(imagesDir, "turned.jpg"), true)
	if err != nil {
		t.Fatal(err)
	}
	w, h := turned.covering(c56)
	middle := resizePart(turned, w, h, centre(w, h, 56, 56), Bilinear)
	if mean, _ := levels(t, middle.pix, goldenImage(t, imagesDir, "turned.jpg/oriented")); mean > 0.5 {
		t.Errorf("turned.jpg by EXIF: %.3f levels from Pillow's", mean)
	}
	plain, err := decodeFile(filepath.Join(imagesDir, "rgb.png"), false)
	if err != nil {
		t.Fatal(err)
	}
	part := resize(plain.crop(image.Rect(7, 11, 90, 72)), 56, 56, Bilinear)
	if !slices.Equal(part.pix, goldenImage(t, imagesDir, "rgb.png/crop")) {
		t.Error("a part of rgb.png, resized, differs from Pillow's")
	}
}

// TestTurned: each orientation against its definition, where the first row and column of the stored image
// are to be seen (EXIF 2.3, tag 274).
func TestTurned(t *testing.T) {
	im := newRGB(3, 2)
	for i := range im.pix {
		im.pix[i] = uint8(i / 3)
	}
	for o, want := range map[int][]uint8{
		1: {0, 1, 2, 3, 4, 5}, 2: {2, 1, 0, 5, 4, 3}, 3: {5, 4, 3, 2, 1, 0}, 4: {3, 4, 5, 0, 1, 2},
		5: {0, 3, 1, 4, 2, 5}, 6: {3, 0, 4, 1, 5, 2}, 7: {5, 2, 4, 1, 3, 0}, 8: {2, 5, 1, 4, 0, 3},
	} {
		got := im.turned(o)
		for i, v := range want {
			if got.pix[3*i] != v {
				t.Errorf("orientation %d: %v x %v, %v, want %v", o, got.w, got.h, got.pix, want)
				break
			}
		}
	}
}

// folder makes a data set of n images of 70x60 pixels in two classes, each of one grey level, its number.
func folder(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		class := filepath.Join(dir, []string{"n01", "n02"}[i%2])
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		im := image.NewGray(image.Rect(0, 0, 70, 60))
		for j := range im.Pix {
			im.Pix[j] = uint8(i)
		}
		writePNG(t, filepath.Join(class, string(rune('a'+i/26))+string(rune('a'+i%26))+".png"), im)
	}
	return dir
}

func writePNG(t *testing.T, path string, im image.Image) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, im), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestImageFolder(t *testing.T) {
	f, err := OpenImageFolder(folder(t, 37))
	if err != nil {
		t.Fatal(err)
	}
	if f.Len() != 37 || !slices.Equal(f.Classes, []string{"n01", "n02"}) || f.Labels[18] != 0 || f.Labels[19] != 1 {
		t.Errorf("%d images of %v, labels %v", f.Len(), f.Classes, f.Labels)
	}
	c := ImageConfig{Height: 8, Width: 8, Resize: 10}
	all, err := f.Load(context.Background(), c)
	if err != nil || all.Skipped != nil || all.Len() != 37 {
		t.Fatalf("%d images, skipped %v, error %v", all.Len(), all.Skipped, err)
	}
	for i := range 37 { // the even ones first: they are the first class
		if want := uint8(2 * i % 37); i < 19 && all.Pixels[i*3*64] != want {
			t.Errorf("image %d is %d, want %d", i, all.Pixels[i*3*64], want)
		}
	}
	before := runtime.NumGoroutine()
	var sizes []int
	var joined []uint8
	for part, err := range f.Batches(context.Background(), c, 10) {
		if err != nil {
			t.Fatal(err)
		}
		sizes, joined = append(sizes, part.Len()), append(joined, part.Pixels...)
	}
	if !slices.Equal(sizes, []int{10, 10, 10, 7}) || !slices.Equal(joined, all.Pixels) {
		t.Errorf("batches of %v; the same images %t", sizes, slices.Equal(joined, all.Pixels))
	}
	for range f.Batches(context.Background(), c, 3) {
		break // the rest is not wanted
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, err := range f.Batches(ctx, c, 1) {
		if cancel(); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestLoadRandom(t *testing.T) {
	f, err := OpenImageFolder(folder(t, 20))
	if err != nil {
		t.Fatal(err)
	}
	c := ImageConfig{Height: 8, Width: 8, Resize: 10}
	first, crops, err := f.LoadRandom(context.Background(), c, 5)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := f.LoadRandom(context.Background(), c, 5)
	if err != nil || first.Hash() != second.Hash() {
		t.Errorf("the same seed gives other images (error %v)", err)
	}
	_, others, err := f.LoadRandom(context.Background(), c, 6)
	if err != nil || slices.Equal(crops, others) {
		t.Errorf("another seed draws the same (error %v)", err)
	}
	flips := 0
	for i, crop := range crops {
		area := float64(crop.Box.Dx()*crop.Box.Dy()) / (70 * 60)
		if crop.File != f.Files[i] || !crop.Box.In(image.Rect(0, 0, 70, 60)) || area < 0.07 {
			t.Errorf("image %d: %+v", i, crop)
		}
		if crop.Flip {
			flips++
		}
	}
	if flips < 3 || flips > 17 {
		t.Errorf("%d of 20 mirrored", flips)
	}
}

// TestSkipped: files that are left out are listed, once, and indices are those of the images that are used.
func TestSkipped(t *testing.T) {
	dir := folder(t, 12)
	var bad []string
	for _, name := range []string{"n01/ag.png", "n01/ai.png", "n02/ad.png", "n02/al.png"} { // images 3, 4, 7 and 11
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("<!DOCTYPE html>"), 0o600); err != nil {
			t.Fatal(err)
		}
		bad = append(bad, path)
	}
	f, err := OpenImageFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := Files{Folder: f, Config: ImageConfig{Height: 8, Width: 8, Resize: 10, SkipCorrupt: true}}
	for size := 1; size <= 9; size++ {
		var skipped []string
		n := 0
		for batch, err := range files.Batches(t.Context(), size) {
			if err != nil {
				t.Fatal(err)
			}
			skipped, n = append(skipped, batch.Skipped...), n+batch.Len()
		}
		if !slices.Equal(skipped, bad) || n != 8 {
			t.Errorf("batches of %d: %d images, skipped %v", size, n, skipped)
		}
	}
	for _, random := range []bool{false, true} {
		files.Random = random
		cal, err := files.Calibrate(t.Context(), 12, 1)
		if err != nil || len(cal.Skipped) != 4 || cal.Len() != 8 || len(cal.Indices) != 8 {
			t.Fatalf("%d images, indices %v, skipped %v, error %v", cal.Len(), cal.Indices, cal.Skipped, err)
		}
		for i, k := range cal.Indices {
			if level := cal.Pixels[i*3*64]; level != 2*uint8(k%6)+uint8(k/6) {
				t.Errorf("index %d is of image %d", k, level)
			}
		}
	}
}

func TestImageFolderErrors(t *testing.T) {
	dir := folder(t, 4)
	bad := filepath.Join(dir, "n02", "zz.jpg")
	if err := os.WriteFile(bad, []byte("not an image"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := OpenImageFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := ImageConfig{Height: 8, Width: 8, Resize: 10}
	if _, err := f.Load(context.Background(), c); lacks(err, bad) {
		t.Errorf("error %v doesn't name %s", err, bad)
	}
	c.SkipCorrupt = true
	im, err := f.Load(context.Background(), c)
	if err != nil || !slices.Equal(im.Skipped, []string{bad}) || im.Len() != 4 {
		t.Errorf("%d images, skipped %v, error %v; want 4 and %s", im.Len(), im.Skipped, err, bad)
	}
	only := ImageFolder{Name: "bad", Files: []string{bad, bad}, Labels: []int32{0, 1}, Classes: f.Classes}
	if _, err := only.Load(context.Background(), c); lacks(err, "all 2 files of bad were left out; the last: ", bad) {
		t.Errorf("no image at all: %v", err)
	}
	labels := filepath.Join(dir, "labels.txt")
	write := func(text string) {
		if err := os.WriteFile(labels, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flat := filepath.Join(dir, "n01")
	write("aa.png n02\nac.png n01\n")
	if f, err := OpenLabelled(flat, labels, []string{"n01", "n02"}); err != nil || !slices.Equal(f.Labels, []int32{1, 0}) {
		t.Errorf("labels %v, error %v", f.Labels, err)
	}
	for text, want := range map[string]string{
		"490\n":            "bare numbers",
		"aa.png n09\n":     `class "n09"`,
		"none.png n01\n":   "none.png",
		"":                 "no lines",
		"aa.png n01 x y\n": ":1:",
	} {
		write(text)
		if _, err := OpenLabelled(flat, labels, []string{"n01", "n02"}); lacks(err, want) {
			t.Errorf("labels %q: error %v, want %q", text, err, want)
		}
	}
	if _, err := OpenImageFolder(t.TempDir()); lacks(err, "one folder per class") {
		t.Errorf("error %v of an empty folder", err)
	}
	if _, err := OpenImageFolder(filepath.Join(dir, "none")); err == nil {
		t.Error("no error of a folder that isn't there")
	}
	if _, err := f.Load(context.Background(), ImageConfig{Height: 9, Width: 9, Resize: 8}); err == nil {
		t.Error("no error of a part larger than the whole")
	}
	header := "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x4e\x20\x00\x00\x17\x70\x08\x00\x00\x00\x00"
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(header[12:])))
	big := writeFile(t, "big.png", append([]byte(header), sum...))
	if _, err := decodeFile(big, false); lacks(err, "20000 x 6000") {
		t.Errorf("error %v of an image of 120 million pixels", err)
	}
}
