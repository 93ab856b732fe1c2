package pdq

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Student holds the quantisers of a network, or of the part that is quantised so far. Steps take a Student and return a
// new one; the old one stays valid.
type Student struct {
	Weights map[string]WeightQuant // by layer
	Acts    map[string]ActQuant    // of layers' outputs, by layer
}

// WeightQuant is the quantiser of one layer's weight.
type WeightQuant struct {
	Bits        int
	Scale, Zero []float32 // by output channel
	Levels      []uint8   // of each element, 0 to 2^Bits-1: level k stands for (k-Zero)·Scale; nil: the nearest levels
	Bias        []float32 // by output channel, in full precision, if it was trained; nil: the folded network's
}

// ActQuant is the quantiser of one layer's output.
type ActQuant struct {
	Bits        int
	Scale, Zero float32
}

// Quantize returns the value of the level nearest to v.
func (a ActQuant) Quantize(v float32) float32 {
	return roundWithin(v/a.Scale, -a.Zero, float32(outermost(a.Bits))-a.Zero) * a.Scale
}

// levels returns the range of levels that the output of layer l can reach.
func (a ActQuant) levels(l models.Layer, edges Edges) levels {
	r := levelRange(a.Zero, a.Bits, edges)
	if l.Op.Role().NotNegative {
		r = r.notNegative()
	}
	return r
}

// Hooks returns the hooks of a forward pass of the folded network in graph g, with the constant weights w, that
// quantises the activations which s quantises. With StudentWeights as w, it is the student's forward pass.
func (s Student) Hooks(g *graph.Graph, w models.Weights) models.Hooks {
	return models.Hooks{Param: exec.Constants(g, w), After: func(l models.Layer, y *graph.Node) *graph.Node {
		a, ok := s.Acts[l.Name]
		if !ok {
			return y
		}
		return a.levels(l, Pass).quantize(y, graph.Const(g, a.Scale))
	}}
}

// clone returns a Student whose maps can be changed.
func (s Student) clone() Student {
	s.Weights, s.Acts = maps.Clone(s.Weights), maps.Clone(s.Acts)
	if s.Weights == nil {
		s.Weights = map[string]WeightQuant{}
	}
	if s.Acts == nil {
		s.Acts = map[string]ActQuant{}
	}
	return s
}

// Dequantize returns the weight w [O,...] on the quantiser's levels, in the same shape. It returns an error if q is for
// a weight of another size, or if its width isn't 2 to 8 bits.
func (q WeightQuant) Dequantize(w *tensors.Tensor) (*tensors.Tensor, error) {
	if err := q.fits(w); err != nil {
		return nil, fmt.Errorf("pdq: %w", err)
	}
	flat, err := tensors.CopyFlatData[float32](w)
	if err != nil {
		return nil, err
	}
	per := len(flat) / len(q.Scale)
	for i, x := range flat {
		s, z := q.Scale[i/per], q.Zero[i/per]
		if q.Levels == nil {
			flat[i] = (q.level(math.RoundToEven(float64(x/s)), z) - z) * s
		} else {
			flat[i] = (float32(q.Levels[i]) - z) * s
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, w.Shape().Dimensions...), nil
}

// fits returns an error if q can't be the quantiser of w.
func (q WeightQuant) fits(w *tensors.Tensor) error {
	if w == nil || !w.Ok() || w.Rank() == 0 || w.Size() == 0 {
		return errors.New("the weight has no values; give one of shape [O,...]")
	}
	if err := checkWidth(q.Bits); err != nil {
		return err
	}
	o := w.Shape().Dim(0)
	if len(q.Scale) != o || len(q.Zero) != o || (q.Levels != nil && len(q.Levels) != w.Size()) {
		return fmt.Errorf("%d scales, %d zero points and %d levels don't fit a weight of shape %v",
			len(q.Scale), len(q.Zero), len(q.Levels), w.Shape().Dimensions)
	}
	for i, s := range q.Scale {
		if z := q.Zero[i]; !(s > 0) || math.IsInf(float64(s), 1) || z-z != 0 {
			return fmt.Errorf("output channel %d has scale %g and zero point %g; both must be finite, the scale > 0", i, s, z)
		}
	}
	if q.Bias != nil && len(q.Bias) != o {
		return fmt.Errorf("%d biases don't fit a weight of shape %v", len(q.Bias), w.Shape().Dimensions)
	}
	return nil
}

func checkWidth(bits int) error {
	if bits < 2 || bits > 8 {
		return fmt.Errorf("a quantiser of %d bits; give 2 to 8", bits)
	}
	return nil
}

// level returns the level, with zero point z, that is nearest to the weight k·Scale.
func (q WeightQuant) level(k float64, z float32) float32 {
	return min(max(float32(k)+z, 0), float32(outermost(q.Bits)))
}
