package models

import (
	"math"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
)

// plainReduce returns f of the numbers of x [2,3,4,5] that meet in each position without axes 1 and 3 (of [2,3,4,5]).
func plainReduce(f func(x []float64) float64) func(args [][]float64) []float64 {
	return func(args [][]float64) []float64 {
		met := make([][]float64, 8)
		for i, x := range args[0] {
			k := i/60*4 + i/5%4
			met[k] = append(met[k], x)
		}
		y := make([]float64, len(met))
		for k, x := range met {
			y[k] = f(x)
		}
		return y
	}
}

// folded returns the function that starts with y and takes f(y, x) for each x.
func folded(y float64, f func(y, x float64) float64) func(x []float64) float64 {
	return func(xs []float64) float64 {
		y := y
		for _, x := range xs {
			y = f(y, x)
		}
		return y
	}
}

func TestReduce(t *testing.T) {
	square := folded(0, func(y, x float64) float64 { return y + x*x })
	sum := folded(0, func(y, x float64) float64 { return y + x })
	plain := map[ReduceFunc]func(x []float64) float64{
		ReduceByMean:      func(x []float64) float64 { return sum(x) / float64(len(x)) },
		ReduceBySum:       sum,
		ReduceByMax:       folded(math.Inf(-1), func(y, x float64) float64 { return max(x, y) }),
		ReduceByMin:       folded(math.Inf(1), func(y, x float64) float64 { return min(x, y) }),
		ReduceByProduct:   folded(1, func(y, x float64) float64 { return y * x }),
		ReduceByL1:        folded(0, func(y, x float64) float64 { return y + math.Abs(x) }),
		ReduceByL2:        func(x []float64) float64 { return math.Sqrt(square(x)) },
		ReduceBySumSquare: square,
		ReduceByLogSumExp: func(x []float64) float64 {
			return math.Log(folded(0, func(y, x float64) float64 { return y + math.Exp(x) })(x))
		},
	}
	var cases []opCase
	for f, p := range plain {
		x := normal(2, 3, 4, 5)
		switch f {
		case ReduceByProduct:
			x = positive(2, 3, 4, 5)
		case ReduceByMax, ReduceByMin: // between equal values there is no gradient
			x = different(2, 3, 4, 5)
		}
		cases = append(cases, layerCase(f.String(), Reduce{Func: f, Axes: []int{2, 0}}, []operand{x}, plainReduce(p)),
			layerCase(f.String()+", kept", Reduce{Func: f, Axes: []int{0, 2}, Keep: true}, []operand{x}, plainReduce(p)))
	}
	cases = append(cases, layerCase("to nothing", Reduce{Func: ReduceBySum, Axes: []int{0, 1}}, []operand{normal(2, 3, 4)},
		func(a [][]float64) []float64 { return []float64{sum(a[0][:12]), sum(a[0][12:])} }))
	compareOps(t, cases)
}

func TestReduceShape(t *testing.T) {
	for _, c := range []struct {
		op   Reduce
		want string
	}{
		{Reduce{Axes: []int{1}}, "[2 4]"},
		{Reduce{Axes: []int{1}, Keep: true}, "[2 1 4]"},
		{Reduce{Axes: []int{0, 1, 2}}, "[1]"},
		{Reduce{Axes: []int{0, 1, 2}, Keep: true}, "[1 1 1]"},
	} {
		checkShape(t, c.op, []int{2, 3, 4}, c.want)
	}
	refuse(t, []refusal{
		{Reduce{Func: -1, Axes: []int{0}}, nil, "computes ReduceFunc(-1), which is no function of it"},
		{Reduce{Func: ReduceByLogSumExp + 1, Axes: []int{0}}, nil, "computes ReduceFunc(9)"},
		{Reduce{}, nil, "reduces axes []; it takes one or more, counted from 0, each once"},
		{Reduce{Axes: []int{-1}}, nil, "reduces axes [-1]"},
		{Reduce{Axes: []int{1, 1}}, nil, "reduces axes [1 1]"},
		{Reduce{Axes: []int{0, 3}}, [][]int{{2, 3, 4}}, "works on axis 3, but its input has shape [2 3 4]"},
	})
}

// TestReduceGradient takes inputs where formulas divide by zero, and equal numbers, with the gradients of PyTorch's
// amax, amin, prod, and norm.
func TestReduceGradient(t *testing.T) {
	bs := testbackend.All(t)
	for _, c := range []struct {
		f       ReduceFunc
		x, want []float32
	}{
		{ReduceByMax, []float32{1, 3, 3, -3}, []float32{0, 0.5, 0.5, 0}},
		{ReduceByMin, []float32{0, 3, 0, 0}, []float32{1. / 3, 0, 1. / 3, 1. / 3}},
		{ReduceByProduct, []float32{2, 0, 3, -1}, []float32{0, -6, 0, 0}},
		{ReduceByProduct, []float32{2, 0, 3, 0}, []float32{0, 0, 0, 0}},
		{ReduceByProduct, []float32{2, 1, 3, -1}, []float32{-3, -6, -2, 6}},
		{ReduceByL1, []float32{2, 0, -3, -1}, []float32{1, 0, -1, -1}},
		{ReduceByL2, []float32{0, 0, 0, 0}, []float32{0, 0, 0, 0}},
		{ReduceByLogSumExp, []float32{200, 200, 0, -200}, []float32{0.5, 0.5, 0, 0}},
	} {
		for name, b := range bs {
			out, err := CallOnce(b, func(x *Node) *Node {
				y := Reduce{Func: c.f, Axes: []int{0}}.Graph([]*Node{x}, nil)
				return Gradient(ReduceAllSum(y), x)[0]
			}, [][]float32{c.x, c.x}) // for one image, ONNX Runtime 1.30 doesn't load the gradient of a logarithm
			if err != nil {
				t.Fatal(err)
			}
			got := tensors.MustCopyFlatData[float32](out)[:4]
			want := nettest.Float64s(tensors.FromValue(c.want))
			if e := nettest.RelativeError(got, want); !(e <= 1e-6) {
				t.Errorf("%v of %v on %s: gradient %v, want %v", c.f, c.x, name, got, c.want)
			}
		}
	}
}
