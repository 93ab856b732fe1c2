package models

import (
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
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
		return clipped(MaxScalar(x, 0.0), x, func(y *Node) *Node { return GreaterThan(y, ScalarZero(y.Graph(), y.DType())) })
	case KindReLU6:
		return clipped(ClipScalar(x, 0, 6), x, func(y *Node) *Node {
			return LogicalAnd(GreaterThan(y, ScalarZero(y.Graph(), y.DType())), LessThan(y, Scalar(y.Graph(), y.DType(), 6)))
		})
	case KindAdd:
		return Add(x, second())
	case KindPadShortcut:
		return padShortcut(x, l)
	case KindGlobalAvgPool:
		return ReduceMean(x, 2, 3)
	case KindLinear:
		return Add(Dot(x, h.Param(l.Name+".weight")).General([]int{1}, nil, []int{1}, nil), Reshape(h.Param(l.Name+".bias"), 1, l.Out))
	}
	panic(fmt.Errorf("models: layer %s is of unknown kind %d", l.Name, l.Kind))
}

// clipped returns y, which is x clipped, with a gradient of 1 where inside(y), as
// PyTorch's. GoMLX's for Max and Clip take ten times as long on ONNX Runtime, and so does
// Where in place of the product.
func clipped(y, x *Node, inside func(y *Node) *Node) *Node {
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node { return Mul(v, ConvertDType(inside(y), v.DType())) }})
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
// as many before as after, up to l.Out. The pixels are taken by reshaping where the size allows,
// because the gradient of a strided slice doesn't exist on every backend.
func padShortcut(x *Node, l Layer) *Node {
	for axis := 2; axis <= 3; axis++ {
		size := x.Shape().Dim(axis)
		if l.Stride == 1 {
			break
		}
		if short := (l.Stride - size%l.Stride) % l.Stride; short > 0 {
			pads := make([]compute.PadAxis, 4)
			pads[axis].End = short
			x = Pad(x, ScalarZero(x.Graph(), x.DType()), pads...)
		}
		dims := append([]int{}, x.Shape().Dimensions...)
		split := append(append(append([]int{}, dims[:axis]...), dims[axis]/l.Stride, l.Stride), dims[axis+1:]...)
		dims[axis] /= l.Stride
		x = Reshape(SliceAxis(Reshape(x, split...), axis+1, AxisElem(0)), dims...)
	}
	extra := l.Out - l.In
	pads := []compute.PadAxis{{}, {Start: extra / 2, End: extra - extra/2}, {}, {}}
	return Pad(x, ScalarZero(x.Graph(), x.DType()), pads...)
}
