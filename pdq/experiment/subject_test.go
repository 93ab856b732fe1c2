package experiment

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/datasets"
)

func TestMissing(t *testing.T) {
	for name, want := range map[string]string{"resnet18": "image-net.org", "resnet20-cifar10": "download cifar10"} {
		_, err := Open(Source{Name: name, Root: t.TempDir()})
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(Source{Name: "resnet9"}); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a network that isn't known: %v", err)
	}
}

// TestSplit: no image is both calibrated on and held out, and indices say which are calibrated on.
func TestSplit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "indices")
	if err := os.WriteFile(file, []byte("7\n0\n3\n9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	calibration, held, err := Source{Held: 4, Indices: file}.indices(10)
	if err != nil || !slices.Equal(calibration, []int{7, 0, 3, 9}) || !slices.Equal(held, []int{1, 2, 4, 5}) {
		t.Errorf("calibration %v, held out %v, error %v", calibration, held, err)
	}
	calibration, held, err = Source{Held: 4}.indices(7)
	if err != nil || !slices.Equal(calibration, []int{4, 5, 6}) || !slices.Equal(held, []int{0, 1, 2, 3}) {
		t.Errorf("calibration %v, held out %v, error %v", calibration, held, err)
	}
	if err := os.WriteFile(file, []byte("7 8 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, src := range map[string]Source{
		"don't suffice": {Held: 10}, "number 3 is 7 like number 1": {Indices: file}, "no such file": {Indices: "missing"},
	} {
		if _, _, err := src.indices(10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if err := os.WriteFile(file, []byte("7 8 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	src := Source{Name: "resnet8", Root: t.TempDir(), Indices: file, Fixed: true, Held: 20, Distorted: true, Tests: 10}
	s, err := Open(src)
	if err != nil || s.Test.Len() != 10 || s.Tested != "distorted held-out training images" {
		t.Fatalf("%d images of %s, error %v", s.Test.Len(), s.Tested, err)
	}
	cal, err := s.Pool.Calibrate(t.Context(), 2, 5)
	if err != nil || !slices.Equal(cal.Indices, []int{7, 8}) || cal.Len() != 2 {
		t.Errorf("calibration images %v, error %v", cal.Indices, err)
	}
}

// TestDistort: every other image has noise, of about the deviation that is said; the others are smoother, and as light.
func TestDistort(t *testing.T) {
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	images, err := pool.Select([]int{3, 4})
	if err != nil {
		t.Fatal(err)
	}
	was := slices.Clone(images.Pixels)
	distort(images)
	per := len(was) / 2
	var noise, n, before, after, rough, smooth float64
	for i, v := range was {
		x, y := float64(v), float64(images.Pixels[i])
		switch {
		case i < per && v >= 30 && v <= 225:
			noise, n = noise+(y-x)*(y-x), n+1
		case i >= per:
			before, after = before+x, after+y
			if i%28 > 0 {
				rough += math.Abs(x - float64(was[i-1]))
				smooth += math.Abs(y - float64(images.Pixels[i-1]))
			}
		}
	}
	if sd := math.Sqrt(noise / n); math.Abs(sd-7) > 7*4/math.Sqrt(2*n) {
		t.Errorf("the noise of %g pixels has a deviation of %g", n, sd)
	}
	if math.Abs(after/before-1) > 0.01 || smooth >= rough || smooth < rough/2 {
		t.Errorf("blurring changes the mean from %g to %g, and the changes from pixel to pixel from %g to %g",
			before/float64(per), after/float64(per), rough, smooth)
	}
}

// TestDistortValues: what noise images of floats would take isn't known.
func TestDistortValues(t *testing.T) {
	pool := datasets.Images{Name: "set", Channels: 1, Height: 1, Width: 1, Values: []float32{1, 2}, Labels: []int32{0, 0},
		Classes: []string{"0"}}
	_, _, err := Source{Distorted: true}.heldOut(pool, []int{1})
	if err == nil || err.Error() != "experiment: only images of bytes are distorted, and those of set are floats" {
		t.Errorf("error %v", err)
	}
	if images, about, err := (Source{}).heldOut(pool, []int{1}); err != nil || images.Len() != 1 || about == "" {
		t.Errorf("%v, %q, error %v", images, about, err)
	}
}
