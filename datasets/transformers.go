package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
)

// transformersConfig is what an image processor of Hugging Face's transformers does, in this order.
type transformersConfig struct {
	Processor     string    `json:"image_processor_type"`
	Extractor     string    `json:"feature_extractor_type"` // its older name
	DoResize      *bool     `json:"do_resize"`
	Size          sides     `json:"size"`
	Resample      *int      `json:"resample"` // Pillow's number of an interpolation
	CropPct       *float64  `json:"crop_pct"`
	DoCenterCrop  *bool     `json:"do_center_crop"`
	CropSize      sides     `json:"crop_size"`
	DoRescale     *bool     `json:"do_rescale"`
	RescaleFactor *float64  `json:"rescale_factor"`
	RescaleOffset bool      `json:"rescale_offset"`
	DoNormalize   *bool     `json:"do_normalize"`
	Mean          []float32 `json:"image_mean"`
	Std           []float32 `json:"image_std"`
	DoFlipOrder   bool      `json:"do_flip_channel_order"`
	DoPad         bool      `json:"do_pad"`
}

// sides is a size in pixels: of both sides, of the shorter one, or a number alone, whose meaning depends on the
// processor.
type sides struct {
	Height   int `json:"height"`
	Width    int `json:"width"`
	Shortest int `json:"shortest_edge"`
	Longest  int `json:"longest_edge"`
	number   int
}

// UnmarshalJSON reads a number or an object.
func (s *sides) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &s.number) == nil {
		return nil
	}
	type plain sides // without this method
	return json.Unmarshal(text, (*plain)(s))
}

// readTransformers reads preprocessor_config.json.
func readTransformers(text []byte) (c ImageConfig, found bool, err error) {
	var in transformersConfig
	if err := json.Unmarshal(text, &in); err != nil {
		return c, true, err
	}
	if in.Processor == "" {
		in.Processor = in.Extractor
	}
	if c, err = in.sized(); err == nil {
		c.Mean, c.Std, err = in.moments()
	}
	if err == nil {
		c.Interpolation, err = in.interpolation()
	}
	return c, true, err
}

// unless returns what b says, or usual if it says nothing.
func unless(b *bool, usual bool) bool {
	if b == nil {
		return usual
	}
	return *b
}

// sized returns the sizes.
//
// Reference: the image processors of transformers, models/*/image_processing_*.py.
func (in transformersConfig) sized() (c ImageConfig, err error) {
	size, err := in.size()
	if err != nil {
		return c, err
	}
	part := 1.0
	convNext := strings.HasPrefix(in.Processor, "ConvNext")
	switch {
	case in.CropPct != nil:
		part = *in.CropPct
	case convNext:
		part = 224.0 / 256
	}
	if !(part >= leastCrop && part <= 1) {
		return c, fmt.Errorf("crop_pct is %g, not in [%g,1]", part, leastCrop)
	}
	crop := in.CropSize
	if crop.number > 0 {
		crop.Height, crop.Width = crop.number, crop.number
	}
	const large = 384 // from which on ConvNeXt's processor cuts nothing out
	short := int(float64(size.Shortest) / part)
	switch {
	case convNext && size.Shortest >= large:
		return ImageConfig{Height: size.Shortest, Width: size.Shortest, Resize: size.Shortest, Squash: true}, nil
	case convNext && size.Shortest > 0:
		return ImageConfig{Height: size.Shortest, Width: size.Shortest, Resize: short}, nil
	case !unless(in.DoCenterCrop, crop.Height > 0):
		if size.Shortest > 0 {
			return c, errors.New("images of several shapes, since no centre is cut out")
		}
		return ImageConfig{Height: size.Height, Width: size.Width, Resize: min(size.Height, size.Width), Squash: true}, nil
	case crop.Height != crop.Width || size.Height != size.Width:
		return c, fmt.Errorf("%dx%d pixels are cut out of %dx%d; only squares are read", crop.Height, crop.Width,
			size.Height, size.Width)
	case size.Shortest > 0:
		if strings.HasPrefix(in.Processor, "Levit") {
			short = int(256.0 / 224 * float64(size.Shortest))
		}
		return ImageConfig{Height: crop.Height, Width: crop.Width, Resize: short}, nil
	}
	return ImageConfig{Height: crop.Height, Width: crop.Width, Resize: size.Height, Squash: true}, nil
}

// size returns Size, its number as what it means.
func (in transformersConfig) size() (s sides, err error) {
	if !unless(in.DoResize, true) {
		return s, errors.New("do_resize is false: images aren't of one size")
	}
	if in.DoPad {
		return s, errors.New("do_pad is true: images aren't padded here")
	}
	s = in.Size
	begins := func(names ...string) bool { return anyPrefix(in.Processor, names...) }
	switch {
	case s.Longest > 0 || s.Shortest < 0 || s.Height < 0 || s.Width < 0:
		return s, fmt.Errorf("size is %+v; only height and width, or shortest_edge are read", s)
	case s.number > 0 && begins("ViT", "DeiT", "Beit", "EfficientNet"):
		s.Height, s.Width = s.number, s.number
	case s.number > 0 && begins("CLIP", "ConvNext", "MobileNet", "Bit", "Levit", "PoolFormer"):
		s.Shortest = s.number
	case s.number > 0:
		return s, fmt.Errorf("size is %d: whether of the shorter side or of both, %q doesn't say", s.number, in.Processor)
	}
	if s.Shortest == 0 && (s.Height == 0 || s.Width == 0) {
		return s, errors.New("there is no size")
	}
	return s, nil
}

// moments returns what pixel/255 is normalised with.
func (in transformersConfig) moments() (mean, std []float32, err error) {
	const factor = 1.0 / 255
	given := factor
	if in.RescaleFactor != nil {
		given = *in.RescaleFactor
	}
	switch {
	case !unless(in.DoRescale, true):
		return nil, nil, errors.New("do_rescale is false; pixels are divided by 255 here")
	case math.Abs(given-factor) > 1e-6*factor || in.RescaleOffset:
		return nil, nil, fmt.Errorf("rescale_factor is %g, rescale_offset %t; only 1/255 without offset is read",
			given, in.RescaleOffset)
	case in.DoFlipOrder:
		return nil, nil, errors.New("do_flip_channel_order is true: blue first, but images are read red first")
	case !unless(in.DoNormalize, true):
		return []float32{0, 0, 0}, []float32{1, 1, 1}, nil
	case len(in.Mean) == 0 || len(in.Std) == 0:
		return nil, nil, errors.New("there is no image_mean or image_std")
	}
	return in.Mean, in.Std, nil
}

// interpolation returns what Resample stands for.
func (in transformersConfig) interpolation() (Interpolation, error) {
	names := []string{"nearest", "lanczos", Bilinear.String(), Bicubic.String(), "box", "hamming"} // PIL.Image.Resampling
	if in.Resample == nil || *in.Resample < 0 || *in.Resample >= len(names) {
		return 0, errors.New("resample is missing or unknown; it is 2 for bilinear, 3 for bicubic")
	}
	return parseInterpolation(names[*in.Resample])
}
