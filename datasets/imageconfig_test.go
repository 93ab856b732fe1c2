package datasets

import (
	"reflect"
	"testing"
)

func TestParseImageOptions(t *testing.T) {
	for _, c := range []struct {
		size, resize, interpolation, mean, std string
		want                                   ImageConfig
	}{
		{"", "", "", "", "", ImageNetConfig()},
		{"32x40", "", "", "", "", ImageConfig{Height: 32, Width: 40, Resize: 36}},
		{"28", "28", "bicubic", "0.5", "0.1, 0.2,0.25", ImageConfig{Height: 28, Width: 28, Resize: 28,
			Interpolation: Bicubic, Mean: []float32{0.5}, Std: []float32{0.1, 0.2, 0.25}}},
		{"", "232", "bilinear", "", "", ImageConfig{Height: 224, Width: 224, Resize: 232}},
	} {
		o, err := ParseImageOptions(c.size, c.resize, c.interpolation, c.mean, c.std)
		if got := o.Apply(ImageNetConfig()); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %+v, error %v", c, got, err)
		}
	}
	for want, c := range map[string][5]string{
		`size "32x" is not a number of pixels`:               {"32x", "", "", "", ""},
		`size "0" is not a number of pixels`:                 {"0", "", "", "", ""},
		`resize "big" is not`:                                {"32", "big", "", "", ""},
		`images of 32x40 pixels out of images whose shorter`: {"32x40", "31", "", "", ""},
		`interpolation "box" is not read`:                    {"", "", "box", "", ""},
		`3 means and 2 deviations for 3 channels`:            {"", "", "", "", "1,2"},
		`deviation 0; both must be finite`:                   {"", "", "", "", "0"},
		`mean: "x" is not a number`:                          {"", "", "", "x", ""},
		`std: "5z" is not`:                                   {"", "", "", "", "0,,5z"},
	} {
		o, err := ParseImageOptions(c[0], c[1], c[2], c[3], c[4])
		if err == nil {
			err = o.Apply(ImageNetConfig()).validate()
		}
		if lacks(err, want) {
			t.Errorf("%v: error %v, want %q", c, err, want)
		}
	}
}

// TestCovering: the resized image covers the frame, and one of its sides is the frame's.
func TestCovering(t *testing.T) {
	for _, c := range []struct{ w, h, height, width, resize, wantW, wantH int }{
		{500, 375, 224, 224, 256, 341, 256}, // torchvision: int(256*500/375)
		{375, 500, 224, 224, 256, 256, 341},
		{40, 32, 32, 40, 32, 40, 32}, // as it is
		{100, 32, 32, 40, 32, 100, 32},
		{40, 90, 32, 40, 32, 40, 90},
		{10, 10, 32, 40, 36, 45, 45},
	} {
		w, h := newRGB(c.w, c.h).covering(ImageConfig{Height: c.height, Width: c.width, Resize: c.resize})
		if w != c.wantW || h != c.wantH {
			t.Errorf("%+v: %d x %d", c, w, h)
		}
		frame := ImageConfig{Height: c.height, Width: c.width, Resize: c.resize, Squash: true}
		short := min(c.height, c.width)
		if w, h := newRGB(c.w, c.h).covering(frame); w != c.resize*c.width/short || h != c.resize*c.height/short {
			t.Errorf("%+v, squashed: %d x %d", c, w, h)
		}
	}
}
