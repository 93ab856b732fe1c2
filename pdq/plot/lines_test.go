package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// drawn returns the file that draw writes, after checking that it is whole.
func drawn(t *testing.T, name string, draw func(path string) error) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := draw(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, "png") {
		if im, err := png.Decode(bytes.NewReader(b)); err != nil || im.Bounds().Dx() != 1000 {
			t.Fatalf("%s: error %v", name, err)
		}
		return b
	}
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return b
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

func TestLines(t *testing.T) {
	nan := math.NaN()
	lines := []Line{
		{"squared error", []float64{0, 0.5, 1, 1.5}, []float64{3, 1, nan, 2}},
		{"cosine <&>", []float64{0, 1}, []float64{1e-9, math.Inf(1)}},
		{"PD", []float64{0, 1}, []float64{0.2, 0.1}},
	}
	c := Chart{"layer1.0", "a sweep", "range", "loss"}
	for _, name := range []string{"a.png", "a.svg"} {
		b := drawn(t, name, func(path string) error { return Lines(path, c, lines) })
		if again := drawn(t, name, func(path string) error { return Lines(path, c, lines) }); !bytes.Equal(b, again) {
			t.Errorf("%s differs from one drawing to the next", name)
		}
		if name == "a.svg" && (!strings.Contains(string(b), "squared error") || !strings.Contains(string(b), "layer1.0") ||
			!strings.Contains(string(b), "range")) {
			t.Errorf("texts are missing in %s", b)
		}
		drawn(t, name, func(path string) error {
			return Lines(path, Chart{},
				[]Line{{"", []float64{1, 2}, []float64{5, 5}}})
		})
	}
	for want, bad := range map[string][]Line{
		"give 1 to 5":        nil,
		"as many of both":    {{"a", []float64{1, 2}, []float64{1}}},
		"two at least":       {{"a", []float64{1}, []float64{1}}},
		"no point of the":    {{"a", []float64{1, 2}, []float64{nan, nan}}},
		"6 lines; give 1 to": make([]Line, 6),
	} {
		if err := Lines(filepath.Join(t.TempDir(), "a.svg"), c, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v", bad, err)
		}
	}
	if err := Lines("a.pdf", c, lines); err == nil || !strings.Contains(err.Error(), ".png, .svg") {
		t.Errorf("error %v", err)
	}
}

func TestColumns(t *testing.T) {
	c := Chart{Title: "conv1", X: "weight", Y: "count"}
	for _, name := range []string{"a.png", "a.svg"} {
		drawn(t, name, func(path string) error { return Columns(path, c, []Bin{{-1, 0, 3}, {0, 1, 0}, {1, 2, 8}}) })
		drawn(t, name, func(path string) error { return Columns(path, c, []Bin{{0, 1, 0}}) })
	}
	for _, bad := range [][]Bin{nil, {{1, 1, 0}}, {{0, 1, -1}}, {{0, 1, math.NaN()}}, {{math.Inf(-1), 1, 2}}} {
		if err := Columns(filepath.Join(t.TempDir(), "a.svg"), c, bad); err == nil ||
			!strings.HasPrefix(err.Error(), "plot: ") {
			t.Errorf("%+v: error %v", bad, err)
		}
	}
}
