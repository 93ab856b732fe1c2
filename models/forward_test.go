package models

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
)

// operand is an argument of an opCase.
type operand struct {
	dims     []int
	positive bool // values in [0.5,1.5) instead of normal ones
	distinct bool // values that all differ, in random order, instead of normal ones
}

// random returns values midway between multiples of 1/32, where every function here is smooth.
func (a operand) random(rng *rand.Rand) *tensors.Tensor {
	v := tensors.MustCopyFlatData[float32](nettest.Randn(rng, a.dims...))
	if a.distinct {
		for i, at := range rng.Perm(len(v)) {
			v[i] = float32(at-len(v)/2) / 32
		}
	}
	for i := range v {
		if a.positive {
			v[i] = 0.5 + rng.Float32()
		}
		v[i] = float32(math.Floor(float64(32*v[i]))+0.5) / 32
	}
	return tensors.FromFlatDataAndDimensions(v, a.dims...)
}

// opCase is a graph function and its plain form, which follows the definition.
type opCase struct {
	name  string
	args  []operand
	graph func(args []*Node) *Node
	plain func(args [][]float64) []float64
}

// layerCase is a layer; its plain form gets x and the layer's parameters.
func layerCase(name string, op Op, args []operand, plain func(args [][]float64) []float64) opCase {
	l := Layer{Name: "l", Op: op}
	return opCase{name, args, func(args []*Node) *Node {
		param := Hooks{Param: func(name string) *Node {
			for i, p := range l.Params() {
				if p.Name == name {
					return args[op.Inputs()+i]
				}
			}
			panic("models: no parameter " + name)
		}}
		return l.compute(args[:op.Inputs()], param)
	}, plain}
}

func normal(dims ...int) operand    { return operand{dims: dims} }
func positive(dims ...int) operand  { return operand{dims: dims, positive: true} }
func different(dims ...int) operand { return operand{dims: dims, distinct: true} }

func mapped(f func(x float64) float64) func(args [][]float64) []float64 {
	return func(args [][]float64) []float64 {
		y := make([]float64, len(args[0]))
		for i, x := range args[0] {
			y[i] = f(x)
		}
		return y
	}
}

// plainNormalize is (x-mean)/sqrt(variance+eps)·gamma+beta of x [n,c,p], c = len(gamma).
func plainNormalize(x, gamma, beta, mean, variance []float64, n int, eps float64) []float64 {
	c := len(gamma)
	p := len(x) / n / c
	y := make([]float64, len(x))
	for i := range x {
		k := i / p % c
		y[i] = (x[i]-mean[k])/math.Sqrt(variance[k]+eps)*gamma[k] + beta[k]
	}
	return y
}

// plainPadShortcut is PadShortcut of x [n,l.In,h,w] by its definition.
func plainPadShortcut(l PadShortcut, n, h, w int) func(args [][]float64) []float64 {
	return func(args [][]float64) []float64 {
		ho, wo, before := (h+l.Stride-1)/l.Stride, (w+l.Stride-1)/l.Stride, (l.Out-l.In)/2
		y := make([]float64, n*l.Out*ho*wo)
		for i := range n {
			for c := range l.In {
				for a := range ho {
					for b := range wo {
						y[((i*l.Out+before+c)*ho+a)*wo+b] = args[0][((i*l.In+c)*h+a*l.Stride)*w+b*l.Stride]
					}
				}
			}
		}
		return y
	}
}

func plainLinear(args [][]float64) []float64 {
	x, w, b := args[0], args[1], args[2]
	in := len(w) / len(b)
	y := make([]float64, len(x)/in*len(b))
	for i := range y {
		n, o := i/len(b), i%len(b)
		y[i] = b[o]
		for k := range in {
			y[i] += x[n*in+k] * w[o*in+k]
		}
	}
	return y
}

