package models

import (
	"fmt"
	"strings"
)

// RegNetXConfig describes a RegNetX (Radosavovic et al. 2020): stages of residual
// bottleneck blocks (ratio 1) with grouped 3x3 convolutions.
type RegNetXConfig struct {
	Stem           int   // channels of the first 3x3 convolution
	StemStride     int   // its stride: 2 in the paper
	Widths, Depths []int // channels and blocks of each stage
	Strides        []int // of the first block of each stage
	GroupWidth     int   // channels of a group; must divide every width
	Channels, Size int   // of the images
	Classes        int
}

// RegNetX builds the network that c describes. Its units are the first convolution, each block
// and the classifier. The error names a width that GroupWidth doesn't divide, or lists of
// different lengths.
func RegNetX(c RegNetXConfig) (*Network, error) {
	if len(c.Depths) != len(c.Widths) || len(c.Strides) != len(c.Widths) {
		return nil, fmt.Errorf("models: regnetx: %d widths, %d depths and %d strides; give one of each per stage", len(c.Widths), len(c.Depths), len(c.Strides))
	}
	b := newBuilder("regnetx", c.Channels, c.Size, c.Classes)
	x := b.activation(KindReLU, "stem.relu", b.norm("stem.bn", b.conv("stem.conv", Image, c.Stem, 3, c.StemStride, 1)))
	b.unit("stem")
	for s, w := range c.Widths {
		if c.GroupWidth < 1 || w%c.GroupWidth != 0 {
			return nil, fmt.Errorf("models: regnetx: groups of %d channels don't divide the width %d of stage %d", c.GroupWidth, w, s+1)
		}
		for i := range c.Depths[s] {
			stride := 1
			if i == 0 {
				stride = c.Strides[s]
			}
			x = b.xBlock(fmt.Sprintf("s%d.b%d", s+1, i+1), x, w, stride, w/c.GroupWidth)
		}
	}
	b.classifier("head.fc", x)
	return b.done()
}

func (b *builder) xBlock(name, in string, out, stride, groups int) string {
	x := b.activation(KindReLU, name+".f.a_relu", b.norm(name+".f.a_bn", b.conv(name+".f.a", in, out, 1, 1, 1)))
	x = b.activation(KindReLU, name+".f.b_relu", b.norm(name+".f.b_bn", b.conv(name+".f.b", x, out, 3, stride, groups)))
	x = b.norm(name+".f.c_bn", b.conv(name+".f.c", x, out, 1, 1, 1))
	short := in
	if stride != 1 || b.chans[in] != out {
		short = b.norm(name+".bn", b.conv(name+".proj", in, out, 1, stride, 1))
	}
	x = b.activation(KindReLU, name+".relu", b.sum(name+".add", x, short))
	b.unit(name)
	return x
}

// torchvisionRegNetX is a dialect: stem.conv is stem.0, s1.b2.proj is
// trunk_output.block1.block1-1.proj.0 and its normalisation, s1.b2.bn, proj.1, s1.b2.f.a is
// trunk_output.block1.block1-1.f.a.0 and its normalisation, s1.b2.f.a_bn, f.a.1; head.fc is fc.
// Source: torchvision/models/regnet.py.
func torchvisionRegNetX(_ *Network, layer string) string {
	switch layer {
	case "stem.conv":
		return "stem.0"
	case "stem.bn":
		return "stem.1"
	case "head.fc":
		return "fc"
	}
	var stage, block int
	var rest string
	if _, err := fmt.Sscanf(layer, "s%d.b%d.%s", &stage, &block, &rest); err != nil {
		return layer
	}
	switch conv, isNorm := strings.CutSuffix(rest, "_bn"); {
	case rest == "bn":
		rest = "proj.1"
	case isNorm:
		rest = conv + ".1"
	default:
		rest += ".0"
	}
	return fmt.Sprintf("trunk_output.block%d.block%d-%d.%s", stage, stage, block-1, rest)
}
