package models

import (
	"fmt"
	"math"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/testbackend"
)

// plainMatrixProduct multiplies the matrices of x and y, whose leading shapes, images among them, are a and b.
func plainMatrixProduct(a, b []int, m, k, p int) func(args [][]float64) []float64 {
	shape, err := Broadcast(a, b)
	if err != nil {
		panic(err)
	}
	return func(args [][]float64) []float64 {
		// The index of each product's operands, by the same broadcasting.
		numbers := func(dims []int) []float64 {
			v := make([]float64, size(dims))
			for i := range v {
				v[i] = float64(i)
			}
			return v
		}
		first := plainBroadcast(func(x, _ float64) float64 { return x }, 1, a, b, shape)([][]float64{numbers(a), numbers(b)})
		second := plainBroadcast(func(_, y float64) float64 { return y }, 1, a, b, shape)([][]float64{numbers(a), numbers(b)})
		var z []float64
		for i := range first {
			x, y := args[0][int(first[i])*m*k:], args[1][int(second[i])*k*p:]
			for r := range m {
				for c := range p {
					sum := 0.0
					for l := range k {
						sum += x[r*k+l] * y[l*p+c]
					}
					z = append(z, sum)
				}
			}
		}
		return z
	}
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// TestMatrixProduct has operands with the same leading axes, broadcast ones, and one for all images.
func TestMatrixProduct(t *testing.T) {
	const m, k, p = 2, 3, 4
	var cases []opCase
	for _, c := range []struct{ a, b []int }{
		{[]int{2}, []int{2}},
		{[]int{2, 3}, []int{2, 3}},
		{[]int{2, 3}, []int{1, 1}},
		{[]int{2, 3}, []int{1, 3}},
		{[]int{2, 1, 3}, []int{2, 2, 1}},
		{[]int{1, 1}, []int{2, 3}},
	} {
		x, y := normal(append(slices.Clone(c.a), m, k)...), normal(append(slices.Clone(c.b), k, p)...)
		cases = append(cases, layerCase(fmt.Sprintf("product, leading %v and %v", c.a, c.b), MatrixProduct{},
			[]operand{x, y}, plainMatrixProduct(c.a, c.b, m, k, p)))
	}
	// Ranks differ: the shorter shape gets axes after the images.
	cases = append(cases,
		layerCase("product of ranks 4 and 3", MatrixProduct{}, []operand{normal(2, 3, m, k), normal(2, k, p)},
			plainMatrixProduct([]int{2, 3}, []int{2, 1}, m, k, p)),
		layerCase("product of ranks 3 and 4", MatrixProduct{}, []operand{normal(1, m, k), normal(2, 3, k, p)},
			plainMatrixProduct([]int{1, 1}, []int{2, 3}, m, k, p)),
		layerCase("linear of a sequence", Linear{In: 4, Out: 3}, []operand{normal(2, 5, 4), normal(3, 4), normal(3)},
			plainLinear),
		layerCase("linear of a map", Linear{In: 4, Out: 3}, []operand{normal(2, 2, 5, 4), normal(3, 4), normal(3)},
			plainLinear))
	compareOps(t, cases)
}

// TestProductShapes: shapes of products, and what they refuse.
func TestProductShapes(t *testing.T) {
	for _, c := range []struct {
		op   Op
		in   [][]int
		want []int
	}{
		{MatrixProduct{}, [][]int{{2, 3}, {3, 4}}, []int{2, 4}},
		{MatrixProduct{}, [][]int{{5, 1, 2, 3}, {6, 3, 4}}, []int{5, 6, 2, 4}},
		{MatrixProduct{}, [][]int{{2, 3}, {2, 4}}, nil},
		{MatrixProduct{}, [][]int{{3}, {3, 4}}, nil},
		{MatrixProduct{}, [][]int{{5, 2, 3}, {6, 3, 4}}, nil},
		{Linear{In: 3, Out: 2}, [][]int{{7, 3}}, []int{7, 2}},
		{Linear{In: 3, Out: 2}, [][]int{{3, 7}}, nil},
		{SoftMax{Axis: 1}, [][]int{{3, 7}}, []int{3, 7}},
		{SoftMax{Axis: 2}, [][]int{{3, 7}}, nil},
		{SoftMax{Axis: -1}, [][]int{{3, 7}}, nil},
	} {
		got, err := c.op.Shape(c.in)
		if (err == nil) != (c.want != nil) || err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%s of %v: %v, %v; want %v", c.op.Kind(), c.in, got, err, c.want)
		}
	}
}

// plainSoftMax is the softmax of x [...,n,inner] along n, or its logarithm.
func plainSoftMax(n, inner int, log bool) func(args [][]float64) []float64 {
	return func(args [][]float64) []float64 {
		y := make([]float64, len(args[0]))
		for i, x := range args[0] {
			sum, start := 0.0, i/(n*inner)*n*inner+i%inner
			for k := range n {
				sum += math.Exp(args[0][start+k*inner])
			}
			if y[i] = x - math.Log(sum); !log {
				y[i] = math.Exp(y[i])
			}
		}
		return y
	}
}

// TestSoftMax is along each axis, and of large arguments.
func TestSoftMax(t *testing.T) {
	var cases []opCase
	for axis, inner := range []int{20, 5, 1} {
		for _, log := range []bool{false, true} {
			op := SoftMax{Axis: axis, Log: log}
			cases = append(cases, layerCase(fmt.Sprint(op.Kind(), " along ", axis), op, []operand{normal(2, 3, 4, 5)},
				plainSoftMax([]int{3, 4, 5}[axis], inner, log)))
		}
	}
	compareOps(t, cases)
	for name, b := range testbackend.All(t) {
		out, err := CallOnceN(b, func(x *Node) []*Node {
			return []*Node{SoftMax{}.Graph([]*Node{x}, nil), SoftMax{Log: true}.Graph([]*Node{x}, nil)}
		}, [][]float32{{1000, -1000}})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][]float32{{1, 0}, {0, -2000}} {
			if got := tensors.MustCopyFlatData[float32](out[i]); !slices.Equal(got, want) {
				t.Errorf("%s: result %d is %v, want %v", name, i, got, want)
			}
		}
	}
}
