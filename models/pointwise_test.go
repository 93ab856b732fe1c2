package models

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/testbackend"
)

// funcCase is a function with parameters a and b, and its plain form.
type funcCase struct {
	f        Func
	a, b     float64
	positive bool // its argument must be
	plain    func(x float64) float64
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// funcCases has every function.
func funcCases() []funcCase {
	exponential := func(a float64) func(x float64) float64 {
		return func(x float64) float64 {
			if x > 0 {
				return x
			}
			return a * (math.Exp(x) - 1)
		}
	}
	selu := exponential(1.6732632)
	return []funcCase{
		{FuncSigmoid, 0, 0, false, sigmoid},
		{FuncHardSigmoid, 0.2, 0.5, false, func(x float64) float64 { return min(max(0.2*x+0.5, 0), 1) }},
		{FuncHardSwish, 0, 0, false, func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }},
		{FuncSiLU, 0, 0, false, func(x float64) float64 { return x * sigmoid(x) }},
		{FuncMish, 0, 0, false, func(x float64) float64 { return x * math.Tanh(math.Log(1+math.Exp(x))) }},
		{FuncTanh, 0, 0, false, math.Tanh},
		{FuncGELU, 0, 0, false, func(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }},
		{FuncGELUTanh, 0, 0, false, func(x float64) float64 {
			return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}},
		{FuncELU, 0.7, 0, false, exponential(0.7)},
		{FuncSELU, 1.6732632, 1.050701, false, func(x float64) float64 { return 1.050701 * selu(x) }},
		{FuncCELU, 0.7, 0, false, func(x float64) float64 { return max(x, 0) + min(0, 0.7*(math.Exp(x/0.7)-1)) }},
		{FuncLeakyReLU, 0.1, 0, false, func(x float64) float64 { return max(x, 0.1*x) }},
		{FuncLeakyReLU, 1.5, 0, false, func(x float64) float64 { return min(x, 1.5*x) }},
		{FuncThresholdedReLU, 0.5, 0, false, func(x float64) float64 {
			if x > 0.5 {
				return x
			}
			return 0
		}},
		{FuncSoftplus, 0, 0, false, func(x float64) float64 { return math.Log(1 + math.Exp(x)) }},
		{FuncSoftsign, 0, 0, false, func(x float64) float64 { return x / (1 + math.Abs(x)) }},
		{FuncExp, 0, 0, false, math.Exp},
		{FuncLog, 0, 0, true, math.Log},
		{FuncSqrt, 0, 0, true, math.Sqrt},
		{FuncNeg, 0, 0, false, func(x float64) float64 { return -x }},
		{FuncAbs, 0, 0, false, math.Abs},
		{FuncErf, 0, 0, false, math.Erf},
		{FuncReciprocal, 0, 0, true, func(x float64) float64 { return 1 / x }},
		{FuncClip, -0.5, 1, false, func(x float64) float64 { return min(max(x, -0.5), 1) }},
		{FuncClip, 0, math.Inf(1), false, func(x float64) float64 { return max(x, 0) }},
		{FuncClip, math.Inf(-1), 1, false, func(x float64) float64 { return min(x, 1) }},
		{FuncAffine, 0.5, -3, false, func(x float64) float64 { return 0.5*x - 3 }},
		{FuncPow, 1.7, 0, true, func(x float64) float64 { return math.Pow(x, 1.7) }},
		{FuncPow, 2, 0, false, func(x float64) float64 { return x * x }},
		{FuncPow, 3, 0, false, func(x float64) float64 { return x * x * x }},
		{FuncPow, 0, 0, false, func(x float64) float64 { return 1 }},
		{FuncSin, 0, 0, false, math.Sin},
		{FuncCos, 0, 0, false, math.Cos},
	}
}

// TestPointwise compares every function and its gradient with the plain form, of arguments on both sides of its
// corners.
func TestPointwise(t *testing.T) {
	var cases []opCase
	seen := map[Func]bool{}
	for _, c := range funcCases() {
		seen[c.f] = true
		op := Pointwise{Func: c.f, A: c.a, B: c.b}
		if err := op.Check(); err != nil {
			t.Errorf("%v: %v", c.f, err)
		}
		arg, scale := normal(2, 3, 4, 5), 3.0
		if c.positive {
			arg, scale = positive(2, 3, 4, 5), 1
		}
		if c.f == FuncExp || c.f == FuncPow {
			scale = 1
		}
		cases = append(cases, opCase{c.f.String(), []operand{arg},
			func(a []*Node) *Node { return op.Graph([]*Node{MulScalar(a[0], scale)}, nil) },
			mapped(func(x float64) float64 { return c.plain(scale * x) })})
	}
	for f := range funcCount {
		if got, ok := PointwiseFunc(f.String()); !seen[f] || !ok || got != f {
			t.Errorf("%v: tested: %v; its name stands for %v", f, seen[f], got)
		}
	}
	compareOps(t, cases)
}

