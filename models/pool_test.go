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
		high, wide := c.win.Kernel[0]/2+1, c.win.Kernel[1]/2+1
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
