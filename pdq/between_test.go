package pdq

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// withLayer returns p with another layer before layer at, which reads its output in place of the input that it had, and
// the units moved.
func withLayer(p Problem, at int, l models.Layer) Problem {
	n := *p.Network
	n.Layers = slices.Clone(n.Layers)
	next := n.Layers[at]
	l.Inputs, next.Inputs = next.Inputs, []string{l.Name}
	n.Layers[at] = next
	n.Layers = slices.Insert(n.Layers, at, l)
	n.Units = slices.Clone(n.Units)
	for i, u := range n.Units {
		if u.First >= at {
			n.Units[i].First++
		}
		if u.Last >= at {
			n.Units[i].Last++
		}
	}
	p.Network = &n
	return p
}

// TestNormalisedImage: a normalisation within the network makes no low-bit activation of the image.
func TestNormalisedImage(t *testing.T) {
	p := tinyProblem(t, 8)
	p.Weights["scale.value"] = tensors.FromFlatDataAndDimensions([]float32{2}, 1, 1, 1)
	p = withLayer(p, 0, models.Layer{Name: "scale", Op: models.WithConstant{Func: models.BinaryMul, Dims: []int{1, 1, 1}}})
	p.Network.Units[0].First = 0
	c := tinyConfig(t)
	c.Bits.Rule = BRECQ
	q := quantizerOf(t, anyBackend(t), p, c)
	if lb := q.Plan().Layer("scale"); lb.Output != 0 {
		t.Errorf("the normalised image has %d bits", lb.Output)
	}
	if lb := q.Plan().Layer("relu"); lb.Output != 8 {
		t.Errorf("the first output has %d bits under brecq, want 8", lb.Output)
	}
	if _, err := q.Quantize(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestBetweenUnits: what would be quantised, but is in no unit, is refused at once.
func TestBetweenUnits(t *testing.T) {
	p := tinyProblem(t, 8)
	at := p.Network.Units[len(p.Network.Units)-1].First
	p = withLayer(p, at, models.Layer{Name: "loose", Op: models.ReLU{}})
	_, err := New(anyBackend(t), p, tinyConfig(t))
	if err == nil || !strings.Contains(err.Error(), "loose of "+p.Network.Name+" lies between the units") {
		t.Errorf("error %v", err)
	}
}
