package arch

import (
	"fmt"

	"github.com/pdquant/pdquant/models"
)

// ImageNetResNetConfig describes a residual network for large images (He et al. 2015, table 1): a 7x7 convolution with
// stride 2, max pooling, and four stages of blocks with 64, 128, 256 and 512 channels.
type ImageNetResNetConfig struct {
	Blocks     [4]int // of each stage: 2, 2, 2, 2 for ResNet-18, 3, 4, 6, 3 for ResNet-34 and ResNet-50
	Bottleneck bool   // blocks of three convolutions, the last with 4 times the channels (ResNet-50 on); else of two
	Input
}

// ImageNetResNet builds the network that c describes. Its units are the first convolution, each block and the
// classifier; the max pooling belongs to none. Bottlenecks have their stride in the 3x3 convolution, as in torchvision;
// the paper has it in the first one.
func ImageNetResNet(c ImageNetResNetConfig) (*models.Network, error) {
	perBlock := 2
	if c.Bottleneck {
		perBlock = 3
	}
	layers := 2 + perBlock*(c.Blocks[0]+c.Blocks[1]+c.Blocks[2]+c.Blocks[3])
	b := newBuilder(fmt.Sprintf("resnet%d", layers), c.Input)
	x := b.activation(models.ReLU{}, "relu", b.norm("bn1", b.conv("conv1", models.Image, 64, 7, 2, 1)))
	b.unit("conv1")
	x = b.maxPool("maxpool", x, 3, 2, 1)
	for stage, blocks := range c.Blocks {
		for i := range blocks {
			name, width, stride := fmt.Sprintf("layer%d.%d", stage+1, i), 64<<stage, 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			if c.Bottleneck {
				x = b.bottleneck(name, x, width, stride)
			} else {
				x = b.basicBlock(name, x, width, stride, false)
			}
		}
	}
	b.classifier("fc", x)
	return b.done()
}

// bottleneck adds a block with width channels inside and 4·width channels of output as the unit called name.
func (b *builder) bottleneck(name, in string, width, stride int) string {
	out := 4 * width
	x := b.activation(models.ReLU{}, name+".relu1", b.norm(name+".bn1", b.conv(name+".conv1", in, width, 1, 1, 1)))
	x = b.activation(models.ReLU{}, name+".relu2", b.norm(name+".bn2", b.conv(name+".conv2", x, width, 3, stride, 1)))
	x = b.norm(name+".bn3", b.conv(name+".conv3", x, out, 1, 1, 1))
	short := in
	if stride != 1 || b.chans[in] != out {
		short = b.norm(name+".downsample.1", b.conv(name+".downsample.0", in, out, 1, stride, 1))
	}
	x = b.activation(models.ReLU{}, name+".relu3", b.sum(name+".add", x, short))
	b.unit(name)
	return x
}
