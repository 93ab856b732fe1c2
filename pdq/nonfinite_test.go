package pdq

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// filled returns w with all values of one tensor changed.
func filled(t *testing.T, w models.Weights, name string, change func(float32) float32) models.Weights {
	out := models.Weights{}
	for k, v := range w {
		out[k] = v
	}
	flat, err := tensors.CopyFlatData[float32](w[name])
	if err != nil {
		t.Fatal(err)
	}
	for i := range flat {
		flat[i] = change(flat[i])
	}
	out[name] = tensors.FromFlatDataAndDimensions(flat, w[name].Shape().Dimensions...)
	return out
}

func checkError(t *testing.T, what string, err error, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", what, err, want)
		}
	}
}

// TestNonFinite: values that aren't finite are an error, which names the tensor, the unit and the step.
func TestNonFinite(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 8), tinyConfig(t)
		whole := p.Weights
		p.Weights = filled(t, whole, "fc.weight", func(float32) float32 { return float32(math.NaN()) })
		_, err := New(b, p, c)
		checkError(t, "a weight", err, "value 0 of fc.weight is NaN")
		p.Weights = filled(t, whole, "layer1.0.bn1.weight", func(float32) float32 { return 3e38 })
		p.Weights = filled(t, p.Weights, "layer1.0.bn1.running_var", func(float32) float32 { return 0 })
		_, err = New(b, p, c)
		checkError(t, "a folded weight", err, "folded", "layer1.0.conv1.weight is")

		// These weights are finite, but activations overflow.
		p.Weights = filled(t, whole, "layer2.0.bn1.weight", func(float32) float32 { return 3e38 })
		q := quantizerOf(t, b, p, c)
		_, err = q.Teacher(t.Context())
		checkError(t, "the teacher's logits", err, "pdq: teacher inference: logit ")
		_, err = q.Evaluate(t.Context(), Student{}, p.Calibration)
		checkError(t, "the student's logits", err, "pdq: evaluation: logit ")
		p.Weights = whole
		if q, err = New(b, p, c); err != nil {
			t.Fatal(err)
		}
		s, d := prepare(t, q, 1)
		teacher, err := q.Teacher(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer teacher.Free()
		broken := s.clone()
		for name, a := range s.Acts {
			a.Scale = float32(math.Inf(1))
			broken.Acts[name] = a
		}
		_, err = q.Observe(t.Context(), broken, teacher, 1, nil)
		checkError(t, "a unit's input", err, "of layer1.0: the student's input to it is ", " at image 0")
		checkRounding(t, q, s, d)
	})
}

// checkRounding sets inputs and variables of unit 1's rounding to NaN, one at a time.
func checkRounding(t *testing.T, q *Quantizer, s Student, d *UnitData) {
	nan := float32(math.NaN())
	for what, c := range map[string]struct {
		broken func(r *Rounder)
		want   string
	}{
		"a target": {func(r *Rounder) { fill(r.d.Target, nan) }, "the target isn't finite"},
		"an input": {func(r *Rounder) { fill(r.d.StudentIn, nan) }, "the unit's input isn't finite"},
		"a rounding variable": {func(r *Rounder) { r.weights[0].made = constant(r.weights[0].made, nan) },
			"the output of layer1.0.conv1 isn't finite"},
		"a scale": {func(r *Rounder) { r.acts[0].value = tensors.FromScalar(nan) },
			"the output of layer1.0.relu1 isn't finite"},
	} {
		own := *d
		own.Target, own.StudentIn = clone(d.Target), clone(d.StudentIn)
		r, err := q.NewRounder(s, &own)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Steps(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		c.broken(r)
		before, err := r.State()
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Steps(t.Context(), 3)
		checkError(t, what, err, "pdq: rounding of layer1.0: step 3: ", c.want)
		if after, err := r.State(); err != nil || after.Done != 2 || len(after.Values) != len(before.Values) ||
			!slices.Equal(after.Values[0], before.Values[0]) {
			t.Errorf("%s: the state isn't the one before the step, error %v", what, err)
		}
		r.Close()
	}
}

func fill(c *Cache, v float32) {
	for i := range c.Flat() {
		c.Flat()[i] = v
	}
}

func clone(c *Cache) *Cache { return exec.CacheOf(slices.Clone(c.Flat()), c.Dims()...) }

func constant(t *tensors.Tensor, v float32) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{v}, t.Size()), t.Shape().Dimensions...)
}

// TestGradientNonFinite: a gradient that overflows is found even if loss and activations are finite.
func TestGradientNonFinite(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		q := quantizerOf(t, b, tinyProblem(t, 8), tinyConfig(t))
		s, d := prepare(t, q, 4)
		r, err := q.NewRounder(s, d)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		fill(d.StudentIn, 1e37) // with these weights, logits are about 160
		r.weights[0].made = constant(r.weights[0].made, 1e-36)
		_, err = r.Steps(t.Context(), 1)
		checkError(t, "a gradient", err, "pdq: rounding of fc: step 1: the gradient for the rounding variables of fc "+
			"isn't finite")
	})
}
