package npz

import (
	"archive/zip"
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// npy is a file of version 1 with this header and content.
func npy(header, content string) string {
	return npyMagic + "\x01\x00" + string([]byte{byte(len(header)), byte(len(header) >> 8)}) + header + content
}

// one is a header of an array of this type and shape.
func one(descr, shape string) string {
	return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + shape + "), }\n"
}

func findText(file string) ([]Stored, error) { return Find(strings.NewReader(file), int64(len(file))) }

// TestFloats: each type of floats, in both orders of bytes. The bytes are those of struct.pack.
func TestFloats(t *testing.T) {
	want := []float32{1.5, -0.25}
	for descr, content := range map[string]string{
		"<f2": "\x00\x3e\x00\xb4", ">f2": "\x3e\x00\xb4\x00",
		"<f4": "\x00\x00\xc0\x3f\x00\x00\x80\xbe", ">f4": "\x3f\xc0\x00\x00\xbe\x80\x00\x00",
		"<f8": "\x00\x00\x00\x00\x00\x00\xf8\x3f\x00\x00\x00\x00\x00\x00\xd0\xbf",
	} {
		arrays, err := findText(npy(one(descr, "1, 2L"), content))
		if err != nil || !reflect.DeepEqual(arrays[0].Shape, []int{1, 2}) {
			t.Errorf("%s: %v, error %v", descr, arrays, err)
			continue
		}
		for range 2 {
			if got, err := arrays[0].Floats(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, error %v", descr, got, err)
			}
		}
		if _, err := arrays[0].Ints(); err == nil {
			t.Errorf("%s: integers are read", descr)
		}
	}
}

// TestHalf: numbers of 16 bits, as np.float16 has them.
func TestHalf(t *testing.T) {
	for b, want := range map[uint16]float32{0: 0, 1: 0x1p-24, 0x3ff: 0x3ffp-24, 0x400: 0x1p-14, 0x3c01: 1 + 0x1p-10,
		0x7bff: 65504, 0xc000: -2, 0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1))} {
		if got := half(b); got != want {
			t.Errorf("%#x is %g, want %g", b, got, want)
		}
	}
	if got := half(0x7e00); got == got {
		t.Errorf("not a number is %g", got)
	}
}

func TestInts(t *testing.T) {
	for descr, c := range map[string]struct {
		content string
		want    int64
	}{
		"|i1": {"\xfe", -2}, "|u1": {"\xfe", 254}, "<i2": {"\xfe\xff", -2}, ">u2": {"\x01\x02", 258},
		"<i4": {"\xff\xff\xff\xff", -1}, ">i8": {"\x00\x00\x00\x00\x00\x00\x00\x07", 7},
		"<u8": {"\xff\xff\xff\xff\xff\xff\xff\xff", math.MaxInt64},
	} {
		arrays, err := findText(npy(one(descr, ""), c.content))
		if err != nil {
			t.Errorf("%s: %v", descr, err)
			continue
		}
		if got, err := arrays[0].Ints(); err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %v, error %v; want %d", descr, got, err, c.want)
		}
	}
}

// TestFind: what Write wrote is read.
func TestFind(t *testing.T) {
	var file bytes.Buffer
	if err := Write(&file, []Array{{"x", []int{1, 2}, []float32{1, 2}}, {"y", []int{1}, []int64{-5}}}); err != nil {
		t.Fatal(err)
	}
	arrays, err := findText(file.String())
	if err != nil || len(arrays) != 2 || arrays[0].Name != "x" || arrays[1].Name != "y" {
		t.Fatalf("%v, error %v", arrays, err)
	}
	floats, err := arrays[0].Floats()
	if err != nil || !reflect.DeepEqual(floats, []float32{1, 2}) {
		t.Errorf("%v, error %v", floats, err)
	}
	if ints, err := arrays[1].Ints(); err != nil || !reflect.DeepEqual(ints, []int64{-5}) {
		t.Errorf("%v, error %v", ints, err)
	}
}

// TestFindChecksum: a value that was changed in an archive as np.savez writes it is found.
func TestFindChecksum(t *testing.T) {
	var file bytes.Buffer
	archive := zip.NewWriter(&file)
	w, err := archive.CreateHeader(&zip.FileHeader{Name: "x.npy", Method: zip.Store})
	if err == nil {
		_, err = w.Write([]byte(npy(one("<f4", "2"), "changed?")))
	}
	if err = errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"changed?": true, "changed!": false} {
		arrays, err := findText(strings.Replace(file.String(), "changed?", text, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := arrays[0].Floats(); (err == nil) != want {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func TestFindWrong(t *testing.T) {
	var archive bytes.Buffer
	if err := Write(&archive, []Array{{"x", []int{2}, []float32{1, 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "the file is empty"},
		{"text", "labels", "is the start of neither"},
		{"cut header", npy(one("<f4", "2"), "")[:40], "ends within its header"},
		{"cut", npy(one("<f4", "3"), "12345678"), "8 bytes of the 12 of shape [3] and type <f4; the file is cut off"},
		{"more", npy(one("<f4", "1"), "12345678"), "4 bytes after the array"},
		{"large", npy(one("<f4", "4611686018427387904, 9"), ""), "is too large"},
		{"number", npy(one("<f4", "46116860184273879040"), ""), "out of range"},
		{"no shape", npy("{'descr': '<f4'}", ""), "has no type, order or shape"},
		{"version", npyMagic + "\x04\x00\x00\x00", "version 4 of the format"},
		{"cut archive", archive.String()[:archive.Len()-10], "cut off or damaged"},
	} {
		if _, err := findText(c.file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	fortran := strings.Replace(npy(one("<f4", "1, 2"), "12345678"), "False", "True ", 1)
	arrays, err := findText(fortran)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := arrays[0].Floats(); err == nil || !strings.Contains(err.Error(), "ascontiguousarray") {
		t.Errorf("Fortran's order: error %v", err)
	}
}

// FuzzFind: any file is read or an error, in bounded memory; an array that is read has as many values as its shape.
func FuzzFind(f *testing.F) {
	var archive bytes.Buffer
	if err := Write(&archive, []Array{{"x", []int{2}, []float32{1, 2}}, {"y", nil, []int64{3}}}); err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", archive.String(), npy(one("<f4", "2, 1"), "12345678"), npy(one(">i2", "0, 99"), ""),
		npy(one("|O", "3"), "abc"), npy("{'descr': [('a', '<f4')], 'fortran_order': True, 'shape': (1,)}", "1234"),
		npy(one("<f4", "4611686018427387904, 9"), "")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		fuzzed.Bounded(t, func() {
			arrays, err := Find(bytes.NewReader(file), int64(len(file)))
			if err != nil {
				return
			}
			for _, a := range arrays {
				if v, err := a.Floats(); err == nil && len(v) != a.Len() {
					t.Errorf("%v: %d values", a.Header, len(v))
				}
				if v, err := a.Ints(); err == nil && len(v) != a.Len() {
					t.Errorf("%v: %d values", a.Header, len(v))
				}
			}
		})
	})
}
