package models

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// Reduce makes one number of all the numbers along some axes of an image.
type Reduce struct {
	Base
	Func ReduceFunc
	Axes []int // of an image, each once
	Keep bool  // whether they stay, with size 1
}

// ReduceFunc is what Reduce computes.
type ReduceFunc int

// The functions of Reduce.
const (
	ReduceByMean      ReduceFunc = iota // the mean
	ReduceBySum                         // the sum
	ReduceByMax                         // the maximum; equal ones share the gradient evenly, as in PyTorch's amax
	ReduceByMin                         // the minimum; likewise
	ReduceByProduct                     // the product
	ReduceByL1                          // the sum of absolute values
	ReduceByL2                          // the root of the sum of squares; its gradient is 0 where it is 0, as in PyTorch
	ReduceBySumSquare                   // the sum of squares
	ReduceByLogSumExp                   // the logarithm of the sum of exponentials
)

// String returns the function's name: "mean".
func (f ReduceFunc) String() string {
	names := []string{"mean", "sum", "max", "min", "product", "l1", "l2", "sum-square", "log-sum-exp"}
	if f < 0 || int(f) >= len(names) {
		return fmt.Sprintf("ReduceFunc(%d)", int(f))
	}
	return names[f]
}

// Kind returns "reduce".
func (Reduce) Kind() string { return "reduce" }

// Role says that a mean or an extreme passes its input on.
func (r Reduce) Role() Role {
	return Role{Passes: r.Func == ReduceByMean || r.Func == ReduceByMax || r.Func == ReduceByMin}
}

// Check reports an unknown function, no axes, and axes named twice.
func (r Reduce) Check() error {
	if r.Func < 0 || r.Func > ReduceByLogSumExp {
		return fmt.Errorf("computes %v, which is no function of it", r.Func)
	}
	axes := slices.Sorted(slices.Values(r.Axes))
	if len(axes) == 0 || axes[0] < 0 || len(slices.Compact(axes)) < len(r.Axes) {
		return fmt.Errorf("reduces axes %v; it takes one or more, counted from 0, each once", r.Axes)
	}
	return nil
}

// Shape returns the input's shape without Axes, or with size 1 there if Keep is set. Without any axis left it is [1].
func (r Reduce) Shape(in [][]int) ([]int, error) {
	if err := wantsAxis(in[0], slices.Max(r.Axes)); err != nil {
		return nil, err
	}
	return r.left(in[0]), nil
}

// left returns what Axes leave of a shape.
func (r Reduce) left(shape []int) []int {
	var out []int
	for a, size := range shape {
		switch {
		case !slices.Contains(r.Axes, a):
			out = append(out, size)
		case r.Keep:
			out = append(out, 1)
		}
	}
	if len(out) == 0 {
		out = []int{1}
	}
	return out
}

// Graph returns the reduced images.
func (r Reduce) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	axes := make([]int, len(r.Axes))
	for i, a := range r.Axes {
		axes[i] = a + 1
	}
	dims := x.Shape().Dimensions
	return reshaped(r.Func.of(x, axes), slices.Concat(dims[:1], r.left(dims[1:])))
}

// of reduces axes of x. They stay, with size 1.
func (f ReduceFunc) of(x *Node, axes []int) *Node {
	keep := func(x *Node, reduce func(x *Node, axes ...int) *Node) *Node { return ReduceAndKeep(x, reduce, axes...) }
	switch f {
	case ReduceByMean:
		return keep(x, ReduceMean)
	case ReduceBySum:
		return keep(x, ReduceSum)
	case ReduceByMax:
		return shared(keep(x, ReduceMax), x, axes)
	case ReduceByMin:
		return shared(keep(x, ReduceMin), x, axes)
	case ReduceByProduct:
		return product(x, axes)
	case ReduceByL1:
		return keep(Mul(x, StopGradient(Sign(x))), ReduceSum) // GoMLX's gradient of Abs is 1 at 0
	case ReduceByL2:
		y := Sqrt(keep(Square(x), ReduceSum))
		return WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
			return Mul(x, Div(v, Add(y, ConvertDType(Equal(y, ScalarZero(y.Graph(), y.DType())), y.DType()))))
		}})
	case ReduceBySumSquare:
		return keep(Square(x), ReduceSum)
	case ReduceByLogSumExp:
		most := StopGradient(keep(x, ReduceMax))
		return Add(Log(keep(Exp(Sub(x, most)), ReduceSum)), most)
	}
	panic(fmt.Errorf("models: reduce has no function %v", f)) // Check reports it
}

// shared returns y, the maximum or minimum of x over axes, with a gradient that equal ones share. GoMLX's own gradient
// goes to each of them in full.
func shared(y, x *Node, axes []int) *Node {
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
		at := ConvertDType(Equal(x, y), v.DType())
		return Mul(at, Div(v, ReduceAndKeep(at, ReduceSum, axes...)))
	}})
}

// product returns the product of x over axes. Its gradient, the product of the others, is right at zeros too: it is the
// product without zeros, or 0 if another one is zero.
func product(x *Node, axes []int) *Node {
	y := ReduceAndKeep(x, ReduceMultiply, axes...)
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
		zero := ConvertDType(Equal(x, ScalarZero(x.Graph(), x.DType())), x.DType())
		filled := Add(x, zero)
		others := Div(ReduceAndKeep(filled, ReduceMultiply, axes...), filled)
		alone := ConvertDType(Equal(zero, ReduceAndKeep(zero, ReduceSum, axes...)), x.DType())
		return Mul(Mul(v, others), alone)
	}})
}
