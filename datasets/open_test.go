package datasets

import (
	"bytes"
	"errors"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// put writes content at the path of names below dir.
func put(t *testing.T, content []byte, dir string, names ...string) {
	t.Helper()
	path := filepath.Join(append([]string{dir}, names...)...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// records is n records of CIFAR-10, of labels 0 to 9 in turn.
func records(n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, record(byte(i%10), byte(i), 2, 3)...)
	}
	return b
}

// idxBytes is an IDX file of those sizes, whose bytes are 0, 1, 2, 0, 1 and so on.
func idxBytes(t *testing.T, packed bool, sizes ...int) []byte {
	t.Helper()
	x := IDX{Sizes: sizes}
	n := 1
	for _, s := range sizes {
		n *= s
	}
	for i := range n {
		x.Data = append(x.Data, uint8(i%3))
	}
	var b bytes.Buffer
	if err := WriteIDX(&b, x); err != nil {
		t.Fatal(err)
	}
	if packed {
		return pack(t, b.Bytes())
	}
	return b.Bytes()
}

// pictures writes n images of 12x10 pixels in each folder of dir.
func pictures(t *testing.T, n int, dir string, folders ...string) {
	t.Helper()
	for _, f := range folders {
		at := filepath.Join(dir, filepath.FromSlash(f))
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			writePNG(t, filepath.Join(at, string(rune('a'+i))+".png"), image.NewGray(image.Rect(0, 0, 12, 10)))
		}
	}
}

// TestOpen opens made-up data of each format by its path.
func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name string // of the folder, and what is in it
		make func(dir string)
		path string // below dir
		o    OpenOptions
		want string // of String
	}{
		{"batches", func(dir string) {
			put(t, records(2), dir, "data_batch_1.bin")
			put(t, records(3), dir, "data_batch_2.bin")
			put(t, records(4), dir, "test_batch.bin")
			put(t, records(9), dir, "train_part.bin") // batches come first
			put(t, []byte("airplane"), dir, "batches.meta.txt")
		}, "", OpenOptions{}, "cifar10 (CIFAR-10, binary): 5 calibration and 4 test images of 3x32x32 in 10 classes"},
		{"unpacked", func(dir string) {
			put(t, records(2), dir, "cifar-10-batches-bin", "data_batch_1.bin")
			put(t, records(4), dir, "cifar-10-batches-bin", "test_batch.bin")
			put(t, records(9), dir, "test_part.bin")
		}, "", OpenOptions{}, "cifar10 (CIFAR-10, binary): 2 calibration and 4 test images of 3x32x32 in 10 classes"},
		{"parts", func(dir string) {
			put(t, records(2), dir, "train_a.bin")
			put(t, records(3), dir, "train_b.bin")
			put(t, records(3), dir, "test.bin")
			put(t, []byte("notes"), dir, "readme.txt")
		}, "", OpenOptions{}, "cifar10 (CIFAR-10, binary): 5 calibration and 3 test images of 3x32x32 in 10 classes"},
		{"python", func(dir string) {
			two := "K\x09K\x00"
			put(t, []byte(pickledBatch(string(make([]byte, 2*cifar10Pixels)), two)), dir, "data_batch_1")
			put(t, []byte(pickledBatch(string(make([]byte, 2*cifar10Pixels)), two)), dir, "test_batch")
			put(t, []byte("\x80\x02}."), dir, "batches.meta")
		}, "", OpenOptions{}, "cifar10 (CIFAR-10, python): 2 calibration and 2 test images of 3x32x32 in 10 classes"},
		{"one file", func(dir string) { put(t, records(7), dir, "anything") }, "anything", OpenOptions{},
			"cifar10 (CIFAR-10, binary): 3 calibration and 4 test images of 3x32x32 in 10 classes" + divided},
		{"one part", func(dir string) { put(t, records(6), dir, "test_batch.bin") }, "", OpenOptions{},
			"cifar10 (CIFAR-10, binary): 3 calibration and 3 test images of 3x32x32 in 10 classes" + divided},
		{"digits", func(dir string) {
			put(t, idxBytes(t, true, 6, 9, 7), dir, "train-images-idx3-ubyte.gz")
			put(t, idxBytes(t, false, 6), dir, "train-labels-idx1-ubyte")
			put(t, idxBytes(t, false, 5, 9, 7), dir, "t10k-images.idx3-ubyte")
			put(t, idxBytes(t, true, 5), dir, "t10k-labels.idx1-ubyte.gz")
		}, "", OpenOptions{}, "digits (IDX): 6 calibration and 5 test images of 1x9x7 in 3 classes"},
		{"letters", func(dir string) {
			put(t, idxBytes(t, false, 6, 9, 7), dir, "letters-images")
			put(t, idxBytes(t, false, 6), dir, "letters-labels")
		}, "letters-images", OpenOptions{},
			"letters-images (IDX): 3 calibration and 3 test images of 1x9x7 in 3 classes" + divided},
		{"animals", func(dir string) { pictures(t, 3, dir, "train/ant", "train/bee", "val/ant", "val/bee", "test/x") }, "",
			OpenOptions{}, "animals (image folders): 6 calibration and 6 test images of 3x8x9 in 2 classes"},
		{"plants", func(dir string) { pictures(t, 2, dir, "train/ash", "train/elm", "test/ash", "test/elm") }, "",
			OpenOptions{}, "plants (image folders): 4 calibration and 4 test images of 3x8x9 in 2 classes"},
		{"vehicles", func(dir string) { pictures(t, 3, dir, "bus", "car", "train") }, "", OpenOptions{},
			"vehicles (image folders): 4 calibration and 5 test images of 3x8x9 in 3 classes" + divided},
		{"only val", func(dir string) { pictures(t, 2, dir, "val/ant", "val/bee", "notes") }, "", OpenOptions{},
			"only val (image folders): 2 calibration and 2 test images of 3x8x9 in 2 classes" + divided},
	} {
		dir := filepath.Join(t.TempDir(), c.name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		c.make(dir)
		c.o.Images = ImageConfig{Height: 8, Width: 9, Resize: 9}
		d, err := Open(filepath.Join(dir, c.path), c.o)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d.String() != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, d, c.want)
		}
		checkData(t, d)
	}
}

