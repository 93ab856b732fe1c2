package pdq

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models"
)

// presets lists the constructors and their names, in the order in which users see them.
func presets() []preset {
	return []preset{{"glance", Glance}, {"quick", Quick}, {"best", Best}, {"fast", Fast}, {"paper", Paper}}
}

type preset struct {
	name   string
	config func(arch string, w, a int) (Config, error)
}

// PresetNames lists the names that Preset takes.
func PresetNames() []string {
	var names []string
	for _, p := range presets() {
		names = append(names, p.name)
	}
	return names
}

// Preset returns the settings of Glance, Quick, Best, Fast or Paper by their names in lower case. The error lists the
// names.
func Preset(name, arch string, w, a int) (Config, error) {
	for _, p := range presets() {
		if p.name == name {
			return p.config(arch, w, a)
		}
	}
	return Config{}, fmt.Errorf("pdq: no preset %q; choose one of %s", name, strings.Join(PresetNames(), ", "))
}

// perArchitecture holds the settings that differ by architecture in the reference (see the commands in its README).
// It has no EfficientNet-Lite: these take those of MobileNetV2, whose blocks they have.
type perArchitecture struct {
	roundWeight, temperature, lambdaC float64
	edges                             Edges // not the reference's: of 2-bit activations in short runs, see Quick
	gentle                            bool  // not the reference's: whether fine-tuning has low rates, see fineTuning
}

func architectures() map[string]perArchitecture {
	return map[string]perArchitecture{
		"resnet":            {0.01, 4, 0.02, Block, false},
		"regnetx":           {0.01, 4, 0.01, Block, false},
		"mobilenetv2":       {0.1, 1, 0.005, Pass, false},
		"mnasnet":           {0.2, 1, 0.001, Pass, false},
		"efficientnet-lite": {0.1, 1, 0.005, Pass, true},
	}
}

// Family returns the family of the paper's networks whose settings suit n, and why: MobileNetV2's for networks with
// depthwise convolutions, RegNetX's for others with grouped ones, and else ResNet's.
func Family(n *models.Network) (family, reason string) {
	var all, grouped, depthwise int
	for _, l := range n.Layers {
		if c, ok := l.Op.(models.Conv); ok {
			all++
			if c.Groups > 1 {
				grouped++
			}
			if c.Groups > 1 && c.Groups == c.In {
				depthwise++
			}
		}
	}
	switch {
	case depthwise > 0:
		return "mobilenetv2", fmt.Sprintf("%d of %d convolutions are depthwise", depthwise, all)
	case grouped > 0:
		return "regnetx", fmt.Sprintf("%d of %d convolutions are grouped", grouped, all)
	}
	return "resnet", "no convolution is grouped"
}

// Families lists the families of networks that presets know, sorted.
func Families() []string { return slices.Sorted(maps.Keys(architectures())) }

// Paper returns the reference's settings for an architecture: a network's name ("resnet20", "mnasnet-2.0") or its
// family ("resnet"). The error lists the families. Fine-tuning, which the reference doesn't have, is off:
// FineTune.Steps is 0, and the other fields are a start for experiments.
func Paper(arch string, w, a int) (Config, error) {
	p, err := architectureOf(arch)
	if err != nil {
		return Config{}, err
	}
	return Config{
		Bits:   Bits{W: w, A: a, Rule: QDrop},
		Scales: ScaleConfig{Metric: LpNorm, Power: 2.4, Candidates: 100, Images: 256},
		Correction: CorrectionConfig{Steps: 500, LearningRate: 1e-3, MinRate: 1e-5, Patience: 100, Group: 32,
			Weight: 1 / p.lambdaC},
		Rounding: RoundingConfig{Steps: 20000, BatchSize: 32, LearningRate: 3e-3, ScaleLearningRate: 4e-5,
			InputDrop: 0.5, ActDrop: 0.5, Weight: p.roundWeight, BetaStart: 20, BetaEnd: 2, Warmup: 0.2},
		Loss:     LossConfig{PD: 10, Temperature: p.temperature},
		FineTune: p.fineTuning(w, a),
	}, nil
}