func opCases() []opCase {
	const eps = 1e-3 // large, so that an error in its place shows
	cases := []opCase{
		layerCase("relu", ReLU{}, []operand{normal(2, 3, 4, 5)},
			mapped(func(x float64) float64 { return max(x, 0) })),
		{"relu6", []operand{normal(2, 3, 4, 5)}, // of 4x, so that some are cut
			func(a []*Node) *Node {
				return ReLU6{}.Graph([]*Node{MulScalar(a[0], 4)}, nil)
			},
			mapped(func(x float64) float64 { return min(max(4*x, 0), 6) })},
		layerCase("add", Sum{}, []operand{normal(2, 3, 2, 2), normal(2, 3, 2, 2)}, func(a [][]float64) []float64 {
			i := -1
			return mapped(func(x float64) float64 { i++; return x + a[1][i] })(a)
		}),
		layerCase("avgpool", GlobalAvgPooling{}, []operand{normal(2, 3, 4, 5)}, func(a [][]float64) []float64 {
			y := make([]float64, 6)
			for i, x := range a[0] {
				y[i/20] += x / 20
			}
			return y
		}),
		layerCase("linear", Linear{In: 4, Out: 3}, []operand{normal(2, 4), normal(3, 4), normal(3)}, plainLinear),
		layerCase("conv with bias", Conv{In: 2, Out: 4, Window: SquareWindow(3, 2, 1), Groups: 2, Bias: true},
			[]operand{normal(2, 2, 5, 6), normal(4, 1, 3, 3), normal(4)}, func(a [][]float64) []float64 {
				y, _, _, h, w := plainConv(convCase{2, 2, 5, 6, 4, SquareWindow(3, 2, 1), 2}, float32s(a[0]), float32s(a[1]), nil)
				for i := range y {
					y[i] += a[2][i/(h*w)%4]
				}
				return y
			}),
	}
	for _, rest := range [][]int{{4, 5}, {7}, {}} {
		x := normal(append([]int{6, 2}, rest...)...)
		cases = append(cases,
			layerCase(fmt.Sprint("batchnorm of [2], then ", rest), BatchNorm{Channels: 2, Eps: eps},
				[]operand{x, positive(2), normal(2), normal(2), positive(2)},
				func(a [][]float64) []float64 { return plainNormalize(a[0], a[1], a[2], a[3], a[4], 6, eps) }),
			layerCase(fmt.Sprint("scale-shift of [2], then ", rest), ScaleShift{Channels: 2},
				[]operand{x, normal(2), normal(2)}, func(a [][]float64) []float64 {
					return plainNormalize(a[0], a[1], a[2], []float64{0, 0}, []float64{1, 1}, 6, 0)
				}),
			opCase{fmt.Sprint("batchnorm of the batch of [2], then ", rest), []operand{x, positive(2), normal(2)},
				func(a []*Node) *Node { y, _, _ := NormalizeBatch(a[0], a[1], a[2], eps); return y },
				func(a [][]float64) []float64 {
					mean, variance := nettest.Moments(a[0], 6, 2)
					return plainNormalize(a[0], a[1], a[2], mean, variance, 6, eps)
				}})
	}
	for _, s := range []struct {
		name                     string
		in, out, stride, high, w int
	}{
		{"shortcut", 2, 4, 2, 6, 4},
		{"shortcut, odd sizes", 2, 4, 2, 7, 5},
		{"shortcut, one odd size", 2, 4, 2, 6, 5},
		{"shortcut, odd channels", 2, 5, 2, 4, 4},
		{"shortcut, stride 3", 1, 2, 3, 8, 7},
		{"shortcut, stride 1", 2, 6, 1, 3, 5},
		{"shortcut, one pixel", 2, 4, 2, 1, 1},
		{"shortcut, same channels", 3, 3, 2, 5, 4},
	} {
		l := PadShortcut{In: s.in, Out: s.out, Stride: s.stride}
		cases = append(cases, layerCase(s.name, l, []operand{normal(2, s.in, s.high, s.w)},
			plainPadShortcut(l, 2, s.high, s.w)))
	}
	return cases
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

// differences returns the gradient of Σ v·f(args) for args[k], by central differences.
func differences(f func(args [][]float64) []float64, args [][]float64, k int, v []float64) []float64 {
	const h = 1.0 / 1024 // a power of two, because the convolution's plain form rounds to float32
	x := args[k]
	grad := make([]float64, len(x))
	for i := range x {
		old := x[i]
		for _, side := range []float64{1, -1} {
			x[i] = old + side*h
			for j, y := range f(args) {
				grad[i] += side * v[j] * y / (2 * h)
			}
		}
		x[i] = old
	}
	return grad
}

// TestLayers compares every kind of layer with its plain form, and its gradients for all inputs and weights with
// differences of the plain form.
func TestLayers(t *testing.T) { compareOps(t, opCases()) }

func compareOps(t *testing.T, cases []opCase) {
	t.Helper()
	rng := random(t)
	bs := testbackend.All(t)
	for _, c := range cases {
		args := make([]*tensors.Tensor, len(c.args))
		flat := make([][]float64, len(args))
		for i, a := range c.args {
			args[i] = a.random(rng)
			flat[i] = nettest.Float64s(args[i])
		}
		want := [][]float64{c.plain(flat)}
		v := make([]float32, len(want[0]))
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		for k := range args {
			want = append(want, differences(c.plain, flat, k, nettest.Float64s(tensors.FromValue(v))))
		}
		for name, b := range bs {
			copies := make([]any, len(args))
			for i, a := range args {
				copies[i] = nettest.Clone(t, a)
			}
			out, err := CallOnceN(b, func(args []*Node) []*Node {
				y := c.graph(args)
				loss := ReduceAllSum(Mul(y, Reshape(Const(y.Graph(), v), y.Shape().Dimensions...)))
				return append([]*Node{y}, Gradient(loss, args...)...)
			}, copies...)
			if err != nil {
				t.Errorf("%s on %s: %v", c.name, name, err)
				continue
			}
			for i, w := range want {
				got := tensors.MustCopyFlatData[float32](out[i])
				if len(got) != len(w) {
					t.Errorf("%s on %s: result %d has %d elements, want %d", c.name, name, i, len(got), len(w))
				} else if e, most := nettest.RelativeError(got, w), []float64{1e-6, 2e-5}[min(i, 1)]; !(e <= most) {
					t.Errorf("%s on %s: result %d (output, then gradients) has relative error %g, more than %g",
						c.name, name, i, e, most)
				}
			}
		}
	}
}

// TestClippedGradient takes inputs at and beyond the corners, where PyTorch's gradient is 0.
func TestClippedGradient(t *testing.T) {
	for name, b := range testbackend.All(t) {
		for _, c := range []struct {
			op         Op
			y, dx      []float32
			x, arrived []float32
		}{
			{ReLU{}, []float32{0, 0, 3, 6, 7}, []float32{0, 0, 30, 40, 50}, []float32{-2, 0, 3, 6, 7},
				[]float32{10, 20, 30, 40, 50}},
			{ReLU6{}, []float32{0, 0, 3, 6, 6}, []float32{0, 0, 30, 0, 0}, []float32{-2, 0, 3, 6, 7},
				[]float32{10, 20, 30, 40, 50}},
		} {
			out, err := CallOnceN(b, func(x, v *Node) []*Node {
				y := c.op.Graph([]*Node{x}, nil)
				return []*Node{y, Gradient(ReduceAllSum(Mul(y, v)), x)[0]}
			}, c.x, c.arrived)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range [][]float32{c.y, c.dx} {
				got := tensors.MustCopyFlatData[float32](out[i])
				for k := range want {
					if got[k] != want[k] {
						t.Errorf("%v on %s: %s is %v, want %v", c.op.Kind(), name, []string{"output", "gradient"}[i], got, want)
						break
					}
				}
			}
		}
	}
}

// TestBatchMoments checks the statistics that NormalizeBatch returns for values far from zero, where the mean of
// squares minus the square of the mean would be rounding errors only.
func TestBatchMoments(t *testing.T) {
	rng := random(t)
	x := make([]float32, 4*2*3*3)
	for i := range x {
		x[i] = 1000 + float32(rng.NormFloat64())
	}
	in := tensors.FromFlatDataAndDimensions(x, 4, 2, 3, 3)
	mean, variance := nettest.Moments(nettest.Float64s(in), 4, 2)
	for name, b := range testbackend.All(t) {
		out, err := CallOnceN(b, func(x *Node) []*Node {
			one := OnesLike(Slice(x, AxisElem(0), AxisRange(), AxisElem(0), AxisElem(0)))
			_, mean, variance := NormalizeBatch(x, Reshape(one, 2), Reshape(one, 2), 1e-5)
			return []*Node{mean, variance}
		}, nettest.Clone(t, in))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][]float64{mean, variance} {
			if e := nettest.RelativeError(tensors.MustCopyFlatData[float32](out[i]), want); e > 1e-4 {
				t.Errorf("%s on %s: relative error %g", []string{"mean", "variance"}[i], name, e)
			}
		}
	}
}
