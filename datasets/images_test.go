package datasets

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// small returns three 2x1x2 images whose pixels count up.
func small() Images {
	return Images{
		Name: "small", Channels: 2, Height: 1, Width: 2,
		Pixels: []uint8{0, 255, 51, 102, 10, 11, 12, 13, 20, 21, 22, 23},
		Labels: []int32{2, 0, 1}, Classes: []string{"a", "b", "c"},
		Mean: []float32{0.5, 0}, Std: []float32{0.25, 1},
	}
}

func TestFloats(t *testing.T) {
	// By hand: channel 0 is (p/255-0.5)/0.25, channel 1 is p/255.
	want := []float32{-2, 2, 0.2, 0.4}
	got := small().Floats(0, 1)
	for i := range want {
		if len(got) != len(want) || math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Fatalf("Floats(0, 1) = %v, want %v", got, want)
		}
	}
	if got := small().Floats(2, 2); len(got) != 0 {
		t.Errorf("Floats(2, 2) = %v, want none", got)
	}
}

// TestFloatsPlain compares Floats with the formula, pixel by pixel.
func TestFloatsPlain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	im := Images{Channels: 3, Height: 5, Width: 4, Labels: make([]int32, 7),
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}}
	for range 7 * 3 * 5 * 4 {
		im.Pixels = append(im.Pixels, uint8(rng.Uint32()))
	}
	got := im.Floats(2, 6)
	for i, v := range im.Pixels[2*60 : 6*60] {
		c := i / 20 % 3
		if want := (float32(v)/255 - im.Mean[c]) / im.Std[c]; got[i] != want {
			t.Fatalf("value %d is %v, want %v", i, got[i], want)
		}
	}
}

func TestSlice(t *testing.T) {
	im := small()
	s := im.Slice(1, 3)
	if s.Len() != 2 || !slices.Equal(s.Labels, []int32{0, 1}) || s.Pixels[0] != 10 {
		t.Errorf("Slice(1, 3) = %+v", s)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	first := im.Slice(0, 1)
	_ = append(first.Pixels, 99)
	if im.Pixels[4] != 10 {
		t.Error("appending to a slice's pixels changed the image after it")
	}
	for _, r := range [][2]int{{-1, 1}, {2, 1}, {0, 4}} {
		t.Run(fmt.Sprint(r), func(t *testing.T) {
			defer func() {
				if msg := fmt.Sprint(recover()); !strings.Contains(msg, "small has 3") {
					t.Errorf("panic %q, want both numbers", msg)
				}
			}()
			im.Slice(r[0], r[1])
		})
	}
}

func TestSelect(t *testing.T) {
	im := small()
	got, err := im.Select([]int{2, 0, 2})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Labels, []int32{1, 2, 1}) || !slices.Equal(got.Pixels[:5], []uint8{20, 21, 22, 23, 0}) {
		t.Errorf("Select = %+v", got)
	}
	got.Pixels[0], got.Labels[0], got.Mean[0], got.Std[0], got.Classes[0] = 1, 0, 9, 9, "x"
	if want := small(); im.Hash() != want.Hash() || im.Mean[0] != 0.5 || im.Std[0] != 0.25 || im.Classes[0] != "a" {
		t.Error("changing a selection changed what it was selected from")
	}
	for _, k := range []int{-1, 3} {
		if _, err := im.Select([]int{0, k}); lacks(err, fmt.Sprintf("index %d at position 1", k)) {
			t.Errorf("Select(0, %d): %v", k, err)
		}
	}
}

func TestMoments(t *testing.T) {
	im := Images{Channels: 2, Height: 1, Width: 2, Labels: make([]int32, 2)}
	im.Pixels = []uint8{0, 255, 51, 51, 255, 0, 51, 51}
	mean, std := im.Moments() // by hand: half the pixels are 1; all are 0.2
	if mean[0] != 0.5 || std[0] != 0.5 || mean[1] != 0.2 || std[1] > 1e-6 {
		t.Errorf("Moments = %v, %v", mean, std)
	}
}

