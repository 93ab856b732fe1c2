package pdq

import (
	"math"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// TestDegenerate: constant weights and images, and very few images, are quantised without errors.
func TestDegenerate(t *testing.T) {
	if testing.Short() {
		t.Skip("slow; other tests run the same code concurrently")
	}
	zero := func(float32) float32 { return 0 }
	changed := func(p Problem, name string, change func(float32) float32) Problem {
		p.Weights = filled(t, p.Weights, name, change)
		return p
	}
	black := tinyProblem(t, 8)
	black.Calibration = black.Calibration.Slice(0, 8)
	black.Calibration.Pixels = make([]uint8, len(black.Calibration.Pixels))
	problems := map[string]Problem{
		"one image":          tinyProblem(t, 1),
		"black images":       black,
		"a layer of zeros":   changed(tinyProblem(t, 8), "layer2.0.conv1.weight", zero),
		"constant channels":  changed(tinyProblem(t, 8), "layer1.0.bn1.weight", zero),
		"no variance":        changed(tinyProblem(t, 8), "layer1.0.bn1.running_var", zero),
		"equal weights":      changed(tinyProblem(t, 8), "layer1.0.conv1.weight", func(float32) float32 { return -0.25 }),
		"logits of zero":     changed(tinyProblem(t, 8), "fc.weight", zero),
		"maps of 1x1 pixels": smallProblem(t),
	}
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		for name, p := range problems {
			t.Run(name, func(t *testing.T) { checkFinite(t, b, p) })
		}
	})
}

// smallProblem returns a problem with images of 4x4 pixels, and maps of 1x1 in the last block.
func smallProblem(t testing.TB) Problem {
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 4, 10)})
	if err != nil {
		t.Fatal(err)
	}
	im := datasets.Images{Name: "small", Channels: 1, Height: 4, Width: 4, Classes: tinyProblem(t, 1).Calibration.Classes,
		Labels: make([]int32, 8), Pixels: make([]uint8, 8*16), Mean: []float32{0.5}, Std: []float32{0.25}}
	for i := range im.Pixels {
		im.Pixels[i] = uint8(37 * i)
	}
	return Problem{n, models.Init(n, 1), im}
}

// checkFinite takes all steps and checks that the results are finite.
func checkFinite(t *testing.T, b compute.Backend, p Problem) {
	for _, metric := range []Metric{LpNorm, PD} {
		c := tinyConfig(t)
		c.Scales.Metric, c.Rounding.Steps, c.Correction.Steps = metric, 3, 2
		q := quantizerOf(t, b, p, c)
		s, err := q.Quantize(t.Context())
		if err != nil {
			t.Errorf("%v: %v", metric, err)
			continue
		}
		for layer, a := range s.Acts {
			if !(a.Scale > 0) || exec.NonFinite([]float32{a.Scale, a.Zero}) >= 0 {
				t.Errorf("%v: the output of %s has scale %g, zero point %g", metric, layer, a.Scale, a.Zero)
			}
		}
		for layer, w := range s.Weights {
			if exec.NonFinite(w.Scale) >= 0 || exec.NonFinite(w.Zero) >= 0 {
				t.Errorf("%v: the weight of %s has scales %g, zero points %g", metric, layer, w.Scale, w.Zero)
			}
		}
		if _, err := q.Evaluate(t.Context(), s, p.Calibration); err != nil {
			t.Errorf("%v: %v", metric, err)
		}
	}
}

// TestNothingOn: settings of zero for what is off are settings, and steps that aren't are refused.
func TestNothingOn(t *testing.T) {
	p, c := tinyProblem(t, 8), tinyConfig(t)
	c.Correction, c.Rounding, c.Loss.PD = CorrectionConfig{}, RoundingConfig{}, 0
	q := quantizerOf(t, anyBackend(t), p, c)
	if q.PeakMemory() <= 0 || len(q.MemoryPlan()) != len(p.Network.Units) {
		t.Errorf("peak %d, plan %v", q.PeakMemory(), q.MemoryPlan())
	}
	s, err := q.Quantize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = q.NewRounder(s, firstData(t, q, s))
	checkError(t, "NewRounder", err, "Rounding.Steps is 0 and BatchSize 0; both must be >= 1")
	for want, change := range map[string]func(c *Config){
		"Scales.Power is +Inf; it must be finite":          func(c *Config) { c.Scales.Power = math.Inf(1) },
		"Scales.Power is 300; it must be in (0,32]":        func(c *Config) { c.Scales.Power = 300 },
		"Loss.Temperature is NaN; it must be finite":       func(c *Config) { c.Loss.Temperature = math.NaN() },
		"Correction.Weight is +Inf; it must be finite":     func(c *Config) { c.Correction.Weight = math.Inf(1) },
		"FineTune.LearningRate is +Inf; it must be finite": func(c *Config) { c.FineTune.LearningRate = math.Inf(1) },
	} {
		bad := c
		change(&bad)
		checkError(t, "Validate", bad.Validate(), want)
	}
}

// TestNothingToTrain: a unit whose tensors all stay takes no steps.
func TestNothingToTrain(t *testing.T) {
	c := tinyConfig(t)
	c.Rounding.LearningRate = 0 // scales alone, of which the classifier has none
	q := quantizerOf(t, anyBackend(t), tinyProblem(t, 8), c)
	steps := map[string]int{}
	q.Progress = func(e Event) {
		if e.Step == StepRound {
			steps[e.Unit]++
		}
	}
	if _, err := q.Quantize(t.Context()); err != nil || steps["fc"] > 0 || steps["conv1"] == 0 {
		t.Errorf("steps %v, error %v", steps, err)
	}
}
