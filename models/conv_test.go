package models

import (
	"fmt"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
)

type convCase struct {
	n, c, h, w, o int
	win           Window
	groups        int
}

func (c convCase) String() string {
	return fmt.Sprintf("n%dc%dh%dw%do%dg%d %v", c.n, c.c, c.h, c.w, c.o, c.groups, c.win)
}

// plainConv is the convolution by its definition, in float64, and its gradients for the gradient v of the output.
func plainConv(c convCase, x, w, v []float32) (y, dx, dw []float64, ho, wo int) {
	win, kh, kw := c.win, c.win.Kernel[0], c.win.Kernel[1]
	ho = (c.h+win.Pad.Top+win.Pad.Bottom-win.Dilation[0]*(kh-1)-1)/win.Stride[0] + 1
	wo = (c.w+win.Pad.Left+win.Pad.Right-win.Dilation[1]*(kw-1)-1)/win.Stride[1] + 1
	cg, og := c.c/c.groups, c.o/c.groups
	y, dx, dw = make([]float64, c.n*c.o*ho*wo), make([]float64, len(x)), make([]float64, len(w))
	for yi := range y {
		j, i, o, n := yi%wo, yi/wo%ho, yi/wo/ho%c.o, yi/wo/ho/c.o
		for k := range cg * kh * kw {
			kj, ki, ci := k%kw, k/kw%kh, k/kw/kh
			xi, xj := i*win.Stride[0]+ki*win.Dilation[0]-win.Pad.Top, j*win.Stride[1]+kj*win.Dilation[1]-win.Pad.Left
			if xi < 0 || xj < 0 || xi >= c.h || xj >= c.w {
				continue
			}
			a, b := ((n*c.c+o/og*cg+ci)*c.h+xi)*c.w+xj, ((o*cg+ci)*kh+ki)*kw+kj
			y[yi] += float64(x[a]) * float64(w[b])
			if v != nil {
				dx[a] += float64(v[yi]) * float64(w[b])
				dw[b] += float64(v[yi]) * float64(x[a])
			}
		}
	}
	return y, dx, dw, ho, wo
}

// randomConvCase draws a convolution. Half of them are as in ResNets; in the others, kernel, stride and dilation differ
// by axis, and padding by side.
func randomConvCase(rng *rand.Rand) convCase {
	g := []int{1, 1, 2, 3}[rng.IntN(4)]
	c := convCase{n: 1 + rng.IntN(5), c: g * (1 + rng.IntN(3)), o: g * (1 + rng.IntN(3)), groups: g}
	if rng.IntN(4) == 0 {
		c.groups, c.o = c.c, c.c
	}
	k := []int{1, 3, 3, 5}[rng.IntN(4)]
	c.win = SquareWindow(k, 1+rng.IntN(2), rng.IntN(k/2+1))
	if rng.IntN(2) == 0 {
		for a := range 2 {
			c.win.Kernel[a], c.win.Stride[a], c.win.Dilation[a] = 1+rng.IntN(5), 1+rng.IntN(3), 1+rng.IntN(3)
		}
		c.win.Pad = Padding{rng.IntN(3), rng.IntN(3), rng.IntN(3), rng.IntN(3)}
	}
	c.h, c.w = c.win.axis(0).reach()+rng.IntN(7), c.win.axis(1).reach()+rng.IntN(7)
	if rng.IntN(6) == 0 { // many channels of few pixels
		c.c, c.o, c.groups = 12+rng.IntN(8), 12+rng.IntN(8), 1
		c.h, c.w = c.win.axis(0).reach(), c.win.axis(1).reach()
	}
	return c
}

func TestConvolve(t *testing.T) {
	rng := random(t)
	bs := testbackend.All(t)
	for range 80 {
		c := randomConvCase(rng)
		x, w := nettest.Randn(rng, c.n, c.c, c.h, c.w),
			nettest.Randn(rng, c.o, c.c/c.groups, c.win.Kernel[0], c.win.Kernel[1])
		flatX, flatW := tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](w)
		_, _, _, ho, wo := plainConv(c, flatX, flatW, nil)
		v := nettest.Randn(rng, c.n, c.o, ho, wo)
		y, dx, dw, _, _ := plainConv(c, flatX, flatW, tensors.MustCopyFlatData[float32](v))
		for name, b := range bs {
			out := MustExecOnceN(b, func(x, w, v *Node) []*Node {
				y := convolve(x, w, c.win, c.groups)
				g := Gradient(ReduceAllSum(Mul(y, v)), x, w)
				return []*Node{y, g[0], g[1]}
			}, nettest.Clone(t, x), nettest.Clone(t, w), nettest.Clone(t, v))
			for i, want := range [][]float64{y, dx, dw} {
				if e := nettest.RelativeError(tensors.MustCopyFlatData[float32](out[i]), want); e > 1e-5 {
					t.Errorf("%s %v: %s has relative error %g", name, c, []string{"output", "input gradient", "weight gradient"}[i], e)
				}
			}
		}
	}
}

func BenchmarkConvolve(b *testing.B) {
	square := func(n, c, size, o, k, stride, pad, groups int) convCase {
		return convCase{n, c, size, size, o, SquareWindow(k, stride, pad), groups}
	}
	for name, be := range testbackend.All(b) {
		for _, c := range []convCase{
			square(32, 16, 28, 16, 3, 1, 1, 1), square(32, 16, 28, 32, 3, 2, 1, 1), square(32, 32, 14, 32, 3, 1, 1, 1),
			square(32, 64, 7, 64, 3, 1, 1, 1), square(32, 64, 14, 64, 3, 1, 1, 64), square(32, 64, 14, 64, 3, 1, 1, 8),
			square(32, 32, 14, 128, 1, 1, 0, 1)} {
			rng, k := rand.New(rand.NewPCG(1, 0)), c.win.Kernel
			x, w := nettest.Randn(rng, c.n, c.c, c.h, c.w), nettest.Randn(rng, c.o, c.c/c.groups, k[0], k[1])
			ho, wo := c.win.out(c.h, c.w)
			v := nettest.Randn(rng, c.n, c.o, ho, wo)
			flop := 2 * float64(c.n*c.o*ho*wo*c.c/c.groups*k[0]*k[1])
			for part, fn := range map[string]any{
				"forward": func(x, w, v *Node) *Node { return convForward(x, w, c.win, c.groups) },
				"input":   func(x, w, v *Node) *Node { return convInputGradient(v, w, c.h, c.w, c.win, c.groups) },
				"weight":  func(x, w, v *Node) *Node { return convWeightGradient(x, v, c.win, c.groups) },
			} {
				b.Run(fmt.Sprintf("%s/%v/%s", name, c, part), func(b *testing.B) {
					e := MustNewExec(be, fn.(func(x, w, v *Node) *Node))
					e.MustCall(x, w, v)
					for b.Loop() {
						e.MustCall(x, w, v)[0].MustFinalizeAll()
					}
					b.ReportMetric(flop/b.Elapsed().Seconds()*float64(b.N)/1e9, "GFLOP/s")
				})
			}
		}
	}
}
