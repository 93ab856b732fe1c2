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
// straight through round, but not through clip: for x and s it is 1 and round(x/s)-x/s where clip lets it pass, 0 and
// the level, less z, elsewhere. edges says whether clip lets it pass on the outermost levels.
//
// Reference: UniformAffineQuantizer.forward in quant/quant_layer.py.
func FakeQuantize(x, scale *Node, zero float32, bits int, edges Edges) *Node {
	return levelRange(zero, bits, edges).quantize(x, scale)
}

// DropQuantize returns FakeQuantize where mask is 1, and x where it is 0. mask has the shape of x and no gradient. (The
// graph uses products, because Where is slow on ONNX Runtime.)
//
// QDrop (arXiv 2203.05740), section 3.3.
func DropQuantize(x, scale *Node, zero float32, mask *Node, bits int, edges Edges) *Node {
	return levelRange(zero, bits, edges).dropQuantize(x, scale, mask)
}

// RoundToLevels is FakeQuantize without gradient, and with a zero point that is a node.
func RoundToLevels(x, scale, zero *Node, bits int) *Node {
	level := ClipScalar(Add(Round(Div(x, scale)), zero), 0, outermost(bits))
	return Mul(Sub(level, zero), scale)
}

// levels is the range of integers to which x/scale is rounded.
type levels struct {
	lo, hi float64
	// The gradient is blocked below inner and above outer. Levels are integers, so that blocking on an outermost level
	// is blocking beyond its neighbour.
	inner, outer float64
}

func levelRange(zero float32, bits int, edges Edges) levels {
	l := levels{lo: float64(-zero), hi: outermost(bits) - float64(zero)}
	l.inner, l.outer = l.lo, l.hi
	if edges.lowest() {
		l.inner++
	}
	if edges.highest() {
		l.outer--
	}
	return l
}

// notNegative drops the lower bounds that no value is below if none is negative, which saves operations on activations.
func (l levels) notNegative() levels {
	for _, bound := range []*float64{&l.lo, &l.inner} {
		if *bound <= 0 {
			*bound = math.Inf(-1)
		}
	}
	return l
}

// quantize is FakeQuantize.
func (l levels) quantize(x, scale *Node) *Node {
	given, x := x, withoutPixel(x, scale)
	r := l.round(x, scale)
	y := models.WithGradient(Mul(r.clipped, scale), []*Node{x, scale}, []func(v *Node) *Node{
		func(v *Node) *Node { return Sub(v, Mul(v, r.outside())) },
		func(v *Node) *Node { return reduceLike(Mul(v, r.slope()), scale) },
	})
	return inShape(y, given)
}

// inShape returns x in the shape of like. (A Reshape to the same shape isn't free on every backend.)
func inShape(x, like *Node) *Node {
	if x.Shape().Equal(like.Shape()) {
		return x
	}
	return Reshape(x, like.Shape().Dimensions...)
}

// withoutPixel returns x as [N,C] if it is [N,C,1,1] and scale is a scalar, see rows.
func withoutPixel(x, scale *Node) *Node {
	if x.Rank() == 4 && x.Shape().Dim(2) == 1 && x.Shape().Dim(3) == 1 && scale.IsScalar() {
		return Reshape(x, x.Shape().Dimensions[:2]...)
	}
	return x
}

// dropQuantize is DropQuantize.
func (l levels) dropQuantize(x, scale, mask *Node) *Node {
	given, x, mask := x, withoutPixel(x, scale), withoutPixel(mask, scale)
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
	y = models.WithGradient(y, []*Node{x, scale}, []func(v *Node) *Node{
		func(v *Node) *Node { part(v); return Sub(v, clipped) },
		func(v *Node) *Node {
			part(v)
			return Div(Add(reduceLike(Mul(masked, off), scale), reduceLike(Mul(clipped, x), scale)), scale)
		},
	})
	return inShape(y, given)
}

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

// outside returns 1 where the gradient is blocked, and 0 elsewhere.
func (r *rounded) outside() *Node {
	if r.outsideOnce == nil {
		r.outsideOnce = ConvertDType(r.blocked(), r.u.DType())
	}
	return r.outsideOnce
}

func (r *rounded) blocked() *Node {
	l := r.l
	if math.IsInf(l.inner, -1) {
		return GreaterThan(r.nearest, Scalar(r.nearest.Graph(), r.nearest.DType(), l.outer))
	}
	within := r.clipped
	if l.inner != l.lo || l.outer != l.hi {
		within = MaxScalar(MinScalar(r.nearest, l.outer), l.inner)
	}
	return NotEqual(within, r.nearest)
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
// base and alpha have the weight's shape; scale and zero broadcast against it. edges says on which bounds the clips of
// the level and of h(α) let the gradient pass. That matters little: where a level is on a bound, h(α) nearly always is
// beyond one of its own.
func SoftRound(base, alpha, scale, zero *Node, bits int, edges Edges) *Node {
	level := clip(Add(base, RectifiedSigmoid(alpha, edges)), 0, outermost(bits), edges)
	return Mul(scale, Sub(level, zero))
}

// RectifiedSigmoid returns h(α) = clip(1.2·sigmoid(α) - 0.1, 0, 1), the fraction by which a weight is rounded up. edges
// says on which bounds clip lets the gradient pass. (AdaRound, arXiv 2004.10568, section 4)
func RectifiedSigmoid(alpha *Node, edges Edges) *Node {
	return clip(AddScalar(MulScalar(Sigmoid(alpha), 1.2), -0.1), 0, 1, edges)
}

// clip is ClipScalar with torch.clamp's gradient, which edges chooses on the bounds. It takes a fifth of the
// operations.
func clip(x *Node, lo, hi float64, edges Edges) *Node {
	y := MaxScalar(MinScalar(x, hi), lo)
	return models.WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
		inside := Equal(y, x)
		if edges.lowest() {
			inside = LogicalAnd(inside, GreaterThan(x, Scalar(x.Graph(), x.DType(), lo)))
		}
		if edges.highest() {
			inside = LogicalAnd(inside, LessThan(x, Scalar(x.Graph(), x.DType(), hi)))
		}
		return Mul(v, ConvertDType(inside, v.DType()))
	}})
}
