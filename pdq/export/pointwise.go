package export

import (
	"fmt"
	"math"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/models"
)

// pointwise adds a function of each number: an operator of ONNX, or several where opset 13 has none.
func (b *builder) pointwise(y, x string, op models.Pointwise) error {
	in := []string{x}
	part := func(name string) string { return y + "." + name }
	switch op.Func {
	case models.FuncHardSwish:
		b.node("HardSigmoid", part("gate"), in, float("alpha", 1.0/6), float("beta", 0.5))
		b.node("Mul", y, []string{x, part("gate")})
	case models.FuncSiLU:
		b.node("Sigmoid", part("gate"), in)
		b.node("Mul", y, []string{x, part("gate")})
	case models.FuncMish:
		b.node("Softplus", part("softplus"), in)
		b.node("Tanh", part("gate"), []string{part("softplus")})
		b.node("Mul", y, []string{x, part("gate")})
	case models.FuncGELU:
		b.scaled("Mul", part("scaled"), x, math.Sqrt2/2)
		b.node("Erf", part("erf"), []string{part("scaled")})
		b.halved(y, x, part("erf"))
	case models.FuncGELUTanh: // x/2·(1+tanh(sqrt(2/π)·(x+0.044715x³)))
		b.node("Mul", part("square"), []string{x, x})
		b.scaled("Mul", part("small"), part("square"), 0.044715)
		b.scaled("Add", part("factor"), part("small"), 1)
		b.node("Mul", part("inner"), []string{x, part("factor")})
		b.scaled("Mul", part("scaled"), part("inner"), math.Sqrt(2/math.Pi))
		b.node("Tanh", part("tanh"), []string{part("scaled")})
		b.halved(y, x, part("tanh"))
	case models.FuncClip:
		b.clip(y, x, float32(op.A), float32(op.B))
	case models.FuncAffine:
		b.scaled("Mul", part("scaled"), x, op.A)
		b.scaled("Add", y, part("scaled"), op.B)
	case models.FuncPow:
		b.scaled("Pow", y, x, op.A)
	default:
		name, attributes := operator(op)
		if name == "" {
			return fmt.Errorf("the function %v can't be written; add it to package export", op.Func)
		}
		b.node(name, y, in, attributes...)
	}
	return nil
}

// operator returns the operator of ONNX that computes a function alone, or "".
func operator(op models.Pointwise) (name string, attributes []*protos.AttributeProto) {
	switch op.Func {
	case models.FuncHardSigmoid:
		return "HardSigmoid", []*protos.AttributeProto{float("alpha", op.A), float("beta", op.B)}
	case models.FuncELU:
		return "Elu", []*protos.AttributeProto{float("alpha", op.A)}
	case models.FuncSELU:
		return "Selu", []*protos.AttributeProto{float("alpha", op.A), float("gamma", op.B)}
	case models.FuncCELU:
		return "Celu", []*protos.AttributeProto{float("alpha", op.A)}
	case models.FuncLeakyReLU:
		return "LeakyRelu", []*protos.AttributeProto{float("alpha", op.A)}
	case models.FuncThresholdedReLU:
		return "ThresholdedRelu", []*protos.AttributeProto{float("alpha", op.A)}
	}
	return map[models.Func]string{models.FuncSigmoid: "Sigmoid", models.FuncTanh: "Tanh",
		models.FuncSoftplus: "Softplus", models.FuncSoftsign: "Softsign", models.FuncExp: "Exp", models.FuncLog: "Log",
		models.FuncSqrt: "Sqrt", models.FuncNeg: "Neg", models.FuncAbs: "Abs", models.FuncErf: "Erf",
		models.FuncReciprocal: "Reciprocal", models.FuncSin: "Sin", models.FuncCos: "Cos"}[op.Func], nil
}

// scaled adds y = f(x, c), where op names f.
func (b *builder) scaled(op, y, x string, c float64) {
	b.node(op, y, []string{x, b.constant(floatTensor(y+".constant", nil, []float32{float32(c)}))})
}

// halved adds y = x/2·(1+t).
func (b *builder) halved(y, x, t string) {
	b.scaled("Add", y+".sum", t, 1)
	b.scaled("Mul", y+".half", x, 0.5)
	b.node("Mul", y, []string{y + ".half", y + ".sum"})
}
