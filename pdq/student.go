package pdq

import (
	"fmt"
	"maps"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// Student is a network on its way to low bits. Steps take a Student and return a new
// one; the old one stays valid.
type Student struct {
	Weights map[string]WeightQuant // by layer
	Acts    map[string]ActQuant    // by layer whose output is quantised
}

// WeightQuant is the quantiser of one layer's weight.
type WeightQuant struct {
	Bits        int
	Scale, Zero []float32 // by output channel
	Up          []uint8   // of the weight's size: 1 rounds up, 0 down; nil: to nearest
}

// ActQuant is the quantiser of one layer's output.
type ActQuant struct {
	Bits        int
	Scale, Zero float32
}

// levels are those that the output of layer l can reach.
func (a ActQuant) levels(l models.Layer) levels {
	r := levelRange(a.Zero, a.Bits)
	if l.Kind == models.KindReLU || l.Kind == models.KindReLU6 {
		r = r.notNegative()
	}
	return r
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

// Dequantize returns the weight w [O,...] as the quantiser's levels represent it, same shape. It
// is an error if q isn't for a weight of w's size.
func (q WeightQuant) Dequantize(w *tensors.Tensor) (*tensors.Tensor, error) {
	if o := w.Shape().Dim(0); len(q.Scale) != o || len(q.Zero) != o || (q.Up != nil && len(q.Up) != w.Size()) {
		return nil, fmt.Errorf("pdq: %d scales, %d zero points and %d roundings don't fit a weight of shape %v", len(q.Scale), len(q.Zero), len(q.Up), w.Shape().Dimensions)
	}
	flat, err := tensors.CopyFlatData[float32](w)
	if err != nil {
		return nil, err
	}
	per := len(flat) / len(q.Scale)
	last := float32(int(1)<<q.Bits - 1)
	for i, x := range flat {
		s, z := q.Scale[i/per], q.Zero[i/per]
		level := float32(math.RoundToEven(float64(x / s)))
		if q.Up != nil {
			level = float32(math.Floor(float64(x/s))) + float32(q.Up[i])
		}
		flat[i] = (min(max(level+z, 0), last) - z) * s
	}
	return tensors.FromFlatDataAndDimensions(flat, w.Shape().Dimensions...), nil
}
