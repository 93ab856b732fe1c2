package experiment

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/npz"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq/backend"
)

// untrained writes weights of a design that was trained for no steps, and returns their file.
func untrained(t *testing.T, design string, in arch.Input) string {
	t.Helper()
	n, err := arch.Design(design, in)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), design+".safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(checkpoint.WriteWeights(f, models.Init(n, 1), nil), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// photos writes n images of 40x32 pixels of each class below dir/part, each of its own colour.
func photos(t *testing.T, n int, dir, part string, classes ...string) {
	t.Helper()
	for k, class := range classes {
		at := filepath.Join(dir, part, class)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			im := image.NewNRGBA(image.Rect(0, 0, 40, 32))
			for p := range im.Pix {
				im.Pix[p] = uint8(p*(i+3) + 80*k)
			}
			f, err := os.Create(filepath.Join(at, fmt.Sprintf("%d.png", i)))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(png.Encode(f, im), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// cifarFile writes n images of CIFAR-10 and returns the file.
func cifarFile(t *testing.T, n int) string {
	t.Helper()
	records := make([]byte, 3073*n)
	for i := range records {
		records[i] = byte(i * 7)
	}
	for i := range n {
		records[3073*i] = byte(i % 10)
	}
	path := filepath.Join(t.TempDir(), "some.bin")
	if err := os.WriteFile(path, records, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestImageFolder quantises an architecture for images of 40x32 pixels in three classes.
func TestImageFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "birds")
	photos(t, 4, dir, "train", "auk", "bittern", "coot")
	photos(t, 2, dir, "val", "auk", "bittern", "coot")
	weights := untrained(t, "resnet14", arch.Input{Channels: 3, Height: 32, Width: 40, Classes: 3})
	src := Source{Name: "resnet14", Checkpoint: weights, Data: dir, Centred: true}
	src.Images = datasets.ImageOptions{Height: 32, Width: 40, Resize: 32}
	s, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	const about = "birds (image folders): 12 calibration and 6 test images of 3x32x40 in 3 classes"
	if s.About != about || s.Data != "birds" || s.Design != "resnet14" || s.Trained.Name != "" ||
		s.Tested != "test images" {
		t.Errorf("%s: %s, %s, %+v, %s", s.About, s.Data, s.Design, s.Trained, s.Tested)
	}
	g := tinyGrid(t, "nearest")
	g.Subjects, g.Anyway = []Subject{s}, true
	if g.Backend, g.Note, err = backend.Open("go"); err != nil {
		t.Fatal(err)
	}
	for _, r := range run(t, g, Folder(t.TempDir())) {
		if r.Test.N != 6 || r.Data != "birds" || r.Network != "resnet14" {
			t.Errorf("%+v", r)
		}
	}
}

// TestSkipped: images that are left out are told once and recorded, those to calibrate on and those to test on.
func TestSkipped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "birds")
	photos(t, 4, dir, "train", "auk", "bittern")
	photos(t, 3, dir, "val", "auk", "bittern")
	bad := []string{filepath.Join(dir, "train", "auk", "1.png"), filepath.Join(dir, "val", "bittern", "2.png")}
	for _, path := range bad {
		if err := os.WriteFile(path, []byte("<!DOCTYPE html>"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	weights := untrained(t, "resnet14", arch.SquareInput(3, 32, 2))
	src := Source{Name: "resnet14", Checkpoint: weights, Data: dir, Centred: true,
		Images: datasets.ImageOptions{Height: 32, Width: 32, Resize: 32, SkipCorrupt: true}}
	s, err := Open(src)
	if err != nil {
		t.Fatal(err)
	}
	g := tinyGrid(t, "nearest")
	g.Subjects, g.Anyway = []Subject{s}, true
	if g.Backend, g.Note, err = backend.Open("go"); err != nil {
		t.Fatal(err)
	}
	var notes []string
	g.Warn = func(text string) {
		if strings.Contains(text, "left out") {
			notes = append(notes, text)
		}
	}
	f := Folder(t.TempDir())
	for _, r := range run(t, g, f) {
		if r.Test.N != 5 || r.Images != 7 {
			t.Errorf("%d test and %d calibration images, want 5 and 7", r.Test.N, r.Images)
		}
	}
	want := []string{"left out 1 of 8 calibration images, which can't be decoded: " + bad[0] + "; seed 1",
		"left out 1 of 6 test images, which can't be decoded: " + bad[1]}
	if !slices.Equal(notes, want) {
		t.Errorf("told %q, want %q", notes, want)
	}
	var record Record
	if err := f.ReadJSON(RecordFile, &record); err != nil || !slices.Equal(record.Calibration.Skipped, bad[:1]) ||
		!slices.Equal(record.TestSkipped, bad[1:]) || len(record.Calibration.Indices) != 7 {
		t.Errorf("recorded %+v, tests %v, error %v", record.Calibration, record.TestSkipped, err)
	}
}

// TestOpenData: data sets by name and by path, for networks of the registry and for others.
func TestOpenData(t *testing.T) {
	cifar := cifarFile(t, 8)
	root := t.TempDir()
	if err := os.Symlink(filepath.Dir(cifar), filepath.Join(root, "cifar10")); err != nil {
		t.Skip(err)
	}
	birds := t.TempDir()
	photos(t, 2, birds, "", "auk", "bittern")
	cifarIn, greyIn := arch.SquareInput(3, 32, 10), arch.SquareInput(1, 28, 10)
	smallIn, largeIn := arch.SquareInput(3, 16, 2), arch.SquareInput(3, 224, 2)
	on := func(in arch.Input) string { return untrained(t, "resnet14", in) }
	small := datasets.ImageOptions{Height: 16, Width: 16, Resize: 16}
	const weights = "../../testdata/cifar10/resnet20-12fca82f.th"
	const halved = "images that aren't calibrated on"
	for _, c := range []struct {
		src                  Source
		data, tested, origin string
		pool, test           int
		shape                arch.Input
	}{
		{Source{Name: "resnet8"}, "fashion-mnist", "test images", "shipped", 2048, 10000, greyIn},
		{Source{Name: "resnet20-cifar10", Checkpoint: weights}, "cifar10", halved, "weights of", 4, 4, cifarIn},
		{Source{Name: "resnet20-cifar10", Checkpoint: weights, Data: cifar}, "cifar10", halved, "weights of", 4, 4,
			cifarIn},
		{Source{Name: "resnet20-cifar10", Checkpoint: weights, Set: "cifar10", Data: cifar}, "cifar10", halved,
			"weights of", 4, 4, cifarIn},
		{Source{Name: "resnet14", Checkpoint: on(cifarIn), Set: "cifar10"}, "cifar10", halved, "weights of", 4, 4,
			cifarIn},
		{Source{Name: "resnet14", Checkpoint: on(greyIn), Data: "fashion-mnist"}, "fashion-mnist", "test images",
			"weights of", 2048, 10000, greyIn},
		{Source{Name: "resnet14", Checkpoint: on(smallIn), Data: birds, Images: small}, filepath.Base(birds), halved,
			"weights of", 2, 2, smallIn},
		{Source{Name: "resnet14", Checkpoint: on(largeIn), Data: birds}, filepath.Base(birds), halved,
			"weights of", 2, 2, largeIn},
	} {
		c.src.Root = root
		s, err := Open(c.src)
		if err != nil {
			t.Errorf("%+v: %v", c.src, err)
			continue
		}
		n := s.Network
		shape := arch.Input{Channels: n.Channels, Height: n.Height, Width: n.Width, Classes: n.Classes}
		if s.Data != c.data || s.Tested != c.tested || !strings.HasPrefix(s.Origin, c.origin) || shape != c.shape ||
			s.Pool.Len() != c.pool || s.Test.Len() != c.test {
			t.Errorf("%+v: %s, %d, %d %s, %s, %+v", c.src, s.Data, s.Pool.Len(), s.Test.Len(), s.Tested, s.Origin, shape)
		}
	}
}

// TestOpenArrays: labels in an array may have fewer classes than the data set on which the registry's network was
// trained, if the weights are others.
func TestOpenArrays(t *testing.T) {
	var b bytes.Buffer
	arrays := []npz.Array{{Name: "images", Shape: []int{6, 3, 32, 32}, Values: make([]float32, 6*3*32*32)},
		{Name: "labels", Shape: []int{6}, Values: []int64{0, 1, 2, 0, 1, 2}}}
	if err := npz.Write(&b, arrays); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "three.npz")
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Source{Name: "resnet20-cifar10", Data: path,
		Checkpoint: untrained(t, "resnet20", arch.SquareInput(3, 32, 3))})
	if err != nil || s.Network.Classes != 3 {
		t.Errorf("%v, error %v, want 3 classes", s.About, err)
	}
}

// TestOpenMisfit: data and weights that don't fit together, or aren't there, are errors that say what to do.
func TestOpenMisfit(t *testing.T) {
	cifar, empty := cifarFile(t, 8), t.TempDir()
	birds := t.TempDir()
	photos(t, 2, birds, "", "auk", "bittern")
	small := datasets.ImageOptions{Height: 16, Width: 16, Resize: 16}
	three := untrained(t, "resnet14", arch.SquareInput(3, 32, 10))
	one := untrained(t, "resnet14", arch.SquareInput(1, 28, 26))
	lite := untrained(t, "efficientnet-lite0", arch.SquareInput(3, 16, 2))
	for _, c := range []struct {
		src  Source
		want string
	}{
		{Source{Name: "resnet8", Data: cifar}, "its weights (shipped) are for images of 1 channel, but those of cifar10 " +
			"have 3 channels; give data of 1 channel, or a checkpoint"},
		{Source{Name: "resnet14", Checkpoint: three, Data: birds, Images: small},
			"are for images of 10 classes, but those of " + filepath.Base(birds) + " have 2 classes; give data of 10 classes, " +
				"or a checkpoint that was trained on images like those; where some classes have no image, give a list of files"},
		{Source{Name: "resnet14", Checkpoint: one, Data: cifar}, "are for images of 1 channel and 26 classes, but those of " +
			"cifar10 have 3 channels and 10 classes"},
		{Source{Name: "resnet20", Checkpoint: three, Data: cifar}, "have no tensor"},
		{Source{Name: "efficientnet-lite1", Checkpoint: lite, Data: birds, Images: small},
			"experiment: efficientnet-lite1: its weights (" + lite + ") are those of efficientnet-lite0; give that name, " +
				"or weights of efficientnet-lite1: "},
		{Source{Name: "resnet14", Checkpoint: three}, "resnet14 comes with no data set; give one by name or path"},
		{Source{Name: "resnet14", Data: cifar}, "or give an architecture with its checkpoint and data set"},
		{Source{Name: "resnet15", Checkpoint: three, Data: cifar}, "no ResNet has 15 layers"},
		{Source{Name: "resnet14", Checkpoint: three, Data: empty}, "give one of these formats: CIFAR-10's"},
		{Source{Name: "resnet14", Checkpoint: three, Set: "cifar", Data: empty}, "no data set has this name"},
		{Source{Name: "resnet14", Checkpoint: three, Set: "imagenet", Data: cifar}, "train"},
		{Source{Name: "resnet8", Data: filepath.Join(empty, "none")}, "give a path that exists"},
		{Source{Name: "resnet14", Checkpoint: filepath.Join(empty, "none"), Data: cifar}, "no such file"},
	} {
		if _, err := Open(c.src); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want %q", c.src, err, c.want)
		}
	}
}