const divided = ", drawn from the same files; no image is in both"

// checkData takes images from both parts of d.
func checkData(t *testing.T, d Data) {
	t.Helper()
	cal, err := d.Pool.Calibrate(t.Context(), d.Pool.Len(), 1)
	if err != nil || cal.Len() != d.Pool.Len() ||
		cal.Channels != d.Channels || cal.Height != d.Height || cal.Width != d.Width {
		t.Errorf("%v: calibration images %d of %dx%dx%d, error %v", d, cal.Len(), cal.Channels, cal.Height, cal.Width, err)
	}
	n := 0
	for batch, err := range d.Test.Batches(t.Context(), 3) {
		if err != nil || batch.Height != d.Height || batch.Width != d.Width || !slices.Equal(batch.Classes, d.Classes) {
			t.Errorf("%v: a batch of %dx%d, %v, error %v", d, batch.Height, batch.Width, batch.Classes, err)
		}
		n += batch.Len()
	}
	if n != d.Test.Len() {
		t.Errorf("%v: %d test images", d, n)
	}
}

// TestOpenDivided: one part gives the same two halves each time, and no image is in both.
func TestOpenDivided(t *testing.T) {
	dir := t.TempDir()
	put(t, records(21), dir, "all.bin")
	d, err := Open(filepath.Join(dir, "all.bin"), OpenOptions{})
	if err != nil || !d.Divided {
		t.Fatalf("%v, error %v", d, err)
	}
	seen := map[uint8]int{} // each image by its level of red
	for _, im := range []Images{d.Pool.(Images), d.Test.(Images)} {
		for i := range im.Len() {
			seen[im.Pixels[i*cifar10Pixels]]++
		}
	}
	if len(seen) != 21 || d.Pool.Len() != 10 || d.Test.Len() != 11 {
		t.Errorf("%d and %d images, %d different ones of 21", d.Pool.Len(), d.Test.Len(), len(seen))
	}
	again, err := Open(dir, OpenOptions{})
	if err != nil || again.Pool.(Images).Hash() != d.Pool.(Images).Hash() {
		t.Errorf("the folder is divided in another way than the file; error %v", err)
	}
	put(t, records(1), dir, "one", "x.bin")
	if _, err := Open(filepath.Join(dir, "one", "x.bin"), OpenOptions{}); lacks(err, "has 1 image, which cannot be both") {
		t.Errorf("one image: %v", err)
	}
}

