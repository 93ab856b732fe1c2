package arch

import (
	"fmt"

	"github.com/pdquant/pdquant/models"
)

// InvertedResiduals is a row of MobileNetV2's table: a number of similar blocks.
type InvertedResiduals struct {
	Expand int // channels inside a block relative to those of its input
	Out    int // channels of a block's output
	Repeat int // number of blocks
	Stride int // of the first block; the others have 1
}

// MobileNetV2Config describes a network of inverted residuals with depthwise convolutions and linear bottlenecks
// (Sandler et al. 2018, table 2).
type MobileNetV2Config struct {
	Stem       int // channels of the first 3x3 convolution
	StemStride int // its stride: 2 in the paper
	Rows       []InvertedResiduals
	Last       int  // channels of the last 1x1 convolution
	Numbered   bool // whether a block's layers are conv.0, conv.1, …, as in published weights, or expand.0, depthwise.0, …
	Input
}

// mobileNetV2Rows is the paper's table 2, from its second row to the last one of blocks.
func mobileNetV2Rows() []InvertedResiduals {
	return []InvertedResiduals{{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2},
		{6, 320, 1, 1}}
}

// MobileNetV2 builds the network that c describes. Its units are the first convolution, each block, the last
// convolution and the classifier. It leaves out the dropout before the classifier, which only matters in training.
func MobileNetV2(c MobileNetV2Config) (*models.Network, error) {
	b := newBuilder("mobilenetv2", c.Input)
	s := &sequence{b: b, prefix: "features.0.", x: models.Image}
	s.convNormAct(models.ReLU6{}, c.Stem, 3, c.StemStride, 1)
	b.unit("features.0")
	x, k := s.x, 1
	for _, row := range c.Rows {
		for i := range row.Repeat {
			r := invertedResidual{name: fmt.Sprintf("features.%d", k), expand: row.Expand, out: row.Out, kernel: 3, stride: 1,
				activation: models.ReLU6{}}
			r.prefix, r.parts = r.name+".", !c.Numbered
			if c.Numbered {
				r.prefix += "conv."
			}
			if i == 0 {
				r.stride = row.Stride
			}
			x = b.invertedResidual(x, r)
			k++
		}
	}
	name := fmt.Sprintf("features.%d", k)
	s = &sequence{b: b, prefix: name + ".", x: x}
	s.convNormAct(models.ReLU6{}, c.Last, 1, 1, 1)
	b.unit(name)
	name = "classifier"
	if c.Numbered {
		name = "classifier.1" // 0 is the dropout
	}
	b.classifier(name, s.x)
	return b.done()
}

// invertedResidual is a block: a 1x1 convolution that adds channels, a depthwise convolution, and a 1x1 convolution
// without activation function.
type invertedResidual struct {
	name           string // of the unit
	prefix         string // of the layers' names
	parts          bool   // names are expand.0, depthwise.0, project.0, …; else the layers are numbered through
	expand         int    // channels inside relative to those of the input; 1: no first convolution
	out            int    // channels of the output
	kernel, stride int    // of the depthwise convolution
	activation     models.Op
}

// invertedResidual adds the unit r. Where input and output have the same shape, the input is added to the output.
func (b *builder) invertedResidual(in string, r invertedResidual) string {
	s := &sequence{b: b, prefix: r.prefix, x: in}
	part := func(name string) {
		if r.parts {
			s.prefix, s.next = r.prefix+name+".", 0
		}
	}
	hidden := b.chans[in] * r.expand
	if r.expand > 1 {
		part("expand")
		s.convNormAct(r.activation, hidden, 1, 1, 1)
	}
	part("depthwise")
	s.convNormAct(r.activation, hidden, r.kernel, r.stride, hidden)
	part("project")
	s.convNorm(r.out, 1, 1, 1)
	if r.stride == 1 && b.chans[in] == r.out {
		s.x = b.sum(r.name+".add", s.x, in)
	}
	b.unit(r.name)
	return s.x
}
