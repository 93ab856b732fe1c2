package datasets

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// debian is where the Debian package dataset-fashion-mnist puts its files.
const debian = "/usr/share/datasets/fashion-mnist"

var update = flag.Bool("update", false, "write the embedded part of Fashion-MNIST anew from "+debian)

// needDebian skips the test where the whole of Fashion-MNIST is missing.
func needDebian(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: not reading the 70,000 images")
	}
	if _, err := os.Stat(debian); err != nil {
		t.Skipf("%v; install the Debian package dataset-fashion-mnist", err)
	}
}

// sameImages compares the fields that decide a run's result.
func sameImages(t *testing.T, got, want Images) {
	t.Helper()
	if got.Hash() != want.Hash() {
		t.Errorf("%s: %d images differ from the %d of %s", got.Name, got.Len(), want.Len(), want.Name)
	}
	if !slices.Equal(got.Mean, want.Mean) || !slices.Equal(got.Std, want.Std) || !slices.Equal(got.Classes, want.Classes) {
		t.Errorf("%s: normalisation or classes are not those of %s", got.Name, want.Name)
	}
}

// TestFashionMNIST reads the whole set, and compares the embedded part with it. With -update it writes
// the embedded part.
func TestFashionMNIST(t *testing.T) {
	needDebian(t)
	train, test, err := FashionMNIST(debian)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := Calibrate(train, FashionMNISTPoolSize, FashionMNISTPoolSeed)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		writeImages(t, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", test)
		writeImages(t, "calibration-images-idx3-ubyte", "calibration-labels-idx1-ubyte", pool.Images)
		t.Skip("written; run again without -update")
	}
	embedded, err := FashionMNISTTest()
	if err != nil {
		t.Fatal(err)
	}
	sameImages(t, embedded, test)
	if embedded, err = FashionMNISTCalibration(); err != nil {
		t.Fatal(err)
	}
	sameImages(t, embedded, pool.Images)

	if train.Len() != 60000 || train.Name != "fashion-mnist/train" {
		t.Errorf("%d images in %s, want 60000", train.Len(), train.Name)
	}
	mean, std := train.Moments()
	if math.Abs(float64(mean[0]-train.Mean[0])) > 5e-5 || math.Abs(float64(std[0]-train.Std[0])) > 5e-5 {
		t.Errorf("Mean %v and Std %v, but the training pixels have %v and %v", train.Mean, train.Std, mean, std)
	}
}

// writeImages writes im to the two files that the package embeds.
func writeImages(t *testing.T, images, labels string, im Images) {
	t.Helper()
	bytesOf := make([]uint8, im.Len())
	for i, l := range im.Labels {
		bytesOf[i] = uint8(l)
	}
	for name, x := range map[string]IDX{
		images: {Sizes: []int{im.Len(), im.Height, im.Width}, Data: im.Pixels},
		labels: {Sizes: []int{im.Len()}, Data: bytesOf},
	} {
		var b bytes.Buffer
		if err := WriteIDX(&b, x); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("fashionmnist", name+".gz"), pack(t, b.Bytes()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFashionMNISTEmbedded needs no files but the package's.
func TestFashionMNISTEmbedded(t *testing.T) {
	for _, c := range []struct {
		read   func() (Images, error)
		name   string
		counts []int // of each class
	}{
		// Zalando's README.md: 10,000 test images; each class has as many.
		{FashionMNISTTest, "fashion-mnist/test", slices.Repeat([]int{1000}, 10)},
		// Counted when the pool was drawn, seed FashionMNISTPoolSeed; their sum is 2,048.
		{FashionMNISTCalibration, "fashion-mnist/calibration", []int{200, 210, 196, 214, 209, 207, 221, 201, 189, 201}},
	} {
		im, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if err := im.Validate(); err != nil {
			t.Error(err)
		}
		if im.Name != c.name || im.Channels != 1 || im.Height != 28 || im.Width != 28 || len(im.Classes) != 10 {
			t.Errorf("%s: %dx%dx%d, %d classes", im.Name, im.Channels, im.Height, im.Width, len(im.Classes))
		}
		counts := make([]int, 10)
		for _, l := range im.Labels {
			counts[l]++
		}
		if !slices.Equal(counts, c.counts) {
			t.Errorf("%s: images per class are %v, want %v", im.Name, counts, c.counts)
		}
	}
}

// TestFashionMNISTChecksum compares the embedded test files with the published ones' checksums.
func TestFashionMNISTChecksum(t *testing.T) {
	part := fashionMNISTTest()
	for _, f := range []idxFile{part.images, part.labels} {
		if _, err := f.read("fashionmnist"); err != nil {
			t.Error(err)
		}
	}
}

// writePart writes twoImages and twoLabels to dir and returns the part they are.
func writePart(t *testing.T, dir, ending string) idxPart {
	t.Helper()
	part := idxPart{"toy/test", idxFile{name: "toy-images"}, idxFile{name: "toy-labels"}}
	for f, content := range map[*idxFile]string{&part.images: twoImages, &part.labels: twoLabels} {
		x, err := ReadIDX(strings.NewReader(content), f.name)
		if err != nil {
			t.Fatal(err)
		}
		if f.sha256, err = x.sum(); err != nil {
			t.Fatal(err)
		}
		file := []byte(content)
		if ending == ".gz" {
			file = pack(t, file)
		}
		if err := os.WriteFile(filepath.Join(dir, f.name+ending), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return part
}

func TestReadFashionMNIST(t *testing.T) {
	for _, ending := range []string{".gz", ""} {
		dir := t.TempDir()
		part := writePart(t, dir, ending)
		if im, err := readFashionMNIST(dir, part); err != nil || im.Len() != 2 || im.Name != "toy/test" {
			t.Errorf("ending %q: %+v, %v", ending, im, err)
		}

		other := part
		other.labels.sha256 = part.images.sha256
		_, err := readFashionMNIST(dir, other)
		if lacks(err, filepath.Join(dir, "toy-labels"+ending)+": content has SHA-256 "+part.labels.sha256) {
			t.Errorf("ending %q: wrong checksum: %v", ending, err)
		}

		if err := os.WriteFile(filepath.Join(dir, "toy-images"+ending), []byte(twoImages[:18]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readFashionMNIST(dir, part); lacks(err, "byte 18") {
			t.Errorf("ending %q: short file: %v", ending, err)
		}

		if err := os.Remove(filepath.Join(dir, "toy-labels"+ending)); err != nil {
			t.Fatal(err)
		}
		part.images = part.labels
		_, err = readFashionMNIST(dir, part)
		if !errors.Is(err, fs.ErrNotExist) || lacks(err, "toy-labels", fashionMNISTRemedy) {
			t.Errorf("ending %q: missing file: %v", ending, err)
		}
	}
	if _, _, err := FashionMNIST(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty folder: %v", err)
	}
}
