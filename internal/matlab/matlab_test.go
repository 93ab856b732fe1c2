package matlab

import (
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// TestStructs reads files that SciPy 1.17 wrote (testdata/make.py).
func TestStructs(t *testing.T) {
	want := []map[string]any{
		{"ID": 2.0, "WNID": "n02119789", "words": "kit fox, Vulpes macrotis", "height": -1.5, "empty": ""},
		{"ID": 300.0, "WNID": "n02100735", "words": "é", "height": 7.0, "empty": "x"},
	}
	for _, file := range []string{"packed.mat", "plain.mat"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Structs(bytes.NewReader(text), "synsets")
		if err != nil || len(got) != len(want) {
			t.Fatalf("%s: %v, error %v", file, got, err)
		}
		for i := range want {
			if !maps.Equal(got[i], want[i]) {
				t.Errorf("%s, struct %d: %v, want %v", file, i, got[i], want[i])
			}
		}
		for name, want := range map[string]string{"before": "is no array of structs", "none": `no variable "none"`} {
			if _, err := Structs(bytes.NewReader(text), name); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %s: error %v, want %q", file, name, err, want)
			}
		}
		for n := range len(text) {
			if _, err := Structs(bytes.NewReader(text[:n]), "synsets"); err == nil {
				t.Fatalf("%s: no error of its first %d bytes of %d", file, n, len(text))
			}
		}
	}
}

// TestWrong: what is no such file, or too large, is refused.
func TestWrong(t *testing.T) {
	header := strings.Repeat(" ", 124) + "\x00\x01IM"
	tag := func(kind, size uint32) string {
		return string(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, kind), size))
	}
	for text, want := range map[string]string{
		"":                                        "header: EOF",
		strings.Repeat(" ", 200):                  "no file of version 5",
		header[:126] + "MI":                       "no file of version 5",
		header + tag(matrix, 1<<30):               "1073741824 bytes",
		header + tag(matrix, 80) + "abc":          "has only 3",
		header + tag(compressed, 3) + "abc":       "zlib",
		header + tag(matrix, 8) + tag(uint32s, 0): "flags of 0 bytes",
		header + tag(matrix, 20) + tag(uint32s, 8) + tag(structClass, 0) + "1234": "an element of 8 bytes has only 4",
	} {
		if _, err := Structs(strings.NewReader(text), "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// FuzzStructs: any file gives structs or an error, with memory that is bounded.
func FuzzStructs(f *testing.F) {
	for _, file := range []string{"packed.mat", "plain.mat"} {
		text, err := os.ReadFile("testdata/" + file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		fuzzed.Bounded(t, func() {
			if all, err := Structs(bytes.NewReader(file), "synsets"); err == nil && all == nil {
				t.Error("neither structs nor an error")
			}
		})
	})
}
