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

type poolCase struct {
	n, c, h, w int
	win        Window
}

func (c poolCase) String() string { return fmt.Sprintf("n%dc%dh%dw%d %v", c.n, c.c, c.h, c.w, c.win) }

// plainMaxPool is max pooling by its definition: the maxima, and the gradient dx for x, given the gradient v for the
// maxima. It goes to each window's first maximum, row by row.
func plainMaxPool(c poolCase, x, v []float64) (y, dx []float64) {
	win := c.win
	ho, wo := win.out(c.h, c.w)
	y, dx = make([]float64, c.n*c.c*ho*wo), make([]float64, len(x))
	for i := range y {
		plane, row, column := i/(ho*wo), i/wo%ho, i%wo
		at := -1
		for k := range win.Kernel[0] * win.Kernel[1] {
			a := row*win.Stride[0] - win.Pad.Top + k/win.Kernel[1]*win.Dilation[0]
			b := column*win.Stride[1] - win.Pad.Left + k%win.Kernel[1]*win.Dilation[1]
			if a < 0 || b < 0 || a >= c.h || b >= c.w {
				continue
			}
			if p := (plane*c.h+a)*c.w + b; at < 0 || x[p] > x[at] {
				at = p
			}
		}
		y[i] = x[at]
		dx[at] += v[i]
	}
	return y, dx
}

// randomPoolCase draws a pooling. Half of them are square; in the others, kernel and stride differ by axis, and padding
// by side.
func randomPoolCase(rng *rand.Rand) poolCase {
	c := poolCase{n: 1 + rng.IntN(3), c: 1 + rng.IntN(3)}
	k := 1 + rng.IntN(4)
	c.win = SquareWindow(k, 1+rng.IntN(4), rng.IntN(k/2+1))
	if rng.IntN(2) == 0 {
		for a := range 2 {
			c.win.Kernel[a], c.win.Stride[a] = 1+rng.IntN(4), 1+rng.IntN(4)
		}
		high, wide := c.win.Kernel[0], c.win.Kernel[1]
		c.win.Pad = Padding{rng.IntN(high), rng.IntN(high), rng.IntN(wide), rng.IntN(wide)}
	}
	c.h, c.w = c.win.axis(0).reach()+rng.IntN(9), c.win.axis(1).reach()+rng.IntN(9)
	return c
}

// TestMaxPool compares maxima and gradients with the plain form: on inputs with three different values, where most
// windows have several maxima, and on inputs where hardly any value occurs twice.
func TestMaxPool(t *testing.T) {
	rng := random(t)
	bs := testbackend.All(t)
	dilated := SquareWindow(2, 1, 0)
	dilated.Dilation = [2]int{2, 3}
	cases := []poolCase{{2, 3, 8, 8, SquareWindow(3, 2, 1)}, {1, 2, 7, 9, SquareWindow(3, 2, 1)},
		{1, 1, 1, 1, SquareWindow(3, 2, 1)},
		{1, 2, 5, 6, Window{[2]int{2, 2}, [2]int{4, 3}, [2]int{1, 1}, Padding{0, 2, 1, 2}}}, // as ceil_mode makes it
		{1, 1, 7, 7, Window{[2]int{2, 3}, [2]int{1, 2}, [2]int{3, 1}, Padding{3, 2, 0, 0}}}, // padding above the kernel
		{2, 1, 6, 6, SquareWindow(2, 2, 0)}, {1, 1, 9, 9, SquareWindow(1, 3, 0)}, {1, 2, 6, 7, dilated}}
	for range 30 {
		cases = append(cases, randomPoolCase(rng))
	}
	for i, c := range cases {
		x := make([]float32, c.n*c.c*c.h*c.w)
		for k := range x {
			if x[k] = float32(rng.NormFloat64()); i%2 == 0 {
				x[k] = float32(rng.IntN(3)) - 2 // at most 0, so that padding with 0 would show
			}
		}
		in := tensors.FromFlatDataAndDimensions(x, c.n, c.c, c.h, c.w)
		ho, wo := c.win.out(c.h, c.w)
		v := nettest.Randn(rng, c.n, c.c, ho, wo)
		y, dx := plainMaxPool(c, nettest.Float64s(in), nettest.Float64s(v))
		for name, b := range bs {
			out, err := CallOnceN(b, func(x, v *Node) []*Node {
				y := MaxPooling{Window: c.win}.Graph([]*Node{x}, nil)
				return []*Node{y, Gradient(ReduceAllSum(Mul(y, v)), x)[0]}
			}, nettest.Clone(t, in), nettest.Clone(t, v))
			if err != nil {
				t.Errorf("%s %v: %v", name, c, err)
				continue
			}
			for k, want := range [][]float64{y, dx} {
				got := tensors.MustCopyFlatData[float32](out[k])
				if len(got) != len(want) {
					t.Fatalf("%s %v: %s has %d elements, want %d", name, c, []string{"output", "gradient"}[k], len(got), len(want))
				}
				if e := nettest.RelativeError(got, want); !(e <= 1e-6) || k == 0 && e != 0 {
					t.Errorf("%s %v: %s has relative error %g", name, c, []string{"output", "gradient"}[k], e)
				}
			}
		}
	}
}