// TestOpenMoments: each format has its moments, and those that are given replace them.
func TestOpenMoments(t *testing.T) {
	dir := t.TempDir()
	put(t, records(4), dir, "cifar", "test_batch.bin")
	put(t, idxBytes(t, false, 6, 9, 7), dir, "idx", "train-images")
	put(t, idxBytes(t, false, 6), dir, "idx", "train-labels")
	pictures(t, 2, dir, "folders/a", "folders/b")
	small := ImageConfig{Height: 8, Width: 8, Resize: 9}
	given := small
	given.Mean, given.Std = []float32{0.25}, []float32{0.5}
	for name, want := range map[string]float32{"cifar": 0.485, "idx": 1.0 / 255, "folders": 0.485} {
		for _, c := range []struct {
			config ImageConfig
			want   float32
		}{{small, want}, {given, 0.25}} {
			d, err := Open(filepath.Join(dir, name), OpenOptions{Images: c.config})
			if err != nil {
				t.Fatal(err)
			}
			cal, err := d.Pool.Calibrate(t.Context(), 1, 1)
			if err != nil || len(cal.Mean) != d.Channels || cal.Mean[0]-c.want > 0.01 || c.want-cal.Mean[0] > 0.01 {
				t.Errorf("%s of mean %v: %v, error %v; want %v", name, c.config.Mean, cal.Mean, err, c.want)
			}
		}
	}
	if _, err := Open(filepath.Join(dir, "idx"), OpenOptions{Images: ImageConfig{Mean: []float32{1, 2}}}); err == nil ||
		!strings.Contains(err.Error(), "2 means and 1 deviations for 1 channels") {
		t.Errorf("two means: %v", err)
	}
}

// TestOpenLabelled: a flat folder of images needs a file of labels, alone, as the only part, or beside train/.
func TestOpenLabelled(t *testing.T) {
	dir := t.TempDir()
	pictures(t, 4, dir, "flat", "one/val", "both/val")
	pictures(t, 1, dir, "both/train/bee", "both/train/cow")
	labels := writeFile(t, "labels.txt", []byte("a.png cow\nb.png bee\nc.png bee\nd.png cow\n"))
	o := OpenOptions{Images: ImageConfig{Height: 8, Width: 8, Resize: 9}}
	for name, want := range map[string]string{
		"flat": "flat (images with a file of labels): 2 calibration and 2 test images of 3x8x8 in 2 classes" + divided,
		"one":  "one (images with a file of labels): 2 calibration and 2 test images of 3x8x8 in 2 classes" + divided,
		"both": "both (image folders): 2 calibration and 4 test images of 3x8x8 in 2 classes",
	} {
		at := filepath.Join(dir, name)
		if _, err := Open(at, o); lacks(err, "give the file that labels its images") {
			t.Errorf("%s without labels: %v", name, err)
		}
		labelled := o
		labelled.Labels = labels
		d, err := Open(at, labelled)
		if err != nil || d.String() != want || !slices.Equal(d.Classes, []string{"bee", "cow"}) {
			t.Errorf("%v of %v, error %v; want %s", d.Classes, d, err, want)
			continue
		}
		checkData(t, d)
	}
}

