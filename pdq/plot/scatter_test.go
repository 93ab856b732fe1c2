package plot

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestScatter(t *testing.T) {
	nan := math.NaN()
	kinds := []Points{
		{"resnet8", []float64{0.1, 0.5, 1, 1.5}, []float64{-3, 1, nan, 2}, []float64{0.5, nan, 1, -1}},
		{"mobilenetv2 <&>", []float64{0}, []float64{1}, nil},
		{"nothing", nil, nil, nil},
	}
	c := Chart{"gain", "three seeds", "ratio", "points"}
	for _, name := range []string{"a.png", "a.svg"} {
		b := drawn(t, name, func(path string) error { return Scatter(path, c, kinds) })
		if again := drawn(t, name, func(path string) error { return Scatter(path, c, kinds) }); !bytes.Equal(b, again) {
			t.Errorf("%s differs from one drawing to the next", name)
		}
		if name == "a.svg" {
			for _, want := range []string{"gain", "three seeds", "resnet8", "ratio"} {
				if !strings.Contains(string(b), want) {
					t.Errorf("no %q in %s", want, b)
				}
			}
		}
	}
	alone := drawn(t, "a.svg", func(path string) error { return Scatter(path, c, kinds[1:2]) })
	with := drawn(t, "a.svg", func(path string) error {
		return Scatter(path, c, []Points{{"", []float64{0}, []float64{1}, []float64{0.25}}})
	})
	if bytes.Equal(alone, with) {
		t.Error("an error isn't drawn")
	}
	for want, bad := range map[string][]Points{
		"give 1 to 5":                      nil,
		"1 x, 2 y and 0 errors":            {{"", []float64{1}, []float64{1, 2}, nil}},
		"1 x, 1 y and 2 errors":            {{"", []float64{1}, []float64{1}, []float64{1, 2}}},
		"no point is finite":               {{"", []float64{nan}, []float64{1}, nil}},
		"6 kinds of points; give 1 to 5":   make([]Points, 6),
		"points 1 (b) have 1 x, 0 y and 0": {{"a", nil, nil, nil}, {"b", []float64{1}, nil, nil}},
	} {
		if err := Scatter("x.png", c, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