// plainAvgPool is the mean of each window of p in x [2,c,h,w] by its definition.
func plainAvgPool(p AvgPooling, c, h, w int) func(args [][]float64) []float64 {
	return func(args [][]float64) (y []float64) {
		pad := p.Pad
		ho := (h+pad.Top+pad.Bottom+p.Beyond[0]-(p.Kernel[0]-1)*p.Dilation[0]-1)/p.Stride[0] + 1
		wo := (w+pad.Left+pad.Right+p.Beyond[1]-(p.Kernel[1]-1)*p.Dilation[1]-1)/p.Stride[1] + 1
		for i := range 2 * c * ho * wo {
			plane, row, column := i/(ho*wo), i/wo%ho, i%wo
			var sum, count float64
			for k := range p.Kernel[0] * p.Kernel[1] {
				a := row*p.Stride[0] - pad.Top + k/p.Kernel[1]*p.Dilation[0]
				b := column*p.Stride[1] - pad.Left + k%p.Kernel[1]*p.Dilation[1]
				switch {
				case a >= 0 && b >= 0 && a < h && b < w:
					sum += args[0][(plane*h+a)*w+b]
					count++
				case p.CountPadding && a < h+pad.Bottom && b < w+pad.Right:
					count++
				}
			}
			y = append(y, sum/count)
		}
		return y
	}
}

func TestAvgPool(t *testing.T) {
	dilated := SquareWindow(2, 1, 1)
	dilated.Dilation = [2]int{2, 3}
	uneven := Window{[2]int{3, 2}, [2]int{2, 3}, [2]int{1, 1}, Padding{2, 1, 0, 1}}
	var cases []opCase
	for _, c := range []struct {
		name   string
		h, w   int
		win    Window
		beyond [2]int
	}{
		{"halves", 4, 6, SquareWindow(2, 2, 0), [2]int{}},
		{"padded", 5, 5, SquareWindow(3, 1, 1), [2]int{}},
		{"uneven", 6, 7, uneven, [2]int{}},
		{"dilated", 6, 7, dilated, [2]int{}},
		{"beyond padding", 5, 6, SquareWindow(3, 2, 1), [2]int{1, 1}},
		{"beyond uneven padding", 6, 7, uneven, [2]int{1, 2}},
	} {
		for name, counted := range map[string]bool{"": false, ", padding counted": true} {
			p := AvgPooling{Window: c.win, CountPadding: counted, Beyond: c.beyond}
			cases = append(cases, layerCase(c.name+name, p, []operand{normal(2, 3, c.h, c.w)}, plainAvgPool(p, 3, c.h, c.w)))
		}
	}
	compareOps(t, cases)
}

// TestMaxPoolNegative has a window with nothing but negative infinity.
func TestMaxPoolNegative(t *testing.T) {
	for name, b := range testbackend.All(t) {
		low := float32(math.Inf(-1))
		y, err := CallOnce(b, func(x *Node) *Node { return maxPool(x, SquareWindow(2, 2, 0)) },
			[][][][]float32{{{{low, low, -3}, {low, low, -4}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := tensors.MustCopyFlatData[float32](y); len(got) != 1 || got[0] != low {
			t.Errorf("%s: maximum %v, want %v", name, got, low)
		}
	}
}

// BenchmarkMaxPool times the pooling of ResNet on 8 images.
func BenchmarkMaxPool(b *testing.B) {
	c := poolCase{8, 64, 112, 112, SquareWindow(3, 2, 1)}
	win := c.win
	rng := rand.New(rand.NewPCG(1, 0))
	x := nettest.Randn(rng, c.n, c.c, c.h, c.w)
	ho, wo := c.win.out(c.h, c.w)
	v := nettest.Randn(rng, c.n, c.c, ho, wo)
	for name, be := range testbackend.All(b) {
		for part, fn := range map[string]func(x, v *Node) *Node{
			"taps":     func(x, v *Node) *Node { return maxTaps(x, win) },
			"window":   func(x, v *Node) *Node { return windowMax(x, win) },
			"gradient": func(x, v *Node) *Node { return maxGradient(x, v, win) },
		} {
			b.Run(name+"/"+part, func(b *testing.B) {
				e := MustNewExec(be, fn)
				in, gradient := nettest.Clone(b, x), nettest.Clone(b, v)
				e.MustCall(in, gradient)[0].MustFinalizeAll()
				for b.Loop() {
					e.MustCall(in, gradient)[0].MustFinalizeAll()
				}
			})
		}
	}
}
