package pdq

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
)

func TestPaper(t *testing.T) {
	c, err := Paper("resnet20", 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	// The reference's defaults: README.md and main_imagenet.py of hustvl/PD-Quant.
	if c.Rounding.Steps != 20000 || c.Rounding.BatchSize != 32 || c.Loss.PD != 10 ||
		c.Correction.Weight != 50 || c.Bits != (Bits{W: 2, A: 4, Rule: QDrop}) {
		t.Errorf("settings of resnet20: %+v", c)
	}
	settings := map[string][3]float64{} // weight of the rounding term, temperature, λc
	for names, reference := range map[string][3]float64{
		"resnet8 resnet18 resnet20 resnet32 resnet34 resnet44 resnet50 resnet56 resnet110": {0.01, 4, 0.02},
		"regnetx regnetx-600mf regnetx-3.2gf":                                              {0.01, 4, 0.01},
		"mobilenetv2 mobilenetv2-1.0 efficientnet-lite0 efficientnet-lite1 efficientnet-lite2 efficientnet-lite3 " +
			"efficientnet-lite4": {0.1, 1, 0.005},
		"mnasnet-2.0": {0.2, 1, 0.001},
	} {
		for _, name := range strings.Fields(names) {
			settings[name] = reference
		}
	}
	for _, name := range arch.Designs() {
		c, err := Paper(name, 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		got, want := [3]float64{c.Rounding.Weight, c.Loss.Temperature, 1 / c.Correction.Weight}, settings[name]
		if got != want || c.Loss.PD != 10 {
			t.Errorf("%s: rounding weight, T and λc are %v, want %v; PD has weight %g, want 10", name, got, want, c.Loss.PD)
		}
		for _, preset := range []func(string, int, int) (Config, error){Paper, Quick} {
			c, err := preset(name, 2, 2)
			if err != nil {
				t.Fatal(err)
			}
			for method, c := range map[string]Config{"nearest": c.Nearest(), "MSE only": c.MSEOnly(), "PD-Quant": c} {
				if err := c.Validate(); err != nil {
					t.Errorf("%s, %s: %v", name, method, err)
				}
			}
		}
	}
	known := "known are efficientnet-lite, mnasnet, mobilenetv2, regnetx, resnet"
	if _, err := Paper("vgg16", 2, 2); err == nil || !strings.Contains(err.Error(), known) {
		t.Errorf("an unknown architecture gives %v; want the known ones", err)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"weights of 1 bits; choose 2 to 8":     func(c *Config) { c.Bits.W = 1 },
		"activations of 9 bits; choose 2 to 8": func(c *Config) { c.Bits.A = 9 },
		"Rounding.Warmup is 1":                 func(c *Config) { c.Rounding.Warmup = 1 },
		"Rounding.InputDrop is 1.5":            func(c *Config) { c.Rounding.InputDrop = 1.5 },
		"Scales.Candidates is 0":               func(c *Config) { c.Scales.Candidates = 0 },
		"Loss.Temperature is 0":                func(c *Config) { c.Loss.Temperature = 0 },
		"Correction.Steps is -1":               func(c *Config) { c.Correction.Steps = -1 },
		"Rounding.BatchSize is 0":              func(c *Config) { c.Rounding.BatchSize = 0 },
		"Correction.MinRate is 1; it must be in [0,LearningRate], which is 0.001": func(c *Config) {
			c.Correction.MinRate = 1
		},
		"Correction.Patience is -1":                   func(c *Config) { c.Correction.Patience = -1 },
		"Correction.Group is 0":                       func(c *Config) { c.Correction.Group = 0 },
		"Loss.Every is -1":                            func(c *Config) { c.Loss.Every = -1 },
		"Loss.Reuse is set, but Loss.Skip is 0":       func(c *Config) { c.Loss.Reuse = true },
		"Rounding.BetaStart and BetaEnd are 20 and 0": func(c *Config) { c.Rounding.BetaEnd = 0 },
	} {
		c, err := Paper("resnet8", 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestBaselines: no baseline computes a prediction difference.
func TestBaselines(t *testing.T) {
	c, err := Paper("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	c.Scales.Metric = PD
	for _, base := range []Config{c.Nearest(), c.MSEOnly()} {
		if base.Scales.Metric != LpNorm || base.Loss.PD != 0 || base.Correction.Steps != 0 {
			t.Errorf("baseline %+v", base)
		}
	}
}

func TestConfigAsJSON(t *testing.T) {
	want := Config{Bits: Bits{W: 2, A: 4, Rule: BRECQ}, Scales: ScaleConfig{Metric: Cosine}}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"Rule":"brecq"`) || !strings.Contains(string(data), `"Metric":"cosine"`) {
		t.Errorf("names are missing in %s", data)
	}
	var got Config
	if err := json.Unmarshal(data, &got); err != nil || got != want {
		t.Errorf("%s gives %+v, error %v", data, got, err)
	}
	err = new(Metric).UnmarshalText([]byte("mse"))
	if want := `pdq: "mse" is unknown; choose one of lp, cosine, pd`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if got := Rule(7).String(); got != "7" {
		t.Errorf("an unknown rule is called %s", got)
	}
}

func TestBitsMapWithoutWeights(t *testing.T) {
	n, err := arch.Design("resnet8", arch.SquareInput(1, 28, 10))
	if err != nil {
		t.Fatal(err)
	}
	for _, lb := range (Bits{A: 4, Rule: QDrop}).rule(n) {
		if lb.Weight != 0 {
			t.Errorf("%s has a weight of %d bits", lb.Layer, lb.Weight)
		}
	}
}

func TestBitsMap(t *testing.T) {
	n, err := arch.Design("mobilenetv2", arch.SquareInput(1, 28, 10))
	if err != nil {
		t.Fatal(err)
	}
	folded, _, err := models.Fold(n, models.Init(n, 1))
	if err != nil {
		t.Fatal(err)
	}
	for rule, want := range map[Rule]map[string][2]int{ // weight and output
		AllLow: {"features.0.0": {2, 0}, "features.0.2": {0, 4}, "classifier": {2, 0}},
		QDrop: {
			"features.0.0":         {8, 0}, // the first weight; only a ReLU6 reads its output
			"features.0.2":         {0, 4},
			"features.2.project.0": {2, 4}, // a linear bottleneck; a convolution and an addition read it
			"features.3.project.0": {2, 0}, // a linear bottleneck; only an addition reads it
			"features.3.add":       {0, 4},
			"features.9.2":         {0, 8}, // the last layer's input
			"classifier":           {8, 0}, // logits aren't quantised
		},
		BRECQ: {"features.0.0": {8, 0}, "features.0.2": {0, 8}, "features.9.2": {0, 8}},
	} {
		got := map[string][2]int{}
		for _, lb := range (Bits{W: 2, A: 4, Rule: rule}).rule(folded) {
			got[lb.Layer] = [2]int{lb.Weight, lb.Output}
		}
		for layer, w := range want {
			if g := got[layer]; g != w {
				t.Errorf("%v: %s has weight and output %v, want %v", rule, layer, g, w)
			}
		}
	}
}

// TestEdgesOfPresets: short runs block the gradient on outermost levels of 2-bit activations, but with depthwise
// convolutions; long ones never do.
func TestEdgesOfPresets(t *testing.T) {
	for _, c := range []struct {
		preset, arch string
		w, a         int
		want         Edges
	}{
		{"quick", "resnet20", 2, 2, Block}, {"quick", "regnetx", 4, 2, Block}, {"quick", "resnet20", 2, 3, Pass},
		{"glance", "resnet8", 2, 2, Block}, {"best", "resnet20", 2, 2, Block}, {"quick", "mobilenetv2", 2, 2, Pass},
		{"best", "efficientnet-lite0", 4, 2, Pass}, {"fast", "resnet20", 2, 2, Pass}, {"paper", "resnet20", 2, 2, Pass},
	} {
		config, err := Preset(c.preset, c.arch, c.w, c.a)
		if err != nil {
			t.Fatal(err)
		}
		if r := config.Rounding; r.ActEdges != c.want || r.WeightEdges != Pass || config.FineTune.ActEdges != Pass {
			t.Errorf("%+v: %v, weights %v, fine-tuning %v", c, r.ActEdges, r.WeightEdges, config.FineTune.ActEdges)
		}
	}
}

// TestLimits: numbers that would take all memory, or hours that can't be interrupted, are refused.
func TestLimits(t *testing.T) {
	c, err := Quick("resnet", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.limits() {
		for _, add := range []int{0, 1} {
			changed, err := c.Set(n.name, fmt.Sprint(n.most+add))
			if err != nil {
				t.Fatal(err)
			}
			if err := changed.Validate(); (err != nil) != (add > 0) {
				t.Errorf("%s=%d: error %v", n.name, n.most+add, err)
			}
		}
	}
}
