package datasets

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

const moments = `"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]`

// TestReadPreprocessing: files as published with networks, shortened.
func TestReadPreprocessing(t *testing.T) {
	mean, std := ImageNetMoments()
	halves := []float32{0.5, 0.5, 0.5}
	imageNet := func(c ImageConfig) ImageConfig {
		c.Mean, c.Std = mean, std
		return c
	}
	for _, c := range []struct {
		name, file, text string
		want             ImageConfig
	}{
		{"google/vit-base-patch16-224", "preprocessor_config.json", `{"do_normalize": true, "do_rescale": true,
			"do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "ViTFeatureExtractor",
			"image_std": [0.5, 0.5, 0.5], "resample": 2, "rescale_factor": 0.00392156862745098,
			"size": {"height": 224, "width": 224}}`,
			ImageConfig{Height: 224, Width: 224, Resize: 224, Squash: true, Mean: halves, Std: halves}},
		{"microsoft/resnet-50", "preprocessor_config.json", `{"crop_pct": 0.875, "do_normalize": true, "do_resize": true,
			"feature_extractor_type": "ConvNextFeatureExtractor", ` + moments + `, "resample": 3, "size": 224}`,
			imageNet(ImageConfig{Height: 224, Width: 224, Resize: 256, Interpolation: Bicubic})},
		{"facebook/convnext-large-384", "preprocessor_config.json", `{"crop_pct": 0.875,
			"feature_extractor_type": "ConvNextFeatureExtractor", ` + moments + `, "resample": 3, "size": 384}`,
			imageNet(ImageConfig{Height: 384, Width: 384, Resize: 384, Squash: true, Interpolation: Bicubic})},
		{"facebook/deit-base-patch16-224", "preprocessor_config.json", `{"crop_size": 224, "do_center_crop": true,
			"feature_extractor_type": "DeiTFeatureExtractor", ` + moments + `, "resample": 3, "size": 256}`,
			imageNet(ImageConfig{Height: 224, Width: 224, Resize: 256, Squash: true, Interpolation: Bicubic})},
		{"google/mobilenet_v2", "preprocessor_config.json", `{"crop_size": {"height": 224, "width": 224},
			"do_center_crop": true, "image_processor_type": "MobileNetV2ImageProcessor", ` + moments + `, "resample": 2,
			"size": {"shortest_edge": 256}}`, imageNet(ImageConfig{Height: 224, Width: 224, Resize: 256})},
		{"facebook/levit-128", "preprocessor_config.json", `{"crop_size": {"height": 224, "width": 224},
			"do_center_crop": true, "image_processor_type": "LevitImageProcessor", ` + moments + `, "resample": 3,
			"size": {"shortest_edge": 224}}`,
			imageNet(ImageConfig{Height: 224, Width: 224, Resize: 256, Interpolation: Bicubic})},
		{"sail/poolformer_s12", "preprocessor_config.json", `{"crop_pct": 0.9, "crop_size": {"height": 224, "width": 224},
			"do_center_crop": true, "image_processor_type": "PoolFormerImageProcessor", "do_normalize": false, "resample": 3,
			"size": {"shortest_edge": 224}}`, ImageConfig{Height: 224, Width: 224, Resize: 248, Interpolation: Bicubic,
			Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1}}},
		{"timm/resnet50.a1_in1k", "config.json", `{"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": {
			"input_size": [3, 224, 224], "test_input_size": [3, 288, 288], "fixed_input_size": false,
			"interpolation": "bicubic", "crop_pct": 0.95, "test_crop_pct": 1.0, "crop_mode": "center",
			"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}`,
			imageNet(ImageConfig{Height: 224, Width: 224, Resize: 235, Interpolation: Bicubic})},
		{"timm, squash", "config.json", `{"default_cfg": {"input_size": [3, 384, 384], "interpolation": "bilinear",
			"crop_pct": 1.0, "crop_mode": "squash"}}`, ImageConfig{Height: 384, Width: 384, Resize: 384, Squash: true}},
		{"timm, defaults", "config.json", `{"pretrained_cfg": {"input_size": [3, 224, 224]}}`,
			ImageConfig{Height: 224, Width: 224, Resize: 256, Interpolation: Bicubic}},
	} {
		dir := t.TempDir()
		put(t, []byte(c.text), dir, c.file)
		got, file, err := ReadPreprocessing(dir)
		if err != nil || file != filepath.Join(dir, c.file) || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v of %q, error %v; want %+v", c.name, got, file, err, c.want)
		}
	}
}