// architectureOf returns the settings of an architecture or a family.
func architectureOf(arch string) (perArchitecture, error) {
	for family, p := range architectures() {
		if strings.HasPrefix(arch, family) {
			return p, nil
		}
	}
	return perArchitecture{}, fmt.Errorf("pdq: no settings for architecture %q; known are %s",
		arch, strings.Join(Families(), ", "))
}

// fineTuning returns settings of FineTune for w bits of weights and a bits of activations, with 0 steps. Levels of 2
// bits are five times as far apart as those of 4 bits, so the same rate, in levels, moves a weight five times as far. A
// student with more than 2 bits of activations soon overfits the calibration images, so these are changed more for it.
//
// That holds for images of 28 and 32 pixels. On photographs, EfficientNet-Lite0's predictions change more afterwards;
// with a tenth of the rates, and images that are only mirrored and moved, they change less, see docs/imagenet.md.
func (p perArchitecture) fineTuning(w, a int) FineTuneConfig {
	c := FineTuneConfig{BatchSize: 32, LearningRate: 0.02, ScaleLearningRate: 0.015, BiasLearningRate: 0.03,
		Features: 1, Warmup: 0.1, Flip: 0.5, Shift: 2, Mix: 0.5}
	if w <= 2 {
		c.LearningRate = 0.007
	}
	switch {
	case p.gentle:
		c.LearningRate /= 10
		c.ScaleLearningRate /= 10
		c.BiasLearningRate /= 10
		c.Mix = 0
	case a > 2:
		c.Zoom, c.Turn, c.Light = 0.25, 0.2, 0.3
	}
	return c
}

// Fast returns Paper's settings with a correction that takes a fifth of the time. It has ten times the learning rate,
// and stops when ten steps lower the loss by less than a thousandth. Its final loss is no higher than after the
// reference's 500 steps.
func Fast(arch string, w, a int) (Config, error) {
	c, err := Paper(arch, w, a)
	c.Correction.LearningRate, c.Correction.Tolerance = 1e-2, 1e-3
	return c, err
}

// Quick returns Fast's settings with fewer steps, for results within minutes: 250 rounding steps per unit instead of
// 20000, and at most 50 correction steps. Rounding has ten times the learning rates, so that its variables still
// decide. With activations of 2 bits at most, outermost levels block the gradient, but for families whose convolutions
// are depthwise: in short runs this gains half a point of held-out images on average, see "The outermost levels" in
// docs/results.md.
func Quick(arch string, w, a int) (Config, error) {
	c, err := Fast(arch, w, a)
	if err != nil {
		return c, err
	}
	if p, _ := architectureOf(arch); a <= 2 { // Fast knows arch
		c.Rounding.ActEdges = p.edges
	}
	c.Rounding.Steps, c.Correction.Steps, c.Scales.Images = 250, 50, 64
	c.Rounding.LearningRate *= 10
	c.Rounding.ScaleLearningRate *= 10
	return c, nil
}

// Glance returns Quick's settings with 60 rounding steps per unit, at learning rates that are higher in proportion.
// With 128 calibration images, a comparison of the methods takes minutes.
func Glance(arch string, w, a int) (Config, error) {
	c, err := Quick(arch, w, a)
	const steps = 60
	factor := float64(c.Rounding.Steps) / steps
	c.Rounding.Steps = steps
	c.Rounding.LearningRate *= factor
	c.Rounding.ScaleLearningRate *= factor
	return c, err
}

// BestSteps are the steps of fine-tuning in Best.
const BestSteps = 1500

// Best returns the settings that gave the best accuracy: MSE only at Quick's rates, then fine-tuning, which trains all
// levels, scales and biases together to keep the predictions. docs/results.md has the numbers and the cost;
// testdata/cifar10/README.md says how the settings were chosen.
func Best(arch string, w, a int) (Config, error) {
	c, err := Quick(arch, w, a)
	c = c.MSEOnly()
	c.FineTune.Steps = BestSteps
	return c, err
}
