package arch

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
)

// design is one entry of the table of architectures.
type design struct {
	pattern string   // regular expression for its names
	names   []string // the names that Designs lists
	form    string   // an example of its other names, for messages; "": there are none
	build   func(number string, in Input) (*models.Network, error)
	images  func(number string) datasets.ImageConfig // what image files become; nil: datasets.ImageNetConfig
}

// designs is the table of architectures. The first entry whose pattern matches a name builds it; number is what the
// pattern's group matched.
//
// resnet8, mobilenetv2 and regnetx are small networks of shipped teachers, for images of about 28 or 32 pixels. ResNets
// for CIFAR have shortcuts that pad with zeros (He et al. 2015, section 4.2). The others are for images of 224 pixels;
// their names give their size as the papers do: by layers, relative width, or multiplications per image.
func designs() []design {
	return []design{
		{`resnet8`, []string{"resnet8"}, "", func(_ string, in Input) (*models.Network, error) {
			return ResNet(ResNetConfig{Blocks: 1, Width: 16, Input: in})
		}, nil},
		{`resnet(18|34|50|101|152)`, []string{"resnet18", "resnet34", "resnet50"}, "", imageNetResNet, nil},
		{`resnet(\d+)`, []string{"resnet20", "resnet32", "resnet44", "resnet56", "resnet110"}, "resnet14, any 6n+2",
			cifarResNet, nil},
		{`mobilenetv2`, []string{"mobilenetv2"}, "", func(_ string, in Input) (*models.Network, error) {
			rows := []InvertedResiduals{{1, 16, 1, 1}, {4, 24, 2, 2}, {4, 32, 3, 2}, {4, 64, 2, 1}}
			return MobileNetV2(MobileNetV2Config{Stem: 16, StemStride: 1, Rows: rows, Last: 256, Input: in})
		}, nil},
		{`mobilenetv2-(\d+(?:\.\d+)?)`, []string{"mobilenetv2-1.0"}, "mobilenetv2-0.5, any width", wideMobileNetV2, nil},
		{`regnetx`, []string{"regnetx"}, "", func(_ string, in Input) (*models.Network, error) {
			return RegNetX(RegNetXConfig{Stem: 16, StemStride: 1, Widths: []int{32, 64, 128}, Depths: []int{1, 2, 3},
				Strides: []int{1, 2, 2}, GroupWidth: 8, Input: in})
		}, nil},
		{`regnetx-600mf`, []string{"regnetx-600mf"}, "", func(_ string, in Input) (*models.Network, error) {
			return RegNetX(RegNetXConfig{Stem: 32, StemStride: 2, Widths: []int{48, 96, 240, 528}, Depths: []int{1, 3, 5, 7},
				Strides: []int{2, 2, 2, 2}, GroupWidth: 24, Input: in})
		}, nil},
		{`regnetx-3\.2gf`, []string{"regnetx-3.2gf"}, "", func(_ string, in Input) (*models.Network, error) {
			return RegNetX(RegNetXConfig{Stem: 32, StemStride: 2, Widths: []int{96, 192, 432, 1008}, Depths: []int{2, 6, 15, 2},
				Strides: []int{2, 2, 2, 2}, GroupWidth: 48, Input: in})
		}, nil},
		{`mnasnet-(\d+(?:\.\d+)?)`, []string{"mnasnet-2.0"}, "mnasnet-1.0, any width",
			func(number string, in Input) (*models.Network, error) {
				width, err := strconv.ParseFloat(number, 64)
				if err != nil {
					return nil, err
				}
				return MNasNet(MNasNetConfig{Width: width, Input: in})
			}, nil},
		{`efficientnet-lite([0-4])`, []string{"efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2",
			"efficientnet-lite3", "efficientnet-lite4"}, "", publishedLite, liteImages},
	}
}

// Design returns the architecture called name for images of in. The error lists the names.
func Design(name string, in Input) (*models.Network, error) {
	d, number := findDesign(name)
	if d.build == nil {
		return nil, unknownName(name, append(Designs(), forms()...))
	}
	n, err := d.build(number, in)
	if err != nil {
		return nil, err
	}
	n.Name = name
	return n, nil
}

// Preprocessing returns how image files become images for the architecture called name, as its published weights were
// trained: size, resizing, interpolation and moments. It is datasets.ImageNetConfig for most, and unknown names.
func Preprocessing(name string) datasets.ImageConfig {
	if d, number := findDesign(name); d.images != nil {
		return d.images(number)
	}
	return datasets.ImageNetConfig()
}

