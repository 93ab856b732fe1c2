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

// plainBroadcast returns f(x, y) of x [n or 1,dx...] and y [n or 1,dy...], whose shapes per image are broadcast to the
// given one.
func plainBroadcast(f func(x, y float64) float64, n int, dx, dy, shape []int) func(args [][]float64) []float64 {
	return func(args [][]float64) []float64 {
		per := 1
		for _, size := range shape {
			per *= size
		}
		z := make([]float64, n*per)
		at := func(v []float64, dims []int, i int) float64 {
			images := len(v)
			for _, size := range dims {
				images /= size
			}
			index, step, rest := 0, 1, i%per
			for a := len(shape) - 1; a >= 0; a-- {
				pos := rest % shape[a]
				rest /= shape[a]
				if own := a - len(shape) + len(dims); own >= 0 {
					index += min(pos, dims[own]-1) * step
					step *= dims[own]
				}
			}
			if images > 1 {
				index += i / per * step
			}
			return v[index]
		}
		for i := range z {
			z[i] = f(at(args[0], dx, i), at(args[1], dy, i))
		}
		return z
	}
}

func binaryFuncs() map[BinaryFunc]func(x, y float64) float64 {
	return map[BinaryFunc]func(x, y float64) float64{
		BinaryAdd: func(x, y float64) float64 { return x + y },
		BinarySub: func(x, y float64) float64 { return x - y },
		BinaryMul: func(x, y float64) float64 { return x * y },
		BinaryDiv: func(x, y float64) float64 { return x / y },
		BinaryPow: math.Pow,
		BinaryMax: func(x, y float64) float64 { return max(x, y) },
		BinaryMin: func(x, y float64) float64 { return min(x, y) },
	}
}

// distinct makes arguments that max and min don't find equal: it scales the first by a number near 1.
func distinct(f BinaryFunc) float64 {
	if f == BinaryMax || f == BinaryMin {
		return 1.003
	}
	return 1
}

// TestBinary compares every function for several pairs of shapes, and the layers for two functions.
func TestBinary(t *testing.T) {
	const n = 2
	pairs := [][2][]int{{{3, 2, 4}, {3, 2, 4}}, {{3, 2, 4}, {3, 1, 1}}, {{3, 1, 4}, {2, 1}}, {{4}, {3, 1, 4}}, {{1}, {5}}}
	var cases []opCase
	for f := range binaryCount {
		plain, scale := binaryFuncs()[f], distinct(f)
		scaled := func(x, y float64) float64 { return plain(scale*x, y) }
		for _, p := range pairs {
			shape, err := Broadcast(p[0], p[1])
			if err != nil {
				t.Fatal(err)
			}
			x, y := positive(append([]int{n}, p[0]...)...), positive(append([]int{n}, p[1]...)...)
			name := fmt.Sprintf("%v of %v and %v", f, p[0], p[1])
			graph := func(a []*Node) *Node { return f.graph(MulScalar(a[0], scale), a[1]) }
			cases = append(cases, opCase{name, []operand{x, y}, graph, plainBroadcast(scaled, n, p[0], p[1], shape)})
			one := positive(append([]int{1}, p[1]...)...)
			cases = append(cases, opCase{name + " for all images", []operand{x, one}, graph,
				plainBroadcast(scaled, n, p[0], p[1], shape)})
			if f != BinarySub && f != BinaryDiv {
				continue
			}
			cases = append(cases, layerCase(name+", a layer", Binary{Func: f}, []operand{x, y},
				plainBroadcast(plain, n, p[0], p[1], shape)))
			for _, flip := range []bool{false, true} {
				g := plain
				if flip {
					g = func(x, y float64) float64 { return plain(y, x) }
				}
				cases = append(cases, layerCase(fmt.Sprint(name, ", constant, flipped: ", flip),
					WithConstant{Func: f, Dims: p[1], Flip: flip}, []operand{x, positive(p[1]...)},
					plainBroadcast(g, n, p[0], p[1], shape)))
			}
		}
	}
	compareOps(t, cases)
}