func TestHash(t *testing.T) {
	im := small()
	text := "3 2 1 2\n" + string(im.Pixels) + "\x02\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"
	want := sha256.Sum256([]byte(text))
	if got := im.Hash(); got != hex.EncodeToString(want[:]) {
		t.Errorf("Hash = %s, want that of %q", got, text)
	}
	seen := map[string]string{im.Hash(): "small"}
	for name, change := range map[string]func(*Images){
		"pixel":  func(im *Images) { im.Pixels[3]++ },
		"label":  func(im *Images) { im.Labels[0]-- },
		"sides":  func(im *Images) { im.Height, im.Width = im.Width, im.Height },
		"fewer":  func(im *Images) { *im = im.Slice(0, 2) },
		"others": func(im *Images) { *im = im.Slice(1, 3) },
	} {
		im := small()
		change(&im)
		if same, ok := seen[im.Hash()]; ok {
			t.Errorf("%s: the hash is that of %s", name, same)
		}
		seen[im.Hash()] = name
	}
}

func TestValidate(t *testing.T) {
	if err := small().Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name, want string
		change     func(*Images)
	}{
		{"empty", "there are none", func(im *Images) { *im = im.Slice(0, 0) }},
		{"short pixels", "11 pixels are not 3 images of 2x1x2", func(im *Images) { im.Pixels = im.Pixels[1:] }},
		{"no pixels", "0 pixels", func(im *Images) { im.Pixels = nil }},
		{"zero side", "2x0x2", func(im *Images) { im.Height = 0 }},
		{"negative sides", "2x-1x-2", func(im *Images) { im.Height, im.Width = -1, -2 }},
		{"overflow", "12 pixels", func(im *Images) { im.Height, im.Width = math.MaxInt/2+1, 4 }},
		{"label above", "label 3 of image 1", func(im *Images) { im.Labels[1] = 3 }},
		{"label below", "label -2 of image 2", func(im *Images) { im.Labels[2] = -2 }},
		{"both forms", "both Pixels and Values", func(im *Images) { im.Values = make([]float32, 12) }},
		{"no classes", "0 classes", func(im *Images) { im.Classes = nil }},
		{"one mean", "1 means and 2 deviations for 2 channels", func(im *Images) { im.Mean = im.Mean[:1] }},
		{"three deviations", "2 means and 3 deviations", func(im *Images) { im.Std = append(im.Std, 1) }},
		{"zero deviation", "channel 1", func(im *Images) { im.Std[1] = 0 }},
		{"NaN deviation", "channel 0", func(im *Images) { im.Std[0] = float32(math.NaN()) }},
		{"infinite mean", "channel 0", func(im *Images) { im.Mean[0] = float32(math.Inf(1)) }},
	} {
		im := small()
		c.change(&im)
		err := im.Validate()
		if lacks(err, c.want) || !strings.HasPrefix(err.Error(), "datasets: images small: ") {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// TestValues: images that are kept as numbers are used as they are.
func TestValues(t *testing.T) {
	im := Images{Name: "small", Channels: 1, Height: 1, Width: 2, Values: []float32{1, -2, 3, 4, 5, 0.5},
		Labels: []int32{0, Unlabelled, 0}, Classes: []string{"a"}}
	if err := im.Validate(); err != nil {
		t.Error(err)
	}
	got := im.Floats(1, 3)
	if !slices.Equal(got, []float32{3, 4, 5, 0.5}) {
		t.Errorf("images 1 and 2 are %v", got)
	}
	if got[0] = 9; im.Values[2] != 3 {
		t.Error("Floats shares memory")
	}
	picked, err := im.Select([]int{2, 0})
	if err != nil || picked.Validate() != nil || !slices.Equal(picked.Values, []float32{5, 0.5, 1, -2}) {
		t.Errorf("images 2 and 0 are %v, error %v", picked.Values, err)
	}
	before := im.Hash()
	if im.Values[5]++; im.Hash() == before {
		t.Error("a changed value has the same hash")
	}
	if im.Values = im.Values[1:]; lacks(im.Validate(), "5 pixels are not 3 images of 1x1x2") {
		t.Error("a value is missing")
	}
}