// findDesign returns the entry of the table that name matches, and what the pattern's group matched; the zero design:
// there is none.
func findDesign(name string) (d design, number string) {
	for _, d := range designs() {
		if m := regexp.MustCompile(`^` + d.pattern + `$`).FindStringSubmatch(name); m != nil {
			return d, m[len(m)-1]
		}
	}
	return design{}, ""
}

// Designs lists names of architectures. Design knows more: the same families in other sizes.
func Designs() []string {
	var names []string
	for _, d := range designs() {
		names = append(names, d.names...)
	}
	return names
}

// forms lists examples of names that Designs doesn't list.
func forms() []string {
	var all []string
	for _, d := range designs() {
		if d.form != "" {
			all = append(all, d.form)
		}
	}
	return all
}

// imageNetResNet builds the ResNet for large images that has this number of layers.
func imageNetResNet(layers string, in Input) (*models.Network, error) {
	c := ImageNetResNetConfig{Input: in}
	switch layers {
	case "18":
		c.Blocks = [4]int{2, 2, 2, 2}
	case "34":
		c.Blocks = [4]int{3, 4, 6, 3}
	case "50":
		c.Blocks, c.Bottleneck = [4]int{3, 4, 6, 3}, true
	case "101":
		c.Blocks, c.Bottleneck = [4]int{3, 4, 23, 3}, true
	case "152":
		c.Blocks, c.Bottleneck = [4]int{3, 8, 36, 3}, true
	}
	return ImageNetResNet(c)
}

// cifarResNet builds the ResNet for CIFAR that has this number of layers.
func cifarResNet(layers string, in Input) (*models.Network, error) {
	n, err := strconv.Atoi(layers)
	if err != nil || n < 14 || n > 2000 || n%6 != 2 {
		return nil, fmt.Errorf("arch: no ResNet has %s layers; choose 18, 34, 50, 101 or 152 for large images, or 6n+2 "+
			"for CIFAR", layers)
	}
	return ResNet(ResNetConfig{Blocks: n / 6, Width: 16, PadShortcuts: true, Input: in})
}

// wideMobileNetV2 builds the paper's network with width times its channels, rounded as torchvision rounds them.
func wideMobileNetV2(width string, in Input) (*models.Network, error) {
	x, err := strconv.ParseFloat(width, 64)
	if err != nil || !(x > 0 && x <= 64) {
		return nil, fmt.Errorf("arch: mobilenetv2: width %s; it must be > 0 and at most 64", width)
	}
	c := MobileNetV2Config{Stem: channelsOfEight(32 * x), StemStride: 2, Rows: mobileNetV2Rows(),
		Last: channelsOfEight(1280 * max(x, 1)), Numbered: true, Input: in}
	for i := range c.Rows {
		c.Rows[i].Out = channelsOfEight(float64(c.Rows[i].Out) * x)
	}
	return MobileNetV2(c)
}

// publishedLite builds the EfficientNet-Lite of this number.
func publishedLite(number string, in Input) (*models.Network, error) {
	size := liteSizeOf(number)
	return EfficientNetLite(EfficientNetLiteConfig{Width: size.width, Depth: size.depth, Input: in})
}

// liteImages returns what the EfficientNet-Lite of this number takes: the centre of images whose shorter side is 32
// pixels longer, with values from -1 to 1.
//
// Source: tensorflow/tpu, models/official/efficientnet/preprocessing.py, CROP_PADDING and resize_method.
func liteImages(number string) datasets.ImageConfig {
	size := liteSizeOf(number).pixels
	half := []float32{0.5, 0.5, 0.5}
	return datasets.ImageConfig{Height: size, Width: size, Resize: size + 32, Interpolation: datasets.Bicubic,
		Mean: half, Std: half}
}

// liteSizeOf returns the size of the EfficientNet-Lite of this number, 0 to 4.
func liteSizeOf(number string) liteSize { return liteSizes()[number[0]-'0'] }

// channelsOfEight returns the multiple of 8 that is nearest to want, or the next one if that is more than 10 % smaller.
// Source: torchvision/models/_utils.py, _make_divisible; torchvision/models/mnasnet.py, _round_to_multiple_of.
func channelsOfEight(want float64) int {
	rounded := max(8, int(want+4)/8*8)
	if float64(rounded) < 0.9*want {
		rounded += 8
	}
	return rounded
}
