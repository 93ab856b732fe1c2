package models

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// BatchNorm normalises each channel of x [N,C,...]. Its weights are "weight" and "bias", its statistics "running_mean"
// and "running_var", all [C].
type BatchNorm struct {
	Base
	Channels int
	Eps      float64 // added to the variance
}

// Kind returns "batchnorm".
func (BatchNorm) Kind() string { return "batchnorm" }

// Params returns weight, bias and the running statistics.
func (bn BatchNorm) Params() []Param {
	shape := []int{bn.Channels}
	return []Param{{Name: "weight", Shape: shape, Start: StartOnes}, {Name: "bias", Shape: shape},
		{Name: "running_mean", Shape: shape, Statistic: true},
		{Name: "running_var", Shape: shape, Start: StartOnes, Statistic: true}}
}

// Shape returns the input's shape.
func (bn BatchNorm) Shape(in [][]int) ([]int, error) {
	return in[0], wants(in[0], len(in[0]), bn.Channels)
}

// Graph normalises with the running statistics.
func (bn BatchNorm) Graph(in []*Node, param func(name string) *Node) *Node {
	return bn.Normalize(in[0], param("running_mean"), param("running_var"), param)
}

// Normalize returns x [N,C,...] normalised with mean and variance [C]:
//
//	(x - mean)/sqrt(variance + eps)·weight + bias
func (bn BatchNorm) Normalize(x, mean, variance *Node, param func(name string) *Node) *Node {
	scale := Div(param("weight"), Sqrt(AddScalar(variance, bn.Eps)))
	shift := Sub(param("bias"), Mul(mean, scale))
	return Add(Mul(x, perChannel(scale, x)), perChannel(shift, x))
}

// Affine returns what the layer called name does to each channel with its running statistics.
func (bn BatchNorm) Affine(name string, w Weights) (Affine, error) {
	get := func(param string) []float32 { return tensors.MustCopyFlatData[float32](w[name+"."+param]) }
	a := Affine{Mean: get("running_mean"), Scale: make([]float64, bn.Channels), Shift: get("bias")}
	gamma, variance := get("weight"), get("running_var")
	for c := range a.Scale {
		if variance[c] < 0 {
			return a, fmt.Errorf("models: %s.running_var[%d] is %g; a variance can't be negative", name, c, variance[c])
		}
		a.Scale[c] = float64(gamma[c]) / math.Sqrt(float64(variance[c])+bn.Eps)
	}
	return a, nil
}

// ScaleShift is x·weight + bias of x [N,C,...], by channel: what folding leaves of a batch normalisation that it can't
// merge. Its weights are "weight" and "bias", both [C].
type ScaleShift struct {
	Base
	Channels int
}

// Kind returns "scale-shift".
func (ScaleShift) Kind() string { return "scale-shift" }

// Params returns weight and bias.
func (s ScaleShift) Params() []Param {
	shape := []int{s.Channels}
	return []Param{{Name: "weight", Shape: shape, Start: StartOnes}, {Name: "bias", Shape: shape}}
}

// Shape returns the input's shape.
func (s ScaleShift) Shape(in [][]int) ([]int, error) {
	return in[0], wants(in[0], len(in[0]), s.Channels)
}

// Graph returns x·weight + bias.
func (s ScaleShift) Graph(in []*Node, param func(name string) *Node) *Node {
	return Add(Mul(in[0], perChannel(param("weight"), in[0])), perChannel(param("bias"), in[0]))
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

// NormalizeBatch returns y, which is x [N,C,...] normalised with the batch's own mean and variance, and these [C],
// which pass on no gradient. The gradient for x, given the gradient v that arrives at y, is
//
//	γ/σ·(v - mean(v) - x̂·mean(v·x̂))
func NormalizeBatch(x, gamma, beta *Node, eps float64) (y, mean, variance *Node) {
	axes := []int{0}
	for axis := 2; axis < x.Rank(); axis++ {
		axes = append(axes, axis)
	}
	mean = ReduceMean(x, axes...)
	centred := Sub(x, perChannel(mean, x))
	variance = ReduceMean(Square(centred), axes...)
	inverse := Inverse(Sqrt(AddScalar(variance, eps)))
	normal := Mul(centred, perChannel(inverse, x))
	y = Add(Mul(normal, perChannel(gamma, x)), perChannel(beta, x))
	count := float64(x.Shape().Size() / x.Shape().Dim(1))
	sums := func(v *Node) (sum, product *Node) {
		return ReduceSum(v, axes...), ReduceSum(Mul(v, normal), axes...)
	}
	return WithGradient(y, []*Node{x, gamma, beta}, []func(v *Node) *Node{
		func(v *Node) *Node {
			sum, product := sums(v)
			inner := Sub(Sub(v, perChannel(DivScalar(sum, count), v)), Mul(normal, perChannel(DivScalar(product, count), v)))
			return Mul(inner, perChannel(Mul(gamma, inverse), v))
		},
		func(v *Node) *Node { _, product := sums(v); return product },
		func(v *Node) *Node { sum, _ := sums(v); return sum },
	}), mean, variance
}
