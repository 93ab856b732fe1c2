package models

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// LayerNorm normalises each image over its last axes:
//
//	(x - mean)/sqrt(variance + eps)·weight + bias
type LayerNorm struct {
	Base
	Dims   []int   // sizes of the last axes, over which it normalises; also the shape of weight and bias
	Eps    float64 // added to the variance
	Affine bool    // it has "weight"
	Bias   bool    // it has "bias"
}

// Kind returns "layernorm".
func (LayerNorm) Kind() string { return "layernorm" }

// Params returns weight and bias, as far as it has them.
func (l LayerNorm) Params() (params []Param) {
	if l.Affine {
		params = append(params, Param{Name: "weight", Shape: l.Dims, Start: StartOnes})
	}
	if l.Bias {
		params = append(params, Param{Name: "bias", Shape: l.Dims})
	}
	return params
}

// Shape returns the input's shape.
func (l LayerNorm) Shape(in [][]int) ([]int, error) { return in[0], endsIn(in[0], l.Dims) }

// Graph returns the normalised x [N,...,Dims...].
func (l LayerNorm) Graph(in []*Node, param func(name string) *Node) *Node {
	y := normalized(centred(in[0], len(l.Dims)), len(l.Dims), l.Eps)
	if l.Affine {
		y = BinaryMul.graph(y, asImage(param("weight")))
	}
	if l.Bias {
		y = BinaryAdd.graph(y, asImage(param("bias")))
	}
	return y
}

// RMSNorm divides each image by its root mean square over the last axes: x/sqrt(mean(x²) + eps)·weight.
type RMSNorm struct {
	Base
	Dims []int   // sizes of the last axes, over which it normalises; also the shape of "weight"
	Eps  float64 // added to the mean square
}

// Kind returns "rmsnorm".
func (RMSNorm) Kind() string { return "rmsnorm" }

// Params returns weight.
func (r RMSNorm) Params() []Param { return []Param{{Name: "weight", Shape: r.Dims, Start: StartOnes}} }

// Shape returns the input's shape.
func (r RMSNorm) Shape(in [][]int) ([]int, error) { return in[0], endsIn(in[0], r.Dims) }

// Graph returns the normalised x [N,...,Dims...].
func (r RMSNorm) Graph(in []*Node, param func(name string) *Node) *Node {
	return BinaryMul.graph(normalized(in[0], len(r.Dims), r.Eps), asImage(param("weight")))
}

// GroupNorm normalises groups of channels of each image [C,...], all positions together:
//
//	(x - mean)/sqrt(variance + eps)·weight + bias
//
// Its weights are "weight" and "bias" [C]. With one group a channel it is an instance normalisation.
type GroupNorm struct {
	Base
	Channels, Groups int     // Groups must divide Channels
	Eps              float64 // added to the variance
}

// Kind returns "groupnorm".
func (GroupNorm) Kind() string { return "groupnorm" }

// Check reports groups that don't divide the channels.
func (g GroupNorm) Check() error {
	if g.Groups < 1 || g.Channels%g.Groups != 0 {
		return fmt.Errorf("has %d channels in %d groups; groups must be positive and divide the channels",
			g.Channels, g.Groups)
	}
	return nil
}

// Params returns weight and bias.
func (g GroupNorm) Params() []Param {
	shape := []int{g.Channels}
	return []Param{{Name: "weight", Shape: shape, Start: StartOnes}, {Name: "bias", Shape: shape}}
}

// Shape returns the input's shape.
func (g GroupNorm) Shape(in [][]int) ([]int, error) {
	return in[0], wants(in[0], len(in[0]), g.Channels)
}

// Graph returns the normalised x [N,C,...].
func (g GroupNorm) Graph(in []*Node, param func(name string) *Node) *Node {
	x := in[0]
	groups := Reshape(x, x.Shape().Dim(0), g.Groups, -1)
	y := Reshape(normalized(centred(groups, 1), 1, g.Eps), x.Shape().Dimensions...)
	return Add(Mul(y, perChannel(param("weight"), x)), perChannel(param("bias"), x))
}

// LRN divides each number by the numbers near it, in Size channels of the same position:
//
//	x/(Bias + Alpha/Size·Σx²)^Beta
//
// The channels start (Size-1)/2 before the number's own, rounded down, as in ONNX. PyTorch's start Size/2 before, which
// differs if Size is even. Source: Krizhevsky et al. 2012, section 3.3, with Alpha/Size for α.
type LRN struct {
	Base
	Size              int // channels, >= 1
	Alpha, Beta, Bias float64
}

// Kind returns "lrn".
func (LRN) Kind() string { return "lrn" }

// Check reports a size below 1.
func (l LRN) Check() error {
	if l.Size < 1 {
		return fmt.Errorf("sums over %d channels; it must be 1 or more", l.Size)
	}
	return nil
}

// Graph returns the normalised x [N,C,...].
func (l LRN) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	sum := channelSums(Square(x), -((l.Size - 1) / 2), l.Size)
	return Div(x, PowScalar(AddScalar(MulScalar(sum, l.Alpha/float64(l.Size)), l.Bias), l.Beta))
}

// channelSums returns, for each number of x [N,C,...], the sum over count channels at its position: for channel c they
// start at c+first. GoMLX's own gradient fails for the moved tensors.
func channelSums(x *Node, first, count int) *Node {
	sums := func(x *Node, first int) (sum *Node) {
		for shift := first; shift < first+count; shift++ {
			if max(shift, -shift) >= x.Shape().Dim(1) {
				continue
			}
			if moved := padAxis(x, 1, -shift, shift, 0); sum == nil {
				sum = moved
			} else {
				sum = Add(sum, moved)
			}
		}
		return sum
	}
	return WithGradient(sums(x, first), []*Node{x}, []func(v *Node) *Node{
		func(v *Node) *Node { return sums(v, 1-first-count) },
	})
}

// endsIn reports an input whose last axes don't have the sizes dims.
func endsIn(in, dims []int) error {
	if len(dims) == 0 || len(dims) > len(in) || !slices.Equal(in[len(in)-len(dims):], dims) {
		return fmt.Errorf("normalises over last axes of sizes %v, but its input has shape %v", dims, in)
	}
	return nil
}

// lastAxes returns the last count axes of x.
func lastAxes(x *Node, count int) []int {
	axes := make([]int, count)
	for i := range axes {
		axes[i] = x.Rank() - count + i
	}
	return axes
}

// centred returns x less its mean over the last count axes.
func centred(x *Node, count int) *Node {
	return Sub(x, ReduceAndKeep(x, ReduceMean, lastAxes(x, count)...))
}

// normalized returns x, divided by the root of its mean square over the last count axes plus eps.
func normalized(x *Node, count int, eps float64) *Node {
	mean := ReduceAndKeep(Square(x), ReduceMean, lastAxes(x, count)...)
	return Div(x, Sqrt(AddScalar(mean, eps)))
}
