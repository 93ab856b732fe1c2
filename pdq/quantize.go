package pdq

import (
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/models"
)

// FakeQuantize returns x rounded to the levels of a quantiser of the given bits:
//
//	(clip(round(x/s) + z, 0, 2^bits-1) - z)·s
//
// The result has the shape of x. scale and zero are scalars or broadcast against x.
// The gradient passes straight through round only: where nothing is clipped it is 1 for x
// and round(x/s)-x/s for s; elsewhere 0 and the clipped level. Clipping ends just beyond
// the outermost levels, which themselves pass the gradient, as torch.clamp does.
//
// Reference: UniformAffineQuantizer.forward in quant/quant_layer.py.
func FakeQuantize(x, scale, zero *Node, bits int) *Node {
	clipped, u, inside := quantizeLevels(x, scale, zero, bits)
	return models.WithGradient(Mul(clipped, scale), []*Node{x, scale}, []func(v *Node) *Node{
		func(v *Node) *Node { return Mul(v, inside()) },
		func(v *Node) *Node { return reduceLike(Mul(v, Sub(clipped, Mul(inside(), u))), scale) },
	})
}

// DropQuantize returns FakeQuantize where keep is 1, and x where it is 0. keep has the
// shape of x and no gradient. (It is written as products: Where is slow on ONNX Runtime.)
//
// QDrop (arXiv 2203.05740), section 3.3.
func DropQuantize(x, scale, zero, keep *Node, bits int) *Node {
	clipped, u, inside := quantizeLevels(x, scale, zero, bits)
	y := Add(x, Mul(keep, Sub(Mul(clipped, scale), x)))
	return models.WithGradient(y, []*Node{x, scale}, []func(v *Node) *Node{
		func(v *Node) *Node { return Sub(v, Mul(v, Mul(keep, OneMinus(inside())))) },
		func(v *Node) *Node { return reduceLike(Mul(Mul(v, keep), Sub(clipped, Mul(inside(), u))), scale) },
	})
}

// quantizeLevels returns the clipped level of x without its zero point, u = x/scale, and what
// computes where nothing was clipped (1) and where something was (0).
func quantizeLevels(x, scale, zero *Node, bits int) (clipped, u *Node, inside func() *Node) {
	u = Div(x, scale)
	level := Add(Round(u), zero)
	within := ClipScalar(level, 0, float64(int(1)<<bits-1))
	return Sub(within, zero), u, func() *Node { return ConvertDType(Equal(within, level), x.DType()) }
}

// reduceLike sums x over the axes along which shape-like was broadcast to x's shape.
func reduceLike(x, like *Node) *Node {
	if like.IsScalar() {
		return ReduceAllSum(x)
	}
	var axes []int
	for i, d := range like.Shape().Dimensions {
		if d == 1 && x.Shape().Dim(i) > 1 {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 {
		return x
	}
	return Reshape(ReduceSum(x, axes...), like.Shape().Dimensions...)
}

// SoftRound returns the weight with rounding variables alpha (AdaRound):
//
//	s·(clip(base + h(α), 0, 2^bits-1) - z),  base = floor(w/s) + z
//
// base and alpha have the weight's shape; scale and zero broadcast against it.
func SoftRound(base, alpha, scale, zero *Node, bits int) *Node {
	level := ClipScalar(Add(base, RectifiedSigmoid(alpha)), 0, float64(int(1)<<bits-1))
	return Mul(scale, Sub(level, zero))
}

// RectifiedSigmoid returns h(α) = clip(1.2·sigmoid(α) - 0.1, 0, 1), how far a weight is
// rounded up. (AdaRound, arXiv 2004.10568, section 4)
func RectifiedSigmoid(alpha *Node) *Node {
	return ClipScalar(AddScalar(MulScalar(Sigmoid(alpha), 1.2), -0.1), 0, 1)
}
