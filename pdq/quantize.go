package pdq

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/models"
)

// FakeQuantize returns x rounded to the levels of a quantiser with the given bits:
//
//	(clip(round(x/s) + z, 0, 2^bits-1) - z)·s
//
// The result has the shape of x. scale is a scalar or broadcasts against x; zero is an integer. The gradient passes
// straight through round, but not through clip: for x and s it is 1 and round(x/s)-x/s where nothing is clipped, 0 and
// the clipped level elsewhere. As with torch.clamp, values on the outermost levels aren't clipped.
//
// Reference: UniformAffineQuantizer.forward in quant/quant_layer.py.
func FakeQuantize(x, scale *Node, zero float32, bits int) *Node {
	return levelRange(zero, bits).quantize(x, scale)
}

// DropQuantize returns FakeQuantize where mask is 1, and x where it is 0. mask has the shape of x and no gradient. (The
// graph uses products, because Where is slow on ONNX Runtime.)
//
// QDrop (arXiv 2203.05740), section 3.3.
func DropQuantize(x, scale *Node, zero float32, mask *Node, bits int) *Node {
	return levelRange(zero, bits).dropQuantize(x, scale, mask)
}

// RoundToLevels is FakeQuantize without gradient, and with a zero point that is a node.
func RoundToLevels(x, scale, zero *Node, bits int) *Node {
	level := ClipScalar(Add(Round(Div(x, scale)), zero), 0, outermost(bits))
	return Mul(Sub(level, zero), scale)
}

// levels is the range of integers to which x/scale is rounded. A bound that values can't reach is infinite, which saves
// an operation on activations.
type levels struct{ lo, hi float64 }

func levelRange(zero float32, bits int) levels {
	return levels{float64(-zero), outermost(bits) - float64(zero)}
}

// notNegative drops the lower bound if only negative values reach it.
func (l levels) notNegative() levels {
	if l.lo <= 0 {
		l.lo = math.Inf(-1)
	}
	return l
}

// quantize is FakeQuantize.
func (l levels) quantize(x, scale *Node) *Node {
	r := l.round(x, scale)
	return models.WithGradient(Mul(r.clipped, scale), []*Node{x, scale}, []func(v *Node) *Node{
		func(v *Node) *Node { return Sub(v, Mul(v, r.outside())) },
		func(v *Node) *Node { return reduceLike(Mul(v, r.slope()), scale) },
	})
}

// dropQuantize is DropQuantize.
func (l levels) dropQuantize(x, scale, mask *Node) *Node {
	r := l.round(x, scale)
	off := Sub(Mul(r.clipped, scale), x)
	y := Add(x, Mul(mask, off))
	var masked, clipped *Node // the gradient where x is quantised, and where it is also clipped
	part := func(v *Node) {
		if masked == nil {
			masked = Mul(v, mask)
			clipped = Mul(masked, r.outside())
		}
	}
	return models.WithGradient(y, []*Node{x, scale}, []func(v *Node) *Node{
		func(v *Node) *Node { part(v); return Sub(v, clipped) },
		func(v *Node) *Node { part(v); return Div(Add(inner(masked, off), inner(clipped, x)), scale) },
	})
}

// inner returns the sum of the products of x and y. (As a product of vectors it takes twice as long on ONNX Runtime.)
func inner(x, y *Node) *Node { return ReduceAllSum(Mul(x, y)) }

// rounded holds the nodes that take x/scale to its level.
type rounded struct {
	l                   levels
	u, nearest, clipped *Node // x/scale; the nearest integer; the nearest level
	outsideOnce         *Node // the result of outside, once it was called
}

func (l levels) round(x, scale *Node) *rounded {
	r := &rounded{l: l, u: Div(x, scale)}
	r.nearest = Round(r.u)
	r.clipped = MinScalar(r.nearest, l.hi)
	if !math.IsInf(l.lo, -1) {
		r.clipped = MaxScalar(r.clipped, l.lo)
	}
	return r
}

// outside returns 1 where a value was clipped, and 0 elsewhere.
func (r *rounded) outside() *Node {
	if r.outsideOnce == nil {
		out := NotEqual(r.clipped, r.nearest)
		if math.IsInf(r.l.lo, -1) {
			out = GreaterThan(r.nearest, Scalar(r.nearest.Graph(), r.nearest.DType(), r.l.hi))
		}
		r.outsideOnce = ConvertDType(out, r.u.DType())
	}
	return r.outsideOnce
}

// slope returns the derivative with respect to the scale.
func (r *rounded) slope() *Node {
	return Add(Sub(r.clipped, r.u), Mul(r.outside(), r.u))
}

// reduceLike sums x over the axes along which like was broadcast to the shape of x.
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
	level := clip(Add(base, RectifiedSigmoid(alpha)), 0, outermost(bits))
	return Mul(scale, Sub(level, zero))
}

// RectifiedSigmoid returns h(α) = clip(1.2·sigmoid(α) - 0.1, 0, 1), the fraction by which a weight is rounded up.
// (AdaRound, arXiv 2004.10568, section 4)
func RectifiedSigmoid(alpha *Node) *Node {
	return clip(AddScalar(MulScalar(Sigmoid(alpha), 1.2), -0.1), 0, 1)
}

// clip is ClipScalar with PyTorch's gradient, which is 1 on the bounds, too. It takes a fifth of the operations.
func clip(x *Node, lo, hi float64) *Node {
	y := MaxScalar(MinScalar(x, hi), lo)
	return models.WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
		return Mul(v, ConvertDType(Equal(y, x), v.DType()))
	}})
}
