package models

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// SoftMax is e^x, divided by its sum along an axis.
type SoftMax struct {
	Base
	Axis int  // of the shape for one image: 0 is the first after the images
	Log  bool // the logarithm of that
}

// Kind returns "softmax", or "logsoftmax".
func (s SoftMax) Kind() string {
	if s.Log {
		return "logsoftmax"
	}
	return "softmax"
}

// Role says that probabilities are never negative.
func (s SoftMax) Role() Role { return Role{NotNegative: !s.Log} }

// Shape returns the input's shape.
func (s SoftMax) Shape(in [][]int) ([]int, error) {
	if s.Axis < 0 || s.Axis >= len(in[0]) {
		return nil, fmt.Errorf("is along axis %d of an input of shape %v; the axis must be in [0,%d)",
			s.Axis, in[0], len(in[0]))
	}
	return in[0], nil
}

// Graph subtracts the maximum first, so that nothing overflows.
func (s SoftMax) Graph(in []*Node, _ func(name string) *Node) *Node {
	axis := s.Axis + 1
	x := Sub(in[0], StopGradient(ReduceAndKeep(in[0], ReduceMax, axis)))
	e := Exp(x)
	sum := ReduceAndKeep(e, ReduceSum, axis)
	if s.Log {
		return Sub(x, Log(sum))
	}
	return Div(e, sum)
}
