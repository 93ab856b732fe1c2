package models

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// BinaryFunc is a function of two numbers. Its String is the name of the ONNX operator, in lower case.
type BinaryFunc int

// The functions of x and y.
const (
	BinaryAdd BinaryFunc = iota // x + y
	BinarySub                   // x - y
	BinaryMul                   // x·y
	BinaryDiv                   // x/y
	BinaryPow                   // x^y; the gradient for y is 0 where x is 0 and y >= 0, as PyTorch's
	BinaryMax                   // the larger; each gets half of the gradient where both are equal, as in PyTorch
	BinaryMin                   // the smaller; gradients as BinaryMax's
	binaryCount
)

// String returns the function's name: "add".
func (f BinaryFunc) String() string {
	if f < 0 || f >= binaryCount {
		return fmt.Sprintf("BinaryFunc(%d)", int(f))
	}
	return [binaryCount]string{"add", "sub", "mul", "div", "pow", "max", "min"}[f]
}

func (f BinaryFunc) check() error {
	if f < 0 || f >= binaryCount {
		return fmt.Errorf("has function %d; it must be below %d", f, binaryCount)
	}
	return nil
}

// graph returns the function of x and y, whose first axis is the images, or 1 for the same values for every image.
func (f BinaryFunc) graph(x, y *Node) *Node {
	switch f {
	case BinaryPow:
		return power(repeated(x, y))
	case BinaryMax:
		x, y = repeated(x, y)
		return extreme(Max(x, y), x, y)
	case BinaryMin:
		x, y = repeated(x, y)
		return extreme(Min(x, y), x, y)
	}
	x, y = ranked(x, y)
	return [BinaryPow]func(x, y *Node) *Node{Add, Sub, Mul, Div}[f](x, y)
}

// extreme returns z, the maximum or minimum of x and y.
func extreme(z, x, y *Node) *Node {
	share := func(of, other *Node) func(v *Node) *Node {
		return func(v *Node) *Node {
			taken, equal := ConvertDType(Equal(of, z), v.DType()), ConvertDType(Equal(of, other), v.DType())
			return Mul(v, Sub(taken, MulScalar(equal, 0.5)))
		}
	}
	return WithGradient(z, []*Node{x, y}, []func(v *Node) *Node{share(x, y), share(y, x)})
}

// power returns x^y.
func power(x, y *Node) *Node {
	z := Pow(x, y)
	return WithGradient(z, []*Node{x, y}, []func(v *Node) *Node{
		func(v *Node) *Node {
			one := ScalarOne(y.Graph(), y.DType())
			return Mul(v, Mul(y, Pow(x, Where(Equal(y, ZerosLike(y)), OnesLike(y), Sub(y, one)))))
		},
		func(v *Node) *Node {
			flat := LogicalAnd(Equal(x, ZerosLike(x)), GreaterOrEqual(y, ZerosLike(y)))
			return Mul(v, Mul(z, Log(Where(flat, OnesLike(x), x))))
		},
	})
}

// Binary is a function of two tensors, number by number, broadcast by NumPy's rule.
type Binary struct {
	Base
	Func BinaryFunc
}

// Kind returns "binary-" and the function's name.
func (b Binary) Kind() string { return "binary-" + b.Func.String() }

// Inputs returns 2.
func (Binary) Inputs() int { return 2 }

// Check reports an unknown function.
func (b Binary) Check() error { return b.Func.check() }

// Shape returns the shape that both inputs broadcast to.
func (Binary) Shape(in [][]int) ([]int, error) { return Broadcast(in[0], in[1]) }

// Graph returns f(x, y).
func (b Binary) Graph(in []*Node, _ func(name string) *Node) *Node { return b.Func.graph(in[0], in[1]) }

// WithConstant is f(x, value), or f(value, x) if Flip is set, broadcast by NumPy's rule.
type WithConstant struct {
	Base
	Func BinaryFunc
	Dims []int // shape of its weight "value", without the images
	Flip bool  // value is the first argument
}

// Kind returns "constant-" and the function's name.
func (c WithConstant) Kind() string { return "constant-" + c.Func.String() }

// Check reports an unknown function.
func (c WithConstant) Check() error { return c.Func.check() }

// Params returns value.
func (c WithConstant) Params() []Param { return []Param{{Name: "value", Shape: c.Dims}} }

// Shape returns the shape that the input and value broadcast to.
func (c WithConstant) Shape(in [][]int) ([]int, error) { return Broadcast(in[0], c.Dims) }

// Graph returns f(x, value), or f(value, x).
func (c WithConstant) Graph(in []*Node, param func(name string) *Node) *Node {
	x, value := in[0], asImage(param("value"))
	if c.Flip {
		x, value = value, x
	}
	return c.Func.graph(x, value)
}
