package models

import "fmt"

// InvertedResiduals is a row of MobileNetV2's table: Repeat blocks with Out
// channels, the first one with the Stride, expanding their input Expand times.
type InvertedResiduals struct {
	Expand, Out, Repeat, Stride int
}

// MobileNetV2Config describes a network of inverted residuals with depthwise
// convolutions and linear bottlenecks (Sandler et al. 2018, table 2).
type MobileNetV2Config struct {
	Stem           int // channels of the first 3x3 convolution, which has stride 1
	Rows           []InvertedResiduals
	Last           int // channels of the last 1x1 convolution
	Channels, Size int // of the images
	Classes        int
}

// MobileNetV2 builds the network that c describes.
func MobileNetV2(c MobileNetV2Config) (*Network, error) {
	b := newBuilder("mobilenetv2", c.Channels, c.Size, c.Classes)
	convNorm := func(name, in string, out, kernel, stride, groups int) string {
		return b.norm(name+".1", b.conv(name+".0", in, out, kernel, stride, groups))
	}
	x := b.activation(KindReLU6, "features.0.2", convNorm("features.0", Image, c.Stem, 3, 1, 1))
	b.unit("features.0")
	k := 1
	for _, row := range c.Rows {
		for i := range row.Repeat {
			stride := 1
			if i == 0 {
				stride = row.Stride
			}
			name := fmt.Sprintf("features.%d", k)
			in, hidden := x, b.chans[x]*row.Expand
			if row.Expand > 1 {
				x = b.activation(KindReLU6, name+".expand.2", convNorm(name+".expand", x, hidden, 1, 1, 1))
			}
			x = b.activation(KindReLU6, name+".depthwise.2", convNorm(name+".depthwise", x, hidden, 3, stride, hidden))
			x = convNorm(name+".project", x, row.Out, 1, 1, 1)
			if stride == 1 && b.chans[in] == row.Out {
				x = b.sum(name+".add", x, in)
			}
			b.unit(name)
			k++
		}
	}
	name := fmt.Sprintf("features.%d", k)
	x = b.activation(KindReLU6, name+".2", convNorm(name, x, c.Last, 1, 1, 1))
	b.unit(name)
	b.classifier("classifier", x)
	return b.done()
}
