package arch

import (
	"fmt"
	"math"

	"github.com/pdquant/pdquant/models"
)

// EfficientNetLiteConfig describes an EfficientNet-Lite: EfficientNet's inverted residuals with ReLU6 and without
// squeeze-and-excitation (tensorflow/tpu, models/official/efficientnet/lite).
type EfficientNetLiteConfig struct {
	Width float64 // channels relative to those of EfficientNet-Lite0, in (0,64]
	Depth float64 // blocks of a stage relative to those of EfficientNet-Lite0, in (0,64]
	Input         // padding follows from the size of the images
}

// liteSize is one of the published EfficientNet-Lites.
type liteSize struct {
	width, depth float64
	pixels       int // of the images
}

// liteSizes lists EfficientNet-Lite0 to Lite4.
//
// Source: efficientnet_lite_builder.py, efficientnet_lite_params.
func liteSizes() []liteSize {
	return []liteSize{{1, 1, 224}, {1, 1.1, 240}, {1.1, 1.2, 260}, {1.2, 1.4, 280}, {1.4, 1.8, 300}}
}

// liteStage is a row of EfficientNet's table: a number of similar blocks.
type liteStage struct {
	expand, out, repeat, stride, kernel int
	whole                               bool // depth doesn't change the number of blocks
}

// liteStages is the table of EfficientNet-B0 (Tan and Le 2019, table 1) without its first and last convolution.
func liteStages() []liteStage {
	return []liteStage{{1, 16, 1, 1, 3, true}, {6, 24, 2, 2, 3, false}, {6, 40, 2, 2, 5, false}, {6, 80, 3, 2, 3, false},
		{6, 112, 3, 1, 5, false}, {6, 192, 4, 2, 5, false}, {6, 320, 1, 1, 3, true}}
}

// EfficientNetLite builds the network that c describes. Its units are the first convolution, each block, the last
// convolution and the classifier. Padding is TensorFlow's "same": at stride 2, a side of even size gets the odd pixel
// after the image. Names are those of efficientnet-lite-pytorch. The network leaves out the dropout before the
// classifier, which only matters in training.
func EfficientNetLite(c EfficientNetLiteConfig) (*models.Network, error) {
	if !(c.Width > 0 && c.Width <= 64 && c.Depth > 0 && c.Depth <= 64) {
		return nil, fmt.Errorf("arch: efficientnet-lite: width %g and depth %g; both must be > 0 and at most 64",
			c.Width, c.Depth)
	}
	b := newBuilder("efficientnet-lite", c.Input)
	b.eps = 1e-3
	s := &same{b: b, x: models.Image, h: c.Height, w: c.Input.Width}
	s.convNormAct("_conv_stem", "_bn0", "_swish", 32, 3, 2, 1)
	b.unit("_conv_stem")
	k := 0
	for _, stage := range liteStages() {
		repeat := stage.repeat
		if !stage.whole {
			repeat = int(math.Ceil(c.Depth * float64(repeat)))
		}
		for i := range repeat {
			r := invertedResidual{name: fmt.Sprintf("_blocks.%d", k), expand: stage.expand, kernel: stage.kernel,
				out: channelsOfEight(c.Width * float64(stage.out)), stride: 1}
			if i == 0 {
				r.stride = stage.stride
			}
			s.block(r)
			k++
		}
	}
	s.convNormAct("_conv_head", "_bn1", "_swish_1", 1280, 1, 1, 1)
	b.unit("_conv_head")
	b.classifier("_fc", s.x)
	return b.done()
}

// same adds layers one after the other, padded as TensorFlow's "same" asks for.
type same struct {
	b    *builder
	x    string // the last layer's name
	h, w int    // pixels of its output
}

// block adds the unit r. Where input and output have the same shape, the input is added to the output.
func (s *same) block(r invertedResidual) {
	in, hidden, second := s.x, s.b.chans[s.x]*r.expand, "._swish"
	if r.expand > 1 {
		s.convNormAct(r.name+"._expand_conv", r.name+"._bn0", r.name+second, hidden, 1, 1, 1)
		second += "_1"
	}
	s.convNormAct(r.name+"._depthwise_conv", r.name+"._bn1", r.name+second, hidden, r.kernel, r.stride, hidden)
	s.convNorm(r.name+"._project_conv", r.name+"._bn2", r.out, 1, 1, 1)
	if r.stride == 1 && s.b.chans[in] == r.out {
		s.x = s.b.sum(r.name+".add", s.x, in)
	}
	s.b.unit(r.name)
}

// convNormAct is convNorm followed by ReLU6.
func (s *same) convNormAct(conv, norm, act string, out, kernel, stride, groups int) {
	s.convNorm(conv, norm, out, kernel, stride, groups)
	s.x = s.b.activation(models.ReLU6{}, act, s.x)
}

// convNorm adds a convolution without bias and its normalisation.
func (s *same) convNorm(conv, norm string, out, kernel, stride, groups int) {
	op := models.Conv{In: s.b.chans[s.x], Out: out, Window: models.SquareWindow(kernel, stride, 0), Groups: groups}
	s.h, op.Pad.Top, op.Pad.Bottom = samePadding(s.h, kernel, stride)
	s.w, op.Pad.Left, op.Pad.Right = samePadding(s.w, kernel, stride)
	s.x = s.b.norm(norm, s.b.add(conv, op, out, s.x))
}

// samePadding returns the number of windows along size pixels, rounded up, and the padding that they need: where it is
// odd, one pixel more after than before.
func samePadding(size, kernel, stride int) (windows, before, after int) {
	windows = (size + stride - 1) / stride
	pad := max((windows-1)*stride+kernel-size, 0)
	return windows, pad / 2, pad - pad/2
}
