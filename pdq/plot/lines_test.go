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

// drawn returns the file that draw writes. It checks that the file is whole.
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
		"at least 2":         {{"a", []float64{1}, []float64{1}}},
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

// TestExtremes: numbers that are too large for a chart are an error; very small and very close ones are drawn.
func TestExtremes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "extremes.svg")
	for name, c := range map[string]struct {
		err  error
		want string // of the error; empty: the chart is drawn
	}{
		"a high edge":  {Columns(path, Chart{}, []Bin{{4, 1e308, 1e30}}), "bin 0 has the number 1e+308; give numbers within"},
		"a high count": {Columns(path, Chart{}, []Bin{{4, 5, 1e300}}), "bin 0 has the number 1e+300"},
		"a high line":  {Lines(path, Chart{}, []Line{{"a", []float64{0, 1}, []float64{-1e308, 1e308}}}), "line 0 (a) has"},
		"a high error": {Scatter(path, Chart{}, []Points{{"a", []float64{0}, []float64{1}, []float64{1e308}}}),
			"points 0 (a) has"},
		"close edges":  {Columns(path, Chart{}, []Bin{{1, math.Nextafter(1, 2), 1}}), ""},
		"tiny edges":   {Columns(path, Chart{}, []Bin{{0, 5e-324, 1}}), ""},
		"wide edges":   {Columns(path, Chart{}, []Bin{{-1e100, 1e100, 1e100}}), ""},
		"close points": {Lines(path, Chart{}, []Line{{"a", []float64{0, 1e-310}, []float64{1e9, 1e9 + 1e-6}}}), ""},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", name, c.err, c.want)
		}
	}
}

// TestWholeTicks: ticks of whole numbers, such as units and steps, are whole.
func TestWholeTicks(t *testing.T) {
	for _, c := range []struct {
		xs   []float64
		want string
	}{{[]float64{1, 7, 19}, "5 10 15"}, {[]float64{0, 4}, "0 1 2 3 4"}, {[]float64{1, 2}, "1 2"},
		{[]float64{1, 250}, "50 100 150 200 250"}, {[]float64{-30, 20_000}, "0 5k 10k 15k 20k"},
		{[]float64{0.5, 2.5}, "0.5 1.5 2.5"}, {[]float64{3, 3}, "1.5 2.5 3.5 4.5"},
		{[]float64{1e17, 1e17 + 16}, "1e+17 1e+17"}} {
		var labels []string
		for _, x := range span(c.xs).ticks() {
			labels = append(labels, x.label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("%v: %s, want %s", c.xs, got, c.want)
		}
	}
}

// TestLargeTicks: ticks of a histogram of many values are short.
func TestLargeTicks(t *testing.T) {
	for _, c := range []struct {
		hi   float64
		want string
	}{{8000, "0 4000 8000"}, {594_100, "0 250k 500k"}, {1.952e6, "0 0.9M 1.8M"}, {3e9, "0 1000M 2000M 3000M"}} {
		var labels []string
		for _, x := range (interval{hi: c.hi}).ticks() {
			labels = append(labels, x.label)
		}
		if got := strings.Join(labels, " "); got != c.want {
			t.Errorf("up to %g: %s, want %s", c.hi, got, c.want)
		}
	}
}
