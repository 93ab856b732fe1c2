package checkpoint

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/models"
)

// dialect returns what a layer of n is called in the checkpoints of others.
type dialect func(n *models.Network, layer string) string

// dialects are those in which whole checkpoints are written, ours first.
func dialects() []dialect {
	return []dialect{func(_ *models.Network, layer string) string { return layer }, torchvisionMobileNetV2,
		torchvisionRegNetX}
}

// torchvisionMobileNetV2 is a dialect. Layers of a block are counted through in ours: conv.0 and
// conv.1, a convolution and its normalisation, conv.2, an activation function, and so on; torchvision
// counts within conv.0, the first three, conv.1, the next ones, but not the last two layers, which
// have no activation function.
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

// torchvisionRegNetX is a dialect: stem.conv is stem.0, s1.b2.proj is
// trunk_output.block1.block1-1.proj.0 and its normalisation, s1.b2.bn, proj.1, s1.b2.f.a is
// trunk_output.block1.block1-1.f.a.0 and its normalisation, s1.b2.f.a_bn, f.a.1; head.fc is fc.
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
