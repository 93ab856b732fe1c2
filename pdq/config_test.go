package pdq

import (
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
)

func TestPaper(t *testing.T) {
	c, err := Paper("resnet20", 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	// The reference's defaults: README.md and main_imagenet.py of hustvl/PD-Quant.
	if c.Rounding.Steps != 20000 || c.Rounding.BatchSize != 32 || c.Loss.PD != 10 || c.Correction.Weight != 50 || c.Bits != (Bits{2, 4, QDrop}) {
		t.Errorf("settings of resnet20: %+v", c)
	}
	for _, name := range models.Designs() {
		for _, preset := range []func(string, int, int) (Config, error){Paper, Quick} {
			c, err := preset(name, 2, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range Methods(c) {
				if err := m.Config.Validate(); err != nil {
					t.Errorf("%s, %s: %v", name, m.Name, err)
				}
			}
		}
	}
	if _, err := Paper("vgg16", 2, 2); err == nil || !strings.Contains(err.Error(), "mobilenetv2, regnetx, resnet") {
		t.Errorf("an unknown architecture gives %v; want the known ones", err)
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"weights of 1 bits; choose 2 to 8":     func(c *Config) { c.Bits.W = 1 },
		"activations of 9 bits; choose 2 to 8": func(c *Config) { c.Bits.A = 9 },
		"Rounding.Warmup is 1":                 func(c *Config) { c.Rounding.Warmup = 1 },
		"Rounding.InputKeep is 1.5":            func(c *Config) { c.Rounding.InputKeep = 1.5 },
		"Scales.Candidates is 0":               func(c *Config) { c.Scales.Candidates = 0 },
		"Loss.Temperature is 0":                func(c *Config) { c.Loss.Temperature = 0 },
		"Correction.Steps is -1":               func(c *Config) { c.Correction.Steps = -1 },
		"Rounding.BatchSize is 0":              func(c *Config) { c.Rounding.BatchSize = 0 },
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

func TestBitsMap(t *testing.T) {
	n, err := models.Design("mobilenetv2", 1, 28, 10)
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
			"features.0.0":         {8, 0}, // first weight; its output is read by a ReLU6 only
			"features.0.2":         {0, 4},
			"features.2.project.0": {2, 4}, // a linear bottleneck that a convolution and an addition read
			"features.3.project.0": {2, 0}, // one that an addition reads
			"features.3.add":       {0, 4},
			"features.9.2":         {0, 8}, // the last layer's input
			"classifier":           {8, 0}, // logits stay as they are
		},
		BRECQ: {"features.0.0": {8, 0}, "features.0.2": {0, 8}, "features.9.2": {0, 8}},
	} {
		got := map[string][2]int{}
		for _, lb := range (Bits{W: 2, A: 4, Rule: rule}).Map(folded) {
			got[lb.Layer] = [2]int{lb.Weight, lb.Output}
		}
		for layer, w := range want {
			if g := got[layer]; g != w {
				t.Errorf("%v: %s has weight and output %v, want %v", rule, layer, g, w)
			}
		}
	}
}
