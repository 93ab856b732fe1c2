package datasets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// ReadPreprocessing reads what a model's images are made with from the files beside it: preprocessor_config.json, as
// Hugging Face's transformers writes it, or timm's config.json. file is the path of the one that was read, "" if dir
// has neither. It is an error if ImageConfig can't say what the file asks for, as another interpolation.
//
// The centre is cut out as torchvision does, which timm calls. Where an odd number of pixels is left over, that of
// transformers may begin one pixel before.
func ReadPreprocessing(dir string) (c ImageConfig, file string, err error) {
	for _, form := range []struct {
		name string
		read func(text []byte) (c ImageConfig, found bool, err error)
	}{{"preprocessor_config.json", readTransformers}, {"config.json", readTimm}} {
		path := filepath.Join(dir, form.name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found := false
		if err == nil {
			c, found, err = form.read(text)
		}
		if err != nil {
			return ImageConfig{}, path, fmt.Errorf("datasets: preprocessing: %s: %w; give size, moments and interpolation "+
				"without the file", path, err)
		}
		if !found {
			continue
		}
		if err := c.validate(); err != nil {
			return ImageConfig{}, path, fmt.Errorf("%w; correct %s", err, path)
		}
		return c, path, nil
	}
	return ImageConfig{}, "", nil
}

// leastCrop is the smallest part of an image's sides that a file may cut out.
const leastCrop = 0.1

// timmConfig is how timm describes a network's input.
type timmConfig struct {
	InputSize     []int     `json:"input_size"` // [C,H,W]
	Mean          []float32 `json:"mean"`
	Std           []float32 `json:"std"`
	Interpolation string    `json:"interpolation"`
	CropPct       *float64  `json:"crop_pct"`  // part of the resized image's sides that is cut out
	CropMode      string    `json:"crop_mode"` // "center", "squash" or "border"
}

// readTimm reads timm's config.json. Files of this name with other content are not found.
//
// Reference: timm's resolve_data_config and transforms_imagenet_eval, with their defaults.
func readTimm(text []byte) (c ImageConfig, found bool, err error) {
	var file struct {
		Pretrained *timmConfig `json:"pretrained_cfg"`
		Default    *timmConfig `json:"default_cfg"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return c, false, err
	}
	in := file.Pretrained
	if in == nil {
		in = file.Default
	}
	if in == nil {
		return c, false, nil
	}
	c, err = in.config()
	return c, true, err
}

// config returns what in says.
func (in timmConfig) config() (c ImageConfig, err error) {
	size := in.InputSize
	if len(size) != 3 || size[0] != 3 || size[1] != size[2] {
		return c, fmt.Errorf("input_size is %v; only 3 channels and equal sides are read", size)
	}
	part := 0.875
	if in.CropPct != nil {
		part = *in.CropPct
	}
	if !(part >= leastCrop && part <= 1) {
		return c, fmt.Errorf("crop_pct is %g, not in [%g,1]", part, leastCrop)
	}
	c = ImageConfig{Height: size[1], Width: size[2], Resize: int(math.Floor(float64(size[1]) / part)),
		Mean: in.Mean, Std: in.Std, Interpolation: Bicubic}
	switch in.CropMode {
	case "", "center":
	case "squash":
		c.Squash = true
	default:
		return c, fmt.Errorf("crop_mode %q is not read; only center and squash are", in.CropMode)
	}
	if in.Interpolation != "" {
		c.Interpolation, err = parseInterpolation(in.Interpolation)
	}
	return c, err
}
