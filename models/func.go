package models

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// funcDefinition is what Pointwise knows of a function.
type funcDefinition struct {
	name        string
	notNegative bool // its values are never below 0, whatever the parameters
	value       func(x *Node, a, b float64) *Node
	slope       func(x, y *Node, a, b float64) *Node // the derivative; y is the value; nil: GoMLX's own gradient
}

// definition returns the table's row of f.
func (f Func) definition() funcDefinition {
	return [funcCount]funcDefinition{
		FuncSigmoid:     {"sigmoid", true, plain(Sigmoid), nil},
		FuncHardSigmoid: {"hardsigmoid", true, hardSigmoid, hardSigmoidSlope},
		FuncHardSwish:   {"hardswish", false, hardSwish, hardSwishSlope},
		FuncSiLU:        {"silu", false, plain(silu), siluSlope},
		FuncMish:        {"mish", false, plain(mish), mishSlope},
		FuncTanh:        {"tanh", false, plain(Tanh), nil},
		FuncGELU:        {"gelu", false, plain(gelu), nil},
		FuncGELUTanh:    {"gelu-tanh", false, plain(geluTanh), nil},
		FuncELU:         {"elu", false, elu, eluSlope},
		FuncSELU: {"selu", false,
			func(x *Node, a, b float64) *Node { return MulScalar(elu(x, a, 0), b) },
			func(x, y *Node, a, b float64) *Node { return MulScalar(eluSlope(x, y, a, 0), b) }},
		FuncCELU:            {"celu", false, celu, celuSlope},
		FuncLeakyReLU:       {"leakyrelu", false, leakyReLU, leakyReLUSlope},
		FuncThresholdedReLU: {"thresholdedrelu", false, thresholdedReLU, thresholdedReLUSlope},
		FuncSoftplus:        {"softplus", true, plain(softplus), softplusSlope},
		FuncSoftsign:        {"softsign", false, plain(softsign), softsignSlope},
		FuncExp:             {"exp", true, plain(Exp), nil},
		FuncLog:             {"log", false, plain(Log), nil},
		FuncSqrt:            {"sqrt", true, plain(Sqrt), nil},
		FuncNeg:             {"neg", false, plain(Neg), nil},
		FuncAbs: {"abs", true, plain(Abs),
			func(x, _ *Node, _, _ float64) *Node { return Sign(x) }},
		FuncErf:        {"erf", false, plain(Erf), nil},
		FuncReciprocal: {"reciprocal", false, plain(Reciprocal), nil},
		FuncClip:       {"clip", false, clip, clipSlope},
		FuncAffine: {"affine", false,
			func(x *Node, a, b float64) *Node { return AddScalar(MulScalar(x, a), b) }, nil},
		FuncPow: {"pow", false, pow, powSlope},
		FuncSin: {"sin", false, plain(Sin), nil},
		FuncCos: {"cos", false, plain(Cos), nil},
	}[f]
}

// plain makes a table entry of a function without parameters.
func plain(f func(x *Node) *Node) func(x *Node, a, b float64) *Node {
	return func(x *Node, _, _ float64) *Node { return f(x) }
}

// above returns 1 where x > c, and 0 elsewhere.
func above(x *Node, c float64) *Node {
	return ConvertDType(GreaterThan(x, Scalar(x.Graph(), x.DType(), c)), x.DType())
}

// below returns 1 where x < c, and 0 elsewhere.
func below(x *Node, c float64) *Node {
	return ConvertDType(LessThan(x, Scalar(x.Graph(), x.DType(), c)), x.DType())
}

// negativePart returns min(x, 0).
func negativePart(x *Node) *Node { return MinScalar(x, 0.0) }

func hardSigmoid(x *Node, a, b float64) *Node {
	return MinScalar(positivePart(AddScalar(MulScalar(x, a), b)), 1.0)
}

func hardSigmoidSlope(_, y *Node, a, _ float64) *Node {
	return MulScalar(Mul(above(y, 0), below(y, 1)), a)
}

func hardSwish(x *Node, _, _ float64) *Node { return Mul(x, hardSigmoid(x, 1.0/6, 0.5)) }