// TestPointwiseCorners takes arguments at corners, where outputs and gradients were compared with PyTorch 2.15's, and
// far out, where careless forms overflow.
func TestPointwiseCorners(t *testing.T) {
	for name, b := range testbackend.All(t) {
		for _, c := range []struct {
			op       Pointwise
			x, y, dx []float32
		}{
			{Pointwise{Func: FuncHardSigmoid, A: 0.25, B: 0.5}, []float32{-2, 0, 2}, []float32{0, 0.5, 1},
				[]float32{0, 0.25, 0}},
			{Pointwise{Func: FuncHardSwish}, []float32{-3, 0, 3}, []float32{0, 0, 3}, []float32{0, 0.5, 1}},
			{Pointwise{Func: FuncELU, A: 0.5}, []float32{0, -200, 200}, []float32{0, -0.5, 200}, []float32{0.5, 0, 1}},
			{Pointwise{Func: FuncCELU, A: 0.5}, []float32{0, -200, 200}, []float32{0, -0.5, 200}, []float32{1, 0, 1}},
			{Pointwise{Func: FuncLeakyReLU, A: 0.25}, []float32{0, -4}, []float32{0, -1}, []float32{0.25, 0.25}},
			{Pointwise{Func: FuncThresholdedReLU, A: 1}, []float32{1, 2}, []float32{0, 2}, []float32{0, 1}},
			{Pointwise{Func: FuncClip, A: -1, B: 1}, []float32{-1, 0, 1}, []float32{-1, 0, 1}, []float32{0, 1, 0}},
			{Pointwise{Func: FuncAbs}, []float32{-2, 0, 2}, []float32{2, 0, 2}, []float32{-1, 0, 1}},
			{Pointwise{Func: FuncPow, A: 0}, []float32{0, 2}, []float32{1, 1}, []float32{0, 0}},
			{Pointwise{Func: FuncPow, A: 2}, []float32{0, -2}, []float32{0, 4}, []float32{0, -4}},
			{Pointwise{Func: FuncSoftplus}, []float32{-200, 200}, []float32{0, 200}, []float32{0, 1}},
			{Pointwise{Func: FuncMish}, []float32{-200, 200}, []float32{0, 200}, []float32{0, 1}},
			{Pointwise{Func: FuncSiLU}, []float32{-200, 200}, []float32{0, 200}, []float32{0, 1}},
			{Pointwise{Func: FuncSigmoid}, []float32{-200, 200}, []float32{0, 1}, []float32{0, 0}},
			{Pointwise{Func: FuncGELU}, []float32{-200, 200}, []float32{0, 200}, []float32{0, 1}},
			{Pointwise{Func: FuncGELUTanh}, []float32{-200, 200}, []float32{0, 200}, []float32{0, 1}},
		} {
			out, err := CallOnceN(b, func(x *Node) []*Node {
				y := c.op.Graph([]*Node{x}, nil)
				return []*Node{y, Gradient(ReduceAllSum(y), x)[0]}
			}, c.x)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range [][]float32{c.y, c.dx} {
				got := tensors.MustCopyFlatData[float32](out[i])
				for k := range want {
					if !(math.Abs(float64(got[k]-want[k])) < 1e-6) {
						t.Errorf("%s on %s: %s of %v is %v, want %v", c.op.Kind(), name, []string{"output", "gradient"}[i], c.x,
							got, want)
						break
					}
				}
			}
		}
	}
}

// TestPointwiseCheck: parameters outside the domain are refused, and a role says what is never negative.
func TestPointwiseCheck(t *testing.T) {
	for _, p := range []Pointwise{{Func: -1}, {Func: funcCount}, {Func: FuncCELU}, {Func: FuncClip, A: 1, B: 0},
		{Func: FuncAffine, A: math.NaN()}} {
		if p.Check() == nil {
			t.Errorf("%v with %g and %g is accepted", p.Func, p.A, p.B)
		}
	}
	for _, c := range []struct {
		op   Pointwise
		want Role
	}{
		{Pointwise{Func: FuncSigmoid}, Role{NotNegative: true}},
		{Pointwise{Func: FuncGELU}, Role{}},
		{Pointwise{Func: FuncClip, A: 0, B: 6}, Role{NotNegative: true}},
		{Pointwise{Func: FuncClip, A: -1, B: 1}, Role{}},
		{Pointwise{Func: FuncExp}, Role{NotNegative: true}},
	} {
		if got := c.op.Role(); got != c.want {
			t.Errorf("%v from %g has role %+v, want %+v", c.op.Func, c.op.A, got, c.want)
		}
	}
}
