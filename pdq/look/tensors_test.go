package look_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/look"
)

// TestTensors: layers read what those before them give, on its levels where it is quantised.
func TestTensors(t *testing.T) { testbackend.Each(t, testTensors) }

func testTensors(t *testing.T, b compute.Backend) {
	q, err := pdq.New(b, tinyProblem(t, 8), tinyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := prepare(t, q, 1)
	n, weights := q.Folded()
	outputs := map[string]look.Tensor{}
	for _, l := range n.Layers {
		x, err := look.Tensors(t.Context(), q, s, l.Name, 5)
		if err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
		if len(x.Inputs) != len(l.Inputs) || x.Output.Shape[0] != 5 {
			t.Errorf("%s reads %d tensors, not %d, and gives %v", l.Name, len(x.Inputs), len(l.Inputs), x.Output.Shape)
		}
		for i, name := range l.Inputs {
			want, ok := outputs[name]
			if !ok {
				continue // the images
			}
			if off := differing(x.Inputs[i].Values, want.Values); !slices.Equal(x.Inputs[i].Shape, want.Shape) || off > 0.01 {
				t.Errorf("%s reads other values than %s gives: %.1f %% differ", l.Name, name, 100*off)
			}
		}
		given := look.Tensor{Shape: x.Output.Shape, Values: slices.Clone(x.Output.Values)}
		if a, ok := s.Acts[l.Name]; ok {
			for i, level := range x.Output.Levels {
				if given.Values[i] = (float32(level) - a.Zero) * a.Scale; x.OutputQuant != a {
					t.Errorf("%s is quantised by %v, not %v", l.Name, x.OutputQuant, a)
				}
			}
		}
		outputs[l.Name] = given
		w := weights[l.Name+".weight"]
		if w == nil {
			continue
		}
		if !reflect.DeepEqual(x.Weight.Shape, w.Shape().Dimensions) || len(x.Bias) != x.Weight.Shape[0] {
			t.Errorf("%s has weight %v and %d biases", l.Name, x.Weight.Shape, len(x.Bias))
		}
		want, err := s.Weights[l.Name].Dequantize(w)
		if err != nil {
			t.Fatal(err)
		}
		values, err := tensors.CopyFlatData[float32](want)
		if err != nil {
			t.Fatal(err)
		}
		per := len(values) / x.Weight.Shape[0]
		for i, level := range x.Weight.Levels {
			quant := x.WeightQuant
			if got := (float32(level) - quant.Zero[i/per]) * quant.Scale[i/per]; got != values[i] {
				t.Fatalf("%s: weight %d is on level %d, %g, not %g", l.Name, i, level, got, values[i])
			}
		}
	}
	for _, images := range []int{0, 1} {
		if _, err := look.Tensors(t.Context(), q, s, "nothing", images); err == nil ||
			!strings.HasPrefix(err.Error(), "look: ") {
			t.Errorf("%d images of no layer: error %v", images, err)
		}
	}
}

// differing is the share of values that differ by more than another graph of the same layers rounds off. Few of these
// come to another level.
func differing(a, b []float32) float64 {
	largest := max(slices.Max(b), -slices.Min(b))
	n := 0
	for i := range a {
		if d := a[i] - b[i]; max(d, -d) > 1e-5*largest {
			n++
		}
	}
	return float64(n) / float64(len(a))
}