func hardSwishSlope(x, _ *Node, _, _ float64) *Node {
	low := below(x, 3)
	middle := Mul(Mul(above(x, -3), low), AddScalar(DivScalar(x, 3.0), 0.5))
	return Add(middle, OneMinus(low))
}

func silu(x *Node) *Node { return Mul(x, Sigmoid(x)) }

func siluSlope(x, y *Node, _, _ float64) *Node {
	s := Sigmoid(x)
	return Add(s, Mul(y, OneMinus(s)))
}

func mish(x *Node) *Node { return Mul(x, Tanh(softplus(x))) }

func mishSlope(x, _ *Node, _, _ float64) *Node {
	t := Tanh(softplus(x))
	return Add(t, Mul(Mul(x, Sigmoid(x)), OneMinus(Square(t))))
}

func gelu(x *Node) *Node {
	return Mul(MulScalar(x, 0.5), OnePlus(Erf(MulScalar(x, math.Sqrt2/2))))
}

// geluTanh is x/2·(1+tanh(sqrt(2/π)·(x+0.044715x³))): Hendrycks and Gimpel 2016, section 2.
func geluTanh(x *Node) *Node {
	inner := MulScalar(Mul(x, OnePlus(MulScalar(Square(x), 0.044715))), math.Sqrt(2/math.Pi))
	return Mul(MulScalar(x, 0.5), OnePlus(Tanh(inner)))
}

// expm1 is e^x-1 as tanh(x/2)·(e^x+1), which is exact near 0. ONNX Runtime has no operator for it.
func expm1(x *Node) *Node { return Mul(Tanh(MulScalar(x, 0.5)), OnePlus(Exp(x))) }

func elu(x *Node, a, _ float64) *Node {
	return Add(positivePart(x), MulScalar(expm1(negativePart(x)), a))
}

func eluSlope(x, _ *Node, a, _ float64) *Node {
	positive := above(x, 0)
	return Add(positive, Mul(OneMinus(positive), MulScalar(Exp(negativePart(x)), a)))
}

func celu(x *Node, a, _ float64) *Node {
	return Add(positivePart(x), MulScalar(expm1(DivScalar(negativePart(x), a)), a))
}

func celuSlope(x, _ *Node, a, _ float64) *Node { return Exp(DivScalar(negativePart(x), a)) }

func leakyReLU(x *Node, a, _ float64) *Node {
	return Add(positivePart(x), MulScalar(negativePart(x), a))
}

func leakyReLUSlope(x, _ *Node, a, _ float64) *Node { return AddScalar(MulScalar(above(x, 0), 1-a), a) }

func thresholdedReLU(x *Node, a, _ float64) *Node { return Mul(x, above(x, a)) }

func thresholdedReLUSlope(x, _ *Node, a, _ float64) *Node { return above(x, a) }

// softplus is max(x, 0) + log(1+e^-|x|), which doesn't overflow.
func softplus(x *Node) *Node { return Add(positivePart(x), Log1p(Exp(Neg(Abs(x))))) }

func softplusSlope(x, _ *Node, _, _ float64) *Node { return Sigmoid(x) }

func softsign(x *Node) *Node { return Div(x, OnePlus(Abs(x))) }

func softsignSlope(x, _ *Node, _, _ float64) *Node { return Reciprocal(Square(OnePlus(Abs(x)))) }

func clip(x *Node, a, b float64) *Node {
	if a == 0 {
		x = positivePart(x)
	} else {
		x = MaxScalar(x, a)
	}
	return MinScalar(x, b)
}

func clipSlope(_, y *Node, a, b float64) *Node { return Mul(above(y, a), below(y, b)) }

func pow(x *Node, a, _ float64) *Node {
	if a == 2 {
		return Square(x)
	}
	return PowScalar(x, a)
}

func powSlope(x, _ *Node, a, _ float64) *Node {
	switch a {
	case 0:
		return ZerosLike(x)
	case 2:
		return MulScalar(x, 2.0)
	}
	return MulScalar(PowScalar(x, a-1), a)
}
