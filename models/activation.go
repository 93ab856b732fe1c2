package models

import (
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