// TestOpenFashionMNIST: the name opens what is built in, and files are known by their checksums.
func TestOpenFashionMNIST(t *testing.T) {
	for name, format := range map[string]string{"fashion-mnist": "built in", "fashionmnist": "IDX"} {
		d, err := Open(name, OpenOptions{})
		want := "fashion-mnist (" + format + "): 2048 calibration and 10000 test images of 1x28x28 in 10 classes"
		if err != nil || d.String() != want || d.Classes[9] != "Ankle boot" || d.Pool.(Images).Mean[0] != 0.2860 {
			t.Errorf("%s: %v, classes %v, error %v", name, d, d.Classes, err)
		}
	}
	file := filepath.Join("fashionmnist", "t10k-images-idx3-ubyte.gz")
	d, err := Open(file, OpenOptions{})
	want := "fashion-mnist (IDX): 5000 calibration and 5000 test images of 1x28x28 in 10 classes" + divided
	if err != nil || d.String() != want {
		t.Errorf("%s: %v, error %v", file, d, err)
	}
}

// TestOpenErrors: what can't be opened is named, with what is there and what is known.
func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	put(t, []byte("some text"), dir, "text", "a.txt")
	put(t, nil, dir, "text", "b.txt")
	put(t, []byte("\x1f\x8bno gzip"), dir, "text", "c.gz")
	put(t, nil, dir, "text", "more", "d.txt")
	put(t, records(1)[:3000], dir, "cut", "train.bin")
	put(t, bytes.Repeat([]byte{1}, 3073*2-1), dir, "length", "images.dat")
	put(t, idxBytes(t, false, 4), dir, "labels", "train-labels")
	put(t, idxBytes(t, false, 4, 2, 2), dir, "images", "train-images")
	for _, name := range []string{"a-train", "b-train", "a-test"} {
		put(t, idxBytes(t, false, 4, 2, 2), dir, "several", name+"-images")
	}
	put(t, idxBytes(t, false, 4, 2, 2), dir, "sizes", "train-images")
	put(t, idxBytes(t, false, 4, 2, 3), dir, "sizes", "test-images")
	put(t, idxBytes(t, false, 4), dir, "sizes", "train-labels")
	put(t, idxBytes(t, false, 4), dir, "sizes", "test-labels")
	pictures(t, 1, dir, "classes/a", "classes/b", "train only/train", "one/deep/a", "one/deep/b",
		"other/train/a", "other/val/b")
	put(t, records(2), dir, "cifar", "test.bin")
	for _, c := range []struct {
		path, want string
		o          OpenOptions
	}{
		{"none", "no such file or directory; give a path that exists, or a data set by name: cifar10, fashion-mnist, " +
			"imagenet", OpenOptions{}},
		{"text", "text has 3 files (a.txt, b.txt, c.gz) and 1 folder (more); give one of these formats: CIFAR-10's " +
			"binary files", OpenOptions{}},
		{"text/a.txt", "a.txt is a file of another kind; give one of these formats", OpenOptions{}},
		{"cut", "train.bin: byte 3000: the file ends within record 0", OpenOptions{}},
		{"length", "length has 1 file (images.dat); give one", OpenOptions{}},
		{"labels", "has labels, but no images", OpenOptions{}},
		{"images", "has no labels: there is no file train-labels", OpenOptions{}},
		{"several", "has 2 files of images to calibrate on and 1 to test on; give one file", OpenOptions{}},
		{"sizes", "has images of 1x2x2 to calibrate on and of 1x2x3 to test on", OpenOptions{}},
		{"classes", "a file of labels for", OpenOptions{Labels: "x"}},
		{"cifar", "a file of labels for", OpenOptions{Labels: "x"}},
		{"train only", "give the file that labels its images", OpenOptions{}},
		{"one", "has one folder of images, deep, and so one class", OpenOptions{}},
		{"other", "which are not the same", OpenOptions{}},
		{"classes", "images of 0x0 pixels", OpenOptions{}},
		{"classes", "no data set has this name", OpenOptions{Dir: dir}},
	} {
		_, err := Open(filepath.Join(dir, c.path), c.o)
		if err == nil || !strings.HasPrefix(err.Error(), "datasets: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.path, err, c.want)
		}
	}
	for _, name := range []string{filepath.Join(dir, "none"), "cifar10", "imagenet"} {
		if _, err := Open(name, OpenOptions{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s isn't there: %v", name, err)
		}
	}
}
