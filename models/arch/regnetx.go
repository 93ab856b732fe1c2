package arch

import (
	"fmt"

	"github.com/pdquant/pdquant/models"
)

// RegNetXConfig describes a RegNetX (Radosavovic et al. 2020): stages of residual bottleneck blocks (ratio 1) with
// grouped 3x3 convolutions.
type RegNetXConfig struct {
	Stem           int   // channels of the first 3x3 convolution
	StemStride     int   // its stride: 2 in the paper
	Widths, Depths []int // channels and blocks of each stage
	Strides        []int // of the first block of each stage
	GroupWidth     int   // channels of a group; must divide every width
	Input
}

// RegNetX builds the network that c describes. Its units are the first convolution, each block and the classifier. The
// error names a width that GroupWidth doesn't divide, or the lengths of lists that should be as long as each other.
func RegNetX(c RegNetXConfig) (*models.Network, error) {
	if len(c.Depths) != len(c.Widths) || len(c.Strides) != len(c.Widths) {
		return nil, fmt.Errorf("arch: regnetx: %d widths, %d depths and %d strides; give one of each per stage",
			len(c.Widths), len(c.Depths), len(c.Strides))
	}
	b := newBuilder("regnetx", c.Input)
	x := b.activation(models.ReLU{}, "stem.relu",
		b.norm("stem.bn", b.conv("stem.conv", models.Image, c.Stem, 3, c.StemStride, 1)))
	b.unit("stem")
	for s, w := range c.Widths {
		if c.GroupWidth < 1 || w%c.GroupWidth != 0 {
			return nil, fmt.Errorf("arch: regnetx: groups of %d channels don't divide the width %d of stage %d",
				c.GroupWidth, w, s+1)
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

// xBlock adds a residual bottleneck block with out channels as the unit called name.
func (b *builder) xBlock(name, in string, out, stride, groups int) string {
	x := b.activation(models.ReLU{}, name+".f.a_relu", b.norm(name+".f.a_bn", b.conv(name+".f.a", in, out, 1, 1, 1)))
	x = b.activation(models.ReLU{}, name+".f.b_relu",
		b.norm(name+".f.b_bn", b.conv(name+".f.b", x, out, 3, stride, groups)))
	x = b.norm(name+".f.c_bn", b.conv(name+".f.c", x, out, 1, 1, 1))
	short := in
	if stride != 1 || b.chans[in] != out {
		short = b.norm(name+".bn", b.conv(name+".proj", in, out, 1, stride, 1))
	}
	x = b.activation(models.ReLU{}, name+".relu", b.sum(name+".add", x, short))
	b.unit(name)
	return x
}
