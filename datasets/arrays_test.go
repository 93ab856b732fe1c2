package datasets

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/npz"
)

// ramp is an array of floats of this shape: 0, 1, 2 and so on.
func ramp(name string, shape ...int) npz.Array {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return npz.Array{Name: name, Shape: shape, Values: v}
}

// whole is an array of integers.
func whole(name string, values ...int64) npz.Array {
	return npz.Array{Name: name, Shape: []int{len(values)}, Values: values}
}

func archive(t *testing.T, arrays ...npz.Array) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := npz.Write(&b, arrays); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// npyFile is an array of floats of 32 bits or of bytes as a file of its own.
func npyFile(descr, shape, values string) []byte {
	header := "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + shape + "), }"
	return []byte("\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), 0}) + header + values)
}

func TestOpenArrays(t *testing.T) {
	four, labels := ramp("images", 4, 3, 1, 2), whole("labels", 0, 2, 1, 0)
	floats := strings.Repeat("\x00\x00\x80\x3f", 2*3*2)
	for _, c := range []struct {
		name  string
		files map[string][]byte
		path  string
		want  string
	}{
		{"one", map[string][]byte{"a.npz": archive(t, four, labels)}, "a.npz",
			"a.npz (NumPy arrays, used unchanged): 2 calibration and 2 test images of 3x1x2 in 3 classes" + divided},
		{"only", map[string][]byte{"images.npz": archive(t, ramp("inputs", 4, 3, 1, 2),
			whole("classification", 0, 2, 1, 0), ramp("features", 4, 9))}, "",
			"only (NumPy arrays, used unchanged): 2 calibration and 2 test images of 3x1x2 in 3 classes" + divided},
		{"parts", map[string][]byte{"train.npz": archive(t, four), "test_b.npz": archive(t, ramp("x", 2, 3, 1, 2),
			whole("y", 0, 4), npz.Array{Name: "classes", Values: []int64{9}}), "val.npz": archive(t, ramp("x", 1, 3, 1, 2)),
			"notes.txt": []byte("notes")}, "", "parts (NumPy arrays, used unchanged): 4 calibration and 2 test images of " +
			"3x1x2 in 9 classes; the calibration images have no labels"},
		{"calib", map[string][]byte{"train.npz": archive(t, ramp("x", 9, 3, 1, 2)),
			"calibration.npz": archive(t, four, labels), "validation.npz": archive(t, four, labels)}, "",
			"calib (NumPy arrays, used unchanged): 4 calibration and 4 test images of 3x1x2 in 3 classes"},
		{"keras", map[string][]byte{"k.npz": archive(t, ramp("x_train", 2, 1, 1, 2), whole("y_train", 0, 1),
			ramp("x_test", 3, 1, 1, 2), whole("y_test", 0, 1, 0))}, "k.npz",
			"k.npz (NumPy arrays, used unchanged): 2 calibration and 3 test images of 1x1x2 in 2 classes"},
		{"npy", map[string][]byte{"train_images.npy": npyFile("<f4", "2, 3, 1, 2", floats),
			"train_labels.npy": npyFile("|u1", "2,", "\x01\x00"), "test_images.npy": npyFile("<f2", "2, 3, 1, 2", floats[:24]),
			"test_labels.npy": npyFile("|u1", "2,", "\x03\x00")}, "",
			"npy (NumPy arrays, used unchanged): 2 calibration and 2 test images of 3x1x2 in 4 classes"},
	} {
		dir := filepath.Join(t.TempDir(), c.name)
		for name, content := range c.files {
			put(t, content, dir, name)
		}
		d, err := Open(filepath.Join(dir, c.path), OpenOptions{Images: ImageConfig{Mean: []float32{1, 2, 3}}})
		if err != nil || d.String() != c.want {
			t.Errorf("%s: %v, error %v; want %s", c.name, d, err, c.want)
			continue
		}
		checkData(t, d)
		if im := d.Pool.(Images); im.Mean != nil || !d.Numbered() {
			t.Errorf("%s: mean %v, classes %v", c.name, im.Mean, d.Classes)
		}
	}
}

