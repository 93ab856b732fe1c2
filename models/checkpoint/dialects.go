package checkpoint

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/models"
)

// dialect returns the name that a layer of n has in checkpoints of another project.
type dialect func(n *models.Network, layer string) string

// dialects lists the dialects of whole checkpoints, ours first.
func dialects() []dialect {
	return []dialect{func(_ *models.Network, layer string) string { return layer }, torchvisionMobileNetV2,
		torchvisionRegNetX}
}

// Torchvision returns the name in torchvision's networks of each layer of n: of a published MobileNetV2 or a RegNetX
// that package arch builds. Layers of other networks keep their names.
func Torchvision(n *models.Network) func(layer string) string {
	if n.Index("s1.b1.f.a") >= 0 {
		return func(layer string) string { return torchvisionRegNetX(n, layer) }
	}
	return func(layer string) string { return torchvisionMobileNetV2(n, layer) }
}

// torchvisionMobileNetV2 is a dialect. We number the layers of a block through: conv.0, conv.1 and conv.2 are a
// convolution, its normalisation and its activation function, conv.3 is the next convolution. torchvision numbers
// within such triples: conv.0.0, conv.0.1, conv.0.2, conv.1.0; but not the last two layers, which have no activation
// function.
// Source: torchvision/models/mobilenetv2.py, InvertedResidual.
func torchvisionMobileNetV2(n *models.Network, layer string) string {
	block, number, ok := strings.Cut(layer, ".conv.")
	at, err := strconv.Atoi(number)
	if !ok || err != nil {
		return layer
	}
	triple, r := at/3, at%3
	if activated := n.Index(fmt.Sprintf("%s.conv.%d", block, 3*triple+2)) >= 0; !activated {
		return fmt.Sprintf("%s.conv.%d", block, triple+r)
	}
	return fmt.Sprintf("%s.conv.%d.%d", block, triple, r)
}

// torchvisionRegNetX is a dialect. Its names for ours, for example in block 2 of stage 1:
//
//	stem.conv, stem.bn, head.fc    stem.0, stem.1, fc
//	s1.b2.proj, s1.b2.bn           trunk_output.block1.block1-1.proj.0, trunk_output.block1.block1-1.proj.1
//	s1.b2.f.a, s1.b2.f.a_bn        trunk_output.block1.block1-1.f.a.0, trunk_output.block1.block1-1.f.a.1
//
// Source: torchvision/models/regnet.py.
func torchvisionRegNetX(_ *models.Network, layer string) string {
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
