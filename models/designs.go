package models

// Design builds an untrained network by its name, for square images of that many channels and
// pixels. The error lists the names.
//
//	resnet8, mobilenetv2, regnetx        small ones of the shipped teachers, for images of about 28 or 32 pixels
//	resnet20, 32, 44, 56, 110            for CIFAR, with shortcuts that pad with zeros (He et al. 2015, section 4.2)
//	resnet18, resnet50, mobilenetv2-1.0, regnetx-600mf, regnetx-3.2gf, mnasnet-2.0
//	                                     those of the PD-Quant paper, for images of 224 pixels
//
// A family's name alone is the small network; the published ones say how large they are as their
// papers do: by layers, by times the channels, by the multiplications that an image takes.
func Design(name string, channels, size, classes int) (*Network, error) {
	n, err := design(name, channels, size, classes)
	if err != nil {
		return nil, err
	}
	n.Name = name
	return n, nil
}

// design is Design, but for the network's name.
func design(name string, channels, size, classes int) (*Network, error) {
	cifar := func(blocks int) (*Network, error) {
		return ResNet(ResNetConfig{Blocks: blocks, Width: 16, PadShortcuts: true, Channels: channels, Size: size, Classes: classes})
	}
	switch name {
	case "resnet8":
		return ResNet(ResNetConfig{Blocks: 1, Width: 16, Channels: channels, Size: size, Classes: classes})
	case "resnet20":
		return cifar(3)
	case "resnet32":
		return cifar(5)
	case "resnet44":
		return cifar(7)
	case "resnet56":
		return cifar(9)
	case "resnet110":
		return cifar(18)
	case "resnet18":
		return ImageNetResNet(ImageNetResNetConfig{Blocks: [4]int{2, 2, 2, 2}, Channels: channels, Size: size, Classes: classes})
	case "resnet50":
		return ImageNetResNet(ImageNetResNetConfig{Blocks: [4]int{3, 4, 6, 3}, Bottleneck: true, Channels: channels, Size: size, Classes: classes})
	case "mobilenetv2":
		return MobileNetV2(MobileNetV2Config{Stem: 16, StemStride: 1, Rows: []InvertedResiduals{{1, 16, 1, 1}, {4, 24, 2, 2}, {4, 32, 3, 2}, {4, 64, 2, 1}},
			Last: 256, Channels: channels, Size: size, Classes: classes})
	case "mobilenetv2-1.0":
		return MobileNetV2(MobileNetV2Config{Stem: 32, StemStride: 2, Rows: mobileNetV2Rows(), Last: 1280, Numbered: true,
			Channels: channels, Size: size, Classes: classes})
	case "regnetx":
		return RegNetX(RegNetXConfig{Stem: 16, StemStride: 1, Widths: []int{32, 64, 128}, Depths: []int{1, 2, 3}, Strides: []int{1, 2, 2}, GroupWidth: 8,
			Channels: channels, Size: size, Classes: classes})
	case "regnetx-600mf":
		return RegNetX(RegNetXConfig{Stem: 32, StemStride: 2, Widths: []int{48, 96, 240, 528}, Depths: []int{1, 3, 5, 7}, Strides: []int{2, 2, 2, 2}, GroupWidth: 24,
			Channels: channels, Size: size, Classes: classes})
	case "regnetx-3.2gf":
		return RegNetX(RegNetXConfig{Stem: 32, StemStride: 2, Widths: []int{96, 192, 432, 1008}, Depths: []int{2, 6, 15, 2}, Strides: []int{2, 2, 2, 2}, GroupWidth: 48,
			Channels: channels, Size: size, Classes: classes})
	case "mnasnet-2.0":
		return MNasNet(MNasNetConfig{Width: 2, Channels: channels, Size: size, Classes: classes})
	}
	return nil, unknownName(name, Designs())
}

// Designs lists the names that Design knows.
func Designs() []string {
	return []string{"mnasnet-2.0", "mobilenetv2", "mobilenetv2-1.0", "regnetx", "regnetx-3.2gf", "regnetx-600mf",
		"resnet8", "resnet18", "resnet20", "resnet32", "resnet44", "resnet50", "resnet56", "resnet110"}
}