// TestConstant: a constant is one image, which broadcasts over all.
func TestConstant(t *testing.T) {
	c := Constant{Dims: []int{3, 2}}
	compareOps(t, []opCase{
		layerCase("constant", c, []operand{normal(3, 2)}, mapped(func(x float64) float64 { return x })),
		{"sum with a constant", []operand{normal(4, 3, 2), normal(3, 2)}, func(a []*Node) *Node {
			y := c.Graph(nil, func(string) *Node { return a[1] })
			return Binary{}.Graph([]*Node{a[0], y}, nil)
		}, plainBroadcast(func(x, y float64) float64 { return x + y }, 4, c.Dims, c.Dims, c.Dims)},
	})
}

// TestPReLU has slopes for all numbers, for channels and for columns.
func TestPReLU(t *testing.T) {
	f := func(x, slope float64) float64 {
		if x > 0 {
			return x
		}
		return slope * x
	}
	x := []int{3, 2, 4}
	var cases []opCase
	for _, slope := range [][]int{{1}, {3, 1, 1}, {4}, {3, 2, 4}} {
		cases = append(cases, layerCase(fmt.Sprint("prelu ", slope), PReLU{Slope: slope},
			[]operand{normal(2, 3, 2, 4), normal(slope...)}, plainBroadcast(f, 2, x, slope, x)))
	}
	compareOps(t, cases)
}

// TestBinaryTies takes arguments where gradients follow a convention: equal ones, and 0 to a power. The numbers are
// those of PyTorch 2.15's maximum, minimum and pow.
func TestBinaryTies(t *testing.T) {
	for name, b := range testbackend.All(t) {
		for _, c := range []struct {
			f               BinaryFunc
			x, y, z, dx, dy []float32
		}{
			{BinaryMax, []float32{1, 2, 3}, []float32{2, 2, 2}, []float32{2, 2, 3}, []float32{0, 0.5, 1}, []float32{1, 0.5, 0}},
			{BinaryMin, []float32{1, 2, 3}, []float32{2, 2, 2}, []float32{1, 2, 2}, []float32{1, 0.5, 0}, []float32{0, 0.5, 1}},
			{BinaryPow, []float32{0, 0, 2}, []float32{2, 0, 0}, []float32{0, 1, 1}, []float32{0, 0, 0},
				[]float32{0, 0, math.Ln2}},
		} {
			out, err := CallOnceN(b, func(x, y *Node) []*Node {
				z := c.f.graph(x, y)
				return append([]*Node{z}, Gradient(ReduceAllSum(z), x, y)...)
			}, c.x, c.y)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range [][]float32{c.z, c.dx, c.dy} {
				if got := tensors.MustCopyFlatData[float32](out[i]); !slices.EqualFunc(got, want, func(a, b float32) bool {
					return math.Abs(float64(a-b)) < 1e-6
				}) {
					t.Errorf("%v on %s: result %d (output, then gradients) is %v, want %v", c.f, name, i, got, want)
				}
			}
		}
	}
}

// TestBroadcastShapes has shapes that match, and shapes that don't.
func TestBroadcastShapes(t *testing.T) {
	for _, c := range []struct{ a, b, want []int }{
		{[]int{3, 2}, []int{3, 2}, []int{3, 2}},
		{[]int{2}, []int{3, 1}, []int{3, 2}},
		{[]int{1}, []int{7}, []int{7}},
		{[]int{3, 2}, []int{3}, nil},
		{[]int{4, 2}, []int{3, 2}, nil},
	} {
		got, err := Broadcast(c.a, c.b)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%v and %v: %v, %v", c.a, c.b, got, err)
		}
	}
	for _, p := range []struct {
		op Op
		in [][]int
	}{
		{PReLU{Slope: []int{2, 3}}, [][]int{{3}}},
		{PReLU{Slope: []int{2}}, [][]int{{3}}},
		{WithConstant{Dims: []int{2}}, [][]int{{3}}},
		{Binary{}, [][]int{{2}, {3}}},
	} {
		if _, err := p.op.Shape(p.in); err == nil {
			t.Errorf("%s accepts %v", p.op.Kind(), p.in)
		}
	}
	for _, op := range []Op{Binary{Func: -1}, WithConstant{Func: binaryCount}, Constant{}, Constant{Dims: []int{0}}} {
		if op.Check() == nil {
			t.Errorf("%+v is accepted", op)
		}
	}
}