// TestReadPreprocessingNone: a folder without such a file, or with a model's config.json of another kind.
func TestReadPreprocessingNone(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if c, file, err := ReadPreprocessing(dir); err != nil || file != "" || !reflect.DeepEqual(c, ImageConfig{}) {
			t.Errorf("%+v of %q, error %v", c, file, err)
		}
		put(t, []byte(`{"model_type": "resnet"}`), dir, "config.json")
	}
}

func TestReadPreprocessingWrong(t *testing.T) {
	const size, and2 = `"size": {"height": 8, "width": 8}, `, `"resample": 2, `
	for _, c := range [][2]string{
		{`{`, "unexpected end of JSON input; give size, moments and interpolation without the file"},
		{`{"do_rescale": false, ` + and2 + size + moments + `}`, "do_rescale is false"},
		{`{"rescale_factor": 0.0078125, ` + and2 + size + moments + `}`, "only 1/255 without offset is read"},
		{`{"rescale_offset": true, ` + and2 + size + moments + `}`, "rescale_offset true"},
		{`{"do_flip_channel_order": true, ` + and2 + size + moments + `}`, "blue first"},
		{`{"do_resize": false, ` + and2 + size + moments + `}`, "images aren't of one size"},
		{`{"do_pad": true, ` + and2 + size + moments + `}`, "do_pad is true"},
		{`{"do_center_crop": true, "crop_size": {"height": 4, "width": 5}, ` + and2 + size + moments + `}`,
			"4x5 pixels are cut out of 8x8; only squares are read"},
		{`{"crop_size": 9, ` + and2 + size + moments + `}`, "give a size > 0 that is not above"},
		{`{"resample": 1, ` + size + moments + `}`, `interpolation "lanczos" is not read`},
		{`{` + size + moments + `}`, "resample is missing"},
		{`{` + and2 + `"size": {"height": 8, "width": 8}}`, "there is no image_mean"},
		{`{` + and2 + `"size": {"longest_edge": 8}, ` + moments + `}`, "only height and width, or"},
		{`{` + and2 + `"size": {"shortest_edge": 8}, ` + moments + `}`, "no centre is cut out"},
		{`{` + and2 + moments + `}`, "there is no size"},
		{`{` + and2 + `"size": 8, "image_processor_type": "X", ` + moments + `}`, `of both, "X" doesn't say`},
		{`{` + and2 + `"size": 8, "image_processor_type": "ConvNext", "crop_pct": 0, ` + moments + `}`, "crop_pct is 0"},
	} {
		wrongPreprocessing(t, "preprocessor_config.json", c[0], c[1])
	}
	for _, c := range [][2]string{
		{`{"input_size": [3, 8, 9]}`, "input_size is [3 8 9]"},
		{`{"input_size": [3, 8, 8], "crop_pct": 2}`, "crop_pct is 2"},
		{`{"input_size": [3, 8, 8], "crop_mode": "border"}`, `crop_mode "border" is not read`},
		{`{"input_size": [3, 8, 8], "interpolation": "random"}`, `"random" is not read; only bilinear and bicubic`},
		{`{"input_size": [3, 8, 8], "mean": [1, 2]}`, "2 means and 3 deviations"},
	} {
		wrongPreprocessing(t, "config.json", `{"pretrained_cfg": `+c[0]+`}`, c[1])
	}
}

// wrongPreprocessing checks the error of a file with this text.
func wrongPreprocessing(t *testing.T, file, text, want string) {
	t.Helper()
	dir := t.TempDir()
	put(t, []byte(text), dir, file)
	_, path, err := ReadPreprocessing(dir)
	if lacks(err, want) || !strings.HasPrefix(err.Error(), "datasets: ") || !strings.Contains(err.Error(), path) {
		t.Errorf("%s: error %v, want %q", text, err, want)
	}
}

// FuzzPreprocessing: any text is a configuration with positive sizes, or an error.
func FuzzPreprocessing(f *testing.F) {
	f.Add([]byte(`{"resample": 2, "size": {"height": 8, "width": 8}, ` + moments + `}`))
	f.Add([]byte(`{"pretrained_cfg": {"input_size": [3, 8, 8], "crop_pct": 1e-300}}`))
	f.Add([]byte(`{"resample": 3, "size": 8, "image_processor_type": "ConvNext", "crop_pct": 1e-300, ` + moments + `}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		fuzzed.Bounded(t, func() {
			for _, read := range []func([]byte) (ImageConfig, bool, error){readTransformers, readTimm} {
				if c, found, err := read(text); err == nil && found && c.validate() == nil && (c.Height < 1 || c.Resize < 1) {
					t.Errorf("%+v", c)
				}
			}
		})
	})
}