// TestArraysUnchanged: images reach the network as they are in the file, with their labels.
func TestArraysUnchanged(t *testing.T) {
	dir := t.TempDir()
	put(t, archive(t, ramp("images", 3, 1, 1, 2), whole("labels", 2, 0, 1)), dir, "train.npz")
	put(t, archive(t, ramp("images", 2, 1, 1, 2), whole("labels", 1, 1)), dir, "test.npz")
	d, err := Open(dir, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	train, test := d.Pool.(Images), d.Test.(Images)
	if !slices.Equal(train.Floats(1, 3), []float32{2, 3, 4, 5}) || !slices.Equal(train.Labels, []int32{2, 0, 1}) ||
		!slices.Equal(test.Floats(0, 2), []float32{0, 1, 2, 3}) || !slices.Equal(test.Labels, []int32{1, 1}) {
		t.Errorf("%+v and %+v", train, test)
	}
}

func TestArraysWrong(t *testing.T) {
	four, labels := ramp("images", 4, 3, 1, 2), whole("labels", 0, 2, 1, 0)
	nan := strings.Repeat("\x00\x00\x80\x3f", 7) + "\x00\x00\xc0\x7f"
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"no labels", archive(t, four), "a.npz: the images to test on have no labels; add an array labels"},
		{"rank", archive(t, ramp("images", 4, 6), labels), "2 arrays (a.npz: images (<f4 [4 6]), a.npz: labels (<i8 [4])); " +
			"give images as floats [N,C,H,W]"},
		{"bytes", npyFile("|u1", "1, 1, 1, 2", "ab"), "1 array (a.npz (|u1 [1 1 1 2])); give images as floats"},
		{"wrong name", archive(t, ramp("images", 4, 6), ramp("z", 4, 3, 1, 2), labels), "images (<f4 [4 6]) isn't floats"},
		{"channels last", archive(t, ramp("x", 4, 8, 8, 3), labels), "channels last; save x.transpose(0, 3, 1, 2)"},
		{"two", archive(t, ramp("a", 4, 3, 1, 2), ramp("b", 4, 3, 1, 2), labels),
			"can be floats [N,C,H,W]; leave one, called images"},
		{"test of another type", archive(t, ramp("x_train", 4, 3, 1, 2), whole("y_train", 0, 1, 2, 0), ramp("x_test", 4, 6)),
			"x_test (<f4 [4 6]) isn't floats [N,C,H,W]; save it as such"},
		{"float labels", archive(t, four, ramp("labels", 4)), "labels (<f4 [4]) isn't integers [N]"},
		{"few labels", archive(t, four, whole("labels", 0, 1)), "has labels for 2 images, of which there are 4"},
		{"negative", archive(t, four, whole("labels", 0, -1, 0, 0)), "label -1 of image 1 is not 0 to"},
		{"classes", archive(t, four, labels, npz.Array{Name: "classes", Values: []int64{2}}),
			"2 classes, but labels up to 2"},
		{"none", archive(t, ramp("images", 0, 3, 1, 2), labels), "has no images"},
		{"NaN", npyFile("<f4", "4, 1, 1, 2", nan), "image 3 has the value NaN"},
		{"cut", npyFile("<f4", "4, 1, 1, 2", nan[:9]), "9 bytes of the 32 of shape [4 1 1 2]"},
		{"archive", archive(t, four, labels)[:200], "cut off or damaged"},
		{"empty", nil, "the file is empty"},
		{"text", []byte("hello, world"), "is the start of neither .npy nor .npz"},
	} {
		path := writeFile(t, "a.npz", c.file)
		_, err := Open(path, OpenOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), "datasets: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	path := writeFile(t, "b.npz", archive(t, four, labels))
	if _, err := Open(path, OpenOptions{Labels: "x"}); lacks(err, "a file of labels for") {
		t.Errorf("a file of labels: %v", err)
	}
}

// TestArraysBeside: arrays beside images in files are not taken for the images.
func TestArraysBeside(t *testing.T) {
	dir := t.TempDir()
	pictures(t, 2, dir, "flat", "classes/a", "classes/b")
	put(t, archive(t, ramp("features", 4, 6)), dir, "flat", "features.npz")
	put(t, archive(t, ramp("features", 4, 6)), dir, "classes", "features.npz")
	o := OpenOptions{Images: ImageConfig{Height: 8, Width: 8, Resize: 9}}
	if d, err := Open(filepath.Join(dir, "classes"), o); err != nil || d.Format != formatFolders {
		t.Errorf("%v, error %v", d, err)
	}
	if _, err := Open(filepath.Join(dir, "flat"), o); lacks(err, "give the file that labels its images") {
		t.Errorf("error %v", err)
	}
	put(t, archive(t, ramp("images", 4, 3, 2, 2), whole("labels", 0, 1, 2, 3)), dir, "flat", "more.npz")
	o.Labels = writeFile(t, "labels.txt", []byte("a.png cow\nb.png bee\n"))
	if d, err := Open(filepath.Join(dir, "flat"), o); err != nil || d.Format != formatLabelled {
		t.Errorf("with labels: %v, error %v", d, err)
	}
}
