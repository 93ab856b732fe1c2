package arch

import (
	"fmt"

	"github.com/pdquant/pdquant/models"
)

// ResNetConfig describes a residual network for CIFAR (He et al. 2015, section 4.2): a 3x3 convolution, three stages of
// Blocks basic blocks with Width, 2·Width and 4·Width channels, and a linear classifier; 6·Blocks+2 layers.
type ResNetConfig struct {
	Blocks       int  // of each stage
	Width        int  // channels of the first stage; 16 in the paper
	PadShortcuts bool // whether shortcuts between stages pad with zeros (option A) or are 1x1 convolutions (option B)
	Input
}

// ResNet builds the network that c describes. Its units are the first convolution, each block and the classifier.
func ResNet(c ResNetConfig) (*models.Network, error) {
	b := newBuilder(fmt.Sprintf("resnet%d", 6*c.Blocks+2), c.Input)
	x := b.activation(models.ReLU{}, "relu", b.norm("bn1", b.conv("conv1", models.Image, c.Width, 3, 1, 1)))
	b.unit("conv1")
	for stage := range 3 {
		for i := range c.Blocks {
			stride := 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			x = b.basicBlock(fmt.Sprintf("layer%d.%d", stage+1, i), x, c.Width<<stage, stride, c.PadShortcuts)
		}
	}
	b.classifier("fc", x)
	return b.done()
}

// basicBlock adds two 3x3 convolutions with out channels and a shortcut as the unit called name.
func (b *builder) basicBlock(name, in string, out, stride int, padShortcut bool) string {
	x := b.activation(models.ReLU{}, name+".relu1", b.norm(name+".bn1", b.conv(name+".conv1", in, out, 3, stride, 1)))
	x = b.norm(name+".bn2", b.conv(name+".conv2", x, out, 3, 1, 1))
	short := in
	switch {
	case stride == 1 && b.chans[in] == out:
	case padShortcut:
		short = b.add(name+".shortcut", models.PadShortcut{In: b.chans[in], Out: out, Stride: stride}, out, in)
	default:
		short = b.norm(name+".downsample.1", b.conv(name+".downsample.0", in, out, 1, stride, 1))
	}
	x = b.activation(models.ReLU{}, name+".relu2", b.sum(name+".add", x, short))
	b.unit(name)
	return x
}
