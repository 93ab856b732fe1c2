package models

import (
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
)

// Pointwise is a function of each number by itself.
type Pointwise struct {
	Base
	Func Func
	A, B float64 // the function's parameters; see Func
}

// Kind returns the function's name: "sigmoid".
func (p Pointwise) Kind() string { return p.Func.String() }

// Check reports an unknown function, and parameters outside its domain.
func (p Pointwise) Check() error {
	switch {
	case p.Func < 0 || p.Func >= funcCount:
		return fmt.Errorf("has function %d; it must be below %d", p.Func, funcCount)
	case math.IsNaN(p.A) || math.IsNaN(p.B):
		return fmt.Errorf("has parameters %g and %g; they must be numbers", p.A, p.B)
	case p.Func == FuncCELU && p.A == 0:
		return fmt.Errorf("divides by A, which is 0; it must be another number")
	case p.Func == FuncClip && p.A > p.B:
		return fmt.Errorf("clips to %g..%g; the lower bound must not be above the upper one", p.A, p.B)
	}
	return nil
}

// Role says whether the output can be negative.
func (p Pointwise) Role() Role {
	above := (p.Func == FuncClip || p.Func == FuncThresholdedReLU) && p.A >= 0
	return Role{NotNegative: p.Func.definition().notNegative || above}
}

// Graph returns the function of each number. Where the function has a corner, the gradient is that of PyTorch 2.15.
func (p Pointwise) Graph(in []*Node, _ func(name string) *Node) *Node {
	x, f := in[0], p.Func.definition()
	y := f.value(x, p.A, p.B)
	if f.slope == nil {
		return y
	}
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{
		func(v *Node) *Node { return Mul(v, f.slope(x, y, p.A, p.B)) },
	})
}

// Func is a function of one number. Its String is the name of the ONNX operator, in lower case.
type Func int

// The functions of x, with parameters A and B.
const (
	FuncSigmoid         Func = iota // 1/(1+e^-x)
	FuncHardSigmoid                 // A·x+B, clipped to 0..1; the gradient is 0 on the bounds
	FuncHardSwish                   // x·(x/6+1/2), the factor clipped to 0..1; the gradient is 0 at -3 and 1 at 3
	FuncSiLU                        // x·sigmoid(x)
	FuncMish                        // x·tanh(softplus(x))
	FuncTanh                        // tanh(x)
	FuncGELU                        // x·Φ(x), Φ the normal distribution
	FuncGELUTanh                    // FuncGELU, by a formula with tanh that is close to it
	FuncELU                         // x, or A·(e^x-1) for x <= 0; the gradient is A at 0
	FuncSELU                        // B·ELU(x); the gradient is A·B at 0
	FuncCELU                        // x, or A·(e^(x/A)-1) for x <= 0
	FuncLeakyReLU                   // x, or A·x for x <= 0; the gradient is A at 0
	FuncThresholdedReLU             // x, or 0 for x <= A; the gradient is 0 at A
	FuncSoftplus                    // log(1+e^x)
	FuncSoftsign                    // x/(1+|x|)
	FuncExp                         // e^x
	FuncLog                         // the natural logarithm
	FuncSqrt                        // the square root
	FuncNeg                         // -x
	FuncAbs                         // |x|; the gradient is 0 at 0
	FuncErf                         // the error function
	FuncReciprocal                  // 1/x
	FuncClip                        // x, clipped to A..B; the gradient is 0 on the bounds, as ReLU6's
	FuncAffine                      // A·x+B
	FuncPow                         // x^A
	FuncSin                         // sin(x), x in radians
	FuncCos                         // cos(x), x in radians
	funcCount
)

// String returns the function's name: "sigmoid".
func (f Func) String() string {
	if f < 0 || f >= funcCount {
		return fmt.Sprintf("Func(%d)", int(f))
	}
	return f.definition().name
}

// PointwiseFunc returns the function called name, and whether there is one.
func PointwiseFunc(name string) (Func, bool) {
	for f := range funcCount {
		if f.String() == name {
			return f, true
		}
	}
	return 0, false
}
