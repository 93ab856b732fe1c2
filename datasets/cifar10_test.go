package datasets

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// record is a record of CIFAR-10 with that label, red of a, green of b and blue of c.
func record(label, a, b, c byte) []byte {
	r := []byte{label}
	for _, v := range []byte{a, b, c} {
		r = append(r, bytes.Repeat([]byte{v}, 32*32)...)
	}
	return r
}

// writeFile writes a file in a folder of its own.
func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCIFAR10(t *testing.T) {
	first := record(9, 1, 2, 3)
	first[1+5] = 77 // red, row 0, column 5
	a := writeFile(t, "data_batch_1.bin", append(first, record(0, 4, 5, 6)...))
	b := writeFile(t, "test_batch.bin", record(3, 7, 8, 255))
	im, err := CIFAR10(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if im.Name != "cifar10/data_batch_1+test_batch" || im.Channels != 3 || im.Height != 32 || im.Width != 32 ||
		!slices.Equal(im.Labels, []int32{9, 0, 3}) {
		t.Errorf("%s, %dx%dx%d, labels %v", im.Name, im.Channels, im.Height, im.Width, im.Labels)
	}
	if len(im.Classes) != 10 || im.Classes[0] != "airplane" || im.Classes[3] != "cat" || im.Classes[9] != "truck" {
		t.Errorf("classes %v", im.Classes)
	}
	// Places by hand: image n, channel c, row y, column x is at ((3n+c)·32+y)·32+x.
	for at, want := range map[int]uint8{0: 1, 5: 77, 1024: 2, 2048: 3, 3071: 3, 3072: 4, 3 * 3072: 0} {
		if at < len(im.Pixels) && im.Pixels[at] != want {
			t.Errorf("pixel %d is %d, want %d", at, im.Pixels[at], want)
		}
	}
	if len(im.Pixels) != 3*3072 || im.Pixels[3*3072-1] != 255 {
		t.Errorf("%d pixels", len(im.Pixels))
	}
	if blue, want := im.Floats(2, 3)[3071], (float32(1)-0.4465)/0.2616; blue != want {
		t.Errorf("blue of 255 is %v, want %v", blue, want)
	}
	im.Mean, im.Std = ImageNetMoments()
	x, want := im.Floats(2, 3), (float32(7)/255-im.Mean[0])/im.Std[0]
	if x[0] != want || im.Mean[0] != 0.485 || im.Std[2] != 0.225 {
		t.Errorf("red of 7 is %v, want %v", x[0], want)
	}
}

func TestCIFAR10Errors(t *testing.T) {
	good, bad := record(1, 2, 3, 4), record(10, 0, 0, 0)
	path := writeFile(t, "good.bin", good)
	for _, c := range []struct {
		name, want string
		content    []byte
	}{
		{"empty", "byte 0: the file is empty", nil},
		{"short", "byte 3072: the file ends within record 0, 3072 bytes after the last whole one", good[:3072]},
		{"cut", "byte 3173: the file ends within record 1, 100 bytes after", append(bytes.Clone(good), good[:100]...)},
		{"CIFAR-100", "byte 3074: the file ends within record 1, 1 bytes after", append(bytes.Clone(good), 0)},
		{"label", "byte 3073: label 10 of record 1 is not one of 10 classes", slices.Concat(good, bad)},
	} {
		file := writeFile(t, "bad.bin", c.content)
		_, err := CIFAR10(path, file)
		if want := "datasets: " + file + ": " + c.want; lacks(err, want, cifar10Remedy) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, want)
		}
	}
	_, err := CIFAR10(filepath.Join(t.TempDir(), "none.bin"))
	if !errors.Is(err, fs.ErrNotExist) || lacks(err, cifar10Remedy) {
		t.Errorf("missing file: %v", err)
	}
	dir := t.TempDir()
	if _, err := CIFAR10(dir); lacks(err, dir+" is a folder, not a file") {
		t.Errorf("folder: %v", err)
	}
	if _, err := CIFAR10(); lacks(err, "no files of CIFAR-10; give the .bin files") {
		t.Errorf("no files: %v", err)
	}

	im := cifar10(nil, nil)
	broken := iotest.ErrReader(errors.New("disk on fire"))
	err = im.appendRecords(io.MultiReader(bytes.NewReader(good), strings.NewReader("abc"), broken))
	if err == nil || err.Error() != "byte 3076: disk on fire" {
		t.Errorf("broken reader: %v", err)
	}
}

// TestCIFAR10Large shows that a size too large is refused before memory is allocated.
func TestCIFAR10Large(t *testing.T) {
	path := writeFile(t, "large.bin", nil)
	if err := os.Truncate(path, 1<<20*cifar10Record); err != nil { // 3 GB of nothing
		t.Skip(err)
	}
	if _, err := CIFAR10(path); lacks(err, "large.bin: more than 2147483647 bytes of CIFAR-10") {
		t.Errorf("%v", err)
	}
}

// FuzzCIFAR10 compares the reader with the plain form of the format, all in memory.
func FuzzCIFAR10(f *testing.F) {
	good := record(1, 2, 3, 4)
	for _, b := range [][]byte{
		nil, good, good[:1], good[:3072], append(bytes.Clone(good), 3),
		slices.Concat(good, record(10, 0, 0, 0)), slices.Concat(good, record(9, 5, 6, 7)),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		valid := len(file) > 0 && len(file)%3073 == 0
		for i := 0; valid && i < len(file); i += 3073 {
			valid = file[i] < 10
		}
		im := cifar10(nil, nil)
		var err error
		fuzzed.Bounded(t, func() { err = im.appendRecords(iotest.OneByteReader(bytes.NewReader(file))) })
		if (err == nil) != valid {
			t.Fatalf("error %v, but the plain form says valid = %t", err, valid)
		}
		if err != nil {
			return
		}
		var again []byte
		for i, l := range im.Labels {
			again = append(append(again, byte(l)), im.Pixels[i*3072:(i+1)*3072]...)
		}
		if !bytes.Equal(again, file) {
			t.Error("records written again differ")
		}
	})
}

func ExampleCIFAR10() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) // the system cleans up what is left
	path := filepath.Join(dir, "test_batch.bin")
	if err := os.WriteFile(path, append([]byte{8}, make([]byte, 3*32*32)...), 0o600); err != nil { // one black image
		fmt.Println(err)
		return
	}
	im, err := CIFAR10(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	im.Mean, im.Std = ImageNetMoments() // if the network was trained with these
	fmt.Printf("%s: %d image of a %s, red %.3f\n", im.Name, im.Len(), im.Classes[im.Labels[0]], im.Floats(0, 1)[0])
	// Output: cifar10/test_batch: 1 image of a ship, red -2.118
}
