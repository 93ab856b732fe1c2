package models

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
)

// ReLU is max(x, 0).
type ReLU struct{ Base }

// Kind returns "relu".
func (ReLU) Kind() string { return "relu" }

// Role says that the output is never negative.
func (ReLU) Role() Role { return Role{NotNegative: true} }

// Graph returns max(x, 0). The gradient at 0 is 0, as PyTorch's.
func (ReLU) Graph(in []*Node, _ func(name string) *Node) *Node {
	return clipped(positivePart(in[0]), in[0],
		func(y *Node) *Node { return GreaterThan(y, ScalarZero(y.Graph(), y.DType())) })
}

// ReLU6 is min(max(x, 0), 6).
type ReLU6 struct{ Base }

// Kind returns "relu6".
func (ReLU6) Kind() string { return "relu6" }

// Role says that the output is never negative.
func (ReLU6) Role() Role { return Role{NotNegative: true} }

// Graph returns min(max(x, 0), 6). The gradient at 0 and at 6 is 0, as PyTorch's.
func (ReLU6) Graph(in []*Node, _ func(name string) *Node) *Node {
	return clipped(MinScalar(positivePart(in[0]), 6), in[0], func(y *Node) *Node {
		return LogicalAnd(GreaterThan(y, ScalarZero(y.Graph(), y.DType())), LessThan(y, Scalar(y.Graph(), y.DType(), 6)))
	})
}

// PReLU is x where x > 0, and x·weight elsewhere, weight broadcast by NumPy's rule.
type PReLU struct {
	Base
	Slope []int // shape of "weight", without the images: [C,1,1] for one slope a channel
}

// Kind returns "prelu".
func (PReLU) Kind() string { return "prelu" }

// Params returns weight.
func (p PReLU) Params() []Param { return []Param{{Name: "weight", Shape: p.Slope}} }

// Shape returns the input's shape.
func (p PReLU) Shape(in [][]int) ([]int, error) {
	shape, err := Broadcast(in[0], p.Slope)
	if err == nil && !slices.Equal(shape, in[0]) {
		err = fmt.Errorf("has slopes of shape %v, which don't fit into its input's shape %v", p.Slope, in[0])
	}
	return in[0], err
}

// Graph returns x or x·weight. The gradient at 0 is weight, as PyTorch's.
func (PReLU) Graph(in []*Node, param func(name string) *Node) *Node {
	x, weight := repeated(in[0], asImage(param("weight")))
	return WithGradient(Add(positivePart(x), Mul(weight, negativePart(x))), []*Node{x, weight}, []func(v *Node) *Node{
		func(v *Node) *Node {
			positive := above(x, 0)
			return Mul(v, Add(positive, Mul(OneMinus(positive), weight)))
		},
		func(v *Node) *Node { return Mul(v, negativePart(x)) },
	})
}

// clipped returns y, which is x clipped, with a gradient of 1 where inside(y), and 0 elsewhere. GoMLX's gradients of
// Max and Clip take ten times as long on ONNX Runtime, and so do Where in place of the product and Sign in place of the
// comparison.
func clipped(y, x *Node, inside func(y *Node) *Node) *Node {
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{
		func(v *Node) *Node { return Mul(v, ConvertDType(inside(y), v.DType())) },
	})
}

// positivePart returns max(x, 0), by the backend's own ReLU if it has one: ONNX Runtime fuses it with the convolution
// before it.
func positivePart(x *Node) *Node {
	y, _ := InternalFusedOpCaller(
		func() *Node { return BackendFusedActivation(x, compute.ActivationConfig{Type: compute.ActivationRelu}) },
		func() *Node { return MaxScalar(x, 0.0) }, true)
	return y
}
