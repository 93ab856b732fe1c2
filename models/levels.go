package models

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// Levels is a quantiser with fixed parameters, as quantised ONNX files have them:
//
//	clip(round(x/Scale), Low, High)·Scale
//
// Halves are rounded to even. The gradient is straight-through: 1 from Low to High, both included, and 0 outside.
type Levels struct {
	Base
	Scale     float64 // between two levels, > 0
	Low, High float64 // the outermost levels, whole numbers: minus the zero point, and the number of levels - 1 more
}

// Kind returns "levels".
func (Levels) Kind() string { return "levels" }

// Role says whether the output can be negative.
func (l Levels) Role() Role { return Role{NotNegative: l.Low >= 0} }

// Check reports a scale that isn't positive, and bounds in the wrong order.
func (l Levels) Check() error {
	if !(l.Scale > 0) || !(l.Low <= l.High) {
		return fmt.Errorf("has scale %g and levels %g to %g; the scale must be positive, the first level not above the last",
			l.Scale, l.Low, l.High)
	}
	return nil
}

// Graph returns the values of the nearest levels.
func (l Levels) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	level := DivScalar(x, l.Scale)
	y := MulScalar(ClipScalar(Round(level), l.Low, l.High), l.Scale)
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
		inside := LogicalAnd(GreaterOrEqual(level, Scalar(x.Graph(), x.DType(), l.Low)),
			LessOrEqual(level, Scalar(x.Graph(), x.DType(), l.High)))
		return Mul(v, ConvertDType(inside, v.DType()))
	}})
}
