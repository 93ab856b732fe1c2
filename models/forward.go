package models

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Hooks let a caller stand between the layers of a forward pass. Only Param is needed.
type Hooks struct {
	// Param returns the weight tensor called name ("conv1.weight"), in its own shape.
	Param func(name string) *Node
	// Norm replaces batch normalisation of x [N,C,...]; nil: with running statistics.
	Norm func(l Layer, x *Node) *Node
	// After sees each layer's output and returns what the next layers read; nil: the output.
	After func(l Layer, y *Node) *Node
}

// Forward computes the layers first to last (both included) of n. x is what they
// read from outside that range, [N,C,H,W] or [N,C]. It returns the last one's output.
func (n *Network) Forward(x *Node, first, last int, h Hooks) *Node {
	values := map[string]*Node{}
	input := func(name string) *Node {
		if v, ok := values[name]; ok {
			return v
		}
		return x
	}
	for _, l := range n.Layers[first : last+1] {
		y := l.apply(input(l.Inputs[0]), func() *Node { return input(l.Inputs[1]) }, h)
		if h.After != nil {
			y = h.After(l, y)
		}
		values[l.Name] = y
	}
	if last < first {
		return x
	}
	return values[n.Layers[last].Name]
}

// apply computes one layer of x; second is the other operand of Add.
func (l Layer) apply(x *Node, second func() *Node, h Hooks) *Node {
	switch l.Kind {
	case KindConv:
		y := convolve(x, h.Param(l.Name+".weight"), l.ConvSpec)
		if l.Bias {
			y = Add(y, perChannel(h.Param(l.Name+".bias"), y))
		}
		return y
	case KindBatchNorm:
		if h.Norm != nil {
			return h.Norm(l, x)
		}
		return Normalize(x, h.Param(l.Name+".running_mean"), h.Param(l.Name+".running_var"), l, h)
	case KindReLU:
		return clipped(positivePart(x), x, func(y *Node) *Node { return GreaterThan(y, ScalarZero(y.Graph(), y.DType())) })
	case KindReLU6:
		return clipped(MinScalar(positivePart(x), 6), x, func(y *Node) *Node {
			return LogicalAnd(GreaterThan(y, ScalarZero(y.Graph(), y.DType())), LessThan(y, Scalar(y.Graph(), y.DType(), 6)))
		})
	case KindAdd:
		return Add(x, second())
	case KindPadShortcut:
		return padShortcut(x, l)
	case KindMaxPool:
		return maxPool(x, l.Kernel, l.ConvSpec)
	case KindGlobalAvgPool:
		return ReduceMean(x, 2, 3)
	case KindLinear:
		return Add(Dot(x, h.Param(l.Name+".weight")).General([]int{1}, nil, []int{1}, nil), Reshape(h.Param(l.Name+".bias"), 1, l.Out))
	}
	panic(fmt.Errorf("models: layer %s is of unknown kind %d", l.Name, l.Kind))
}

// clipped returns y, which is x clipped, with a gradient of 1 where inside(y), as
// PyTorch's. GoMLX's for Max and Clip take ten times as long on ONNX Runtime, and so do
// Where in place of the product and Sign in place of the comparison.
func clipped(y, x *Node, inside func(y *Node) *Node) *Node {
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node { return Mul(v, ConvertDType(inside(y), v.DType())) }})
}

// positivePart returns max(x, 0), by the backend's own ReLU if it has one: ONNX Runtime fuses it
// with the convolution before it.
func positivePart(x *Node) *Node {
	y, _ := InternalFusedOpCaller(
		func() *Node { return BackendFusedActivation(x, compute.ActivationConfig{Type: compute.ActivationRelu}) },
		func() *Node { return MaxScalar(x, 0.0) }, true)
	return y
}

// Normalize returns batch normalisation of x [N,C,H,W] with mean and variance [C],
// and the weight and bias of layer l:
//
//	(x - mean)/sqrt(variance + eps)·weight + bias
func Normalize(x, mean, variance *Node, l Layer, h Hooks) *Node {
	scale := Div(h.Param(l.Name+".weight"), Sqrt(AddScalar(variance, l.Eps)))
	shift := Sub(h.Param(l.Name+".bias"), Mul(mean, scale))
	return Add(Mul(x, perChannel(scale, x)), perChannel(shift, x))
}

// perChannel reshapes v [C] to broadcast against x [N,C,...].
func perChannel(v, x *Node) *Node {
	dims := make([]int, x.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[1] = v.Shape().Size()
	return Reshape(v, dims...)
}

// padShortcut takes every Stride-th pixel of x [N,C,H,W] and adds channels of zeros,
// as many before as after, up to l.Out. Rows are taken by reshaping and columns by a product
// with a matrix of zeros and ones: a strided slice has no gradient on every backend, and takes
// ten times as long.
func padShortcut(x *Node, l Layer) *Node {
	if st := l.Stride; st > 1 {
		x = padSpatial(x, 0, (st-x.Shape().Dim(2)%st)%st, 0, 0)
		n, c, h, w := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)/st, x.Shape().Dim(3)
		x = Reshape(SliceAxis(Reshape(x, n, c, h, st*w), 3, AxisRange(0, w)), n*c*h, w)
		columns := (w + st - 1) / st
		pick := make([]float32, w*columns)
		for i := range columns {
			pick[i*st*columns+i] = 1
		}
		x = MatMul(x, ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(pick, w, columns)))
		x = Reshape(x, n, c, h, columns)
	}
	extra := l.Out - l.In
	pads := []compute.PadAxis{{}, {Start: extra / 2, End: extra - extra/2}, {}, {}}
	return Pad(x, ScalarZero(x.Graph(), x.DType()), pads...)
}
