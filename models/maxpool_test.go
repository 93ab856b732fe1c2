package models

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

type poolCase struct{ n, c, h, w, k, stride, pad int }

func (c poolCase) String() string {
	return fmt.Sprintf("n%dc%dh%dw%dk%ds%dp%d", c.n, c.c, c.h, c.w, c.k, c.stride, c.pad)
}

func (c poolCase) layer() Layer {
	return Layer{Name: "l", Kind: KindMaxPool, Kernel: c.k, ConvSpec: ConvSpec{Stride: c.stride, Pad: c.pad}}
}

// plainMaxPool is the definition: the maxima, and the gradient dx of x if v is theirs, which
// goes to each window's first maximum in order of rows.
func plainMaxPool(c poolCase, x, v []float64) (y, dx []float64) {
	l := c.layer()
	ho, wo := l.windows(c.h), l.windows(c.w)
	y, dx = make([]float64, c.n*c.c*ho*wo), make([]float64, len(x))
	for i := range y {
		plane, row, column := i/(ho*wo), i/wo%ho, i%wo
		at := -1
		for k := range c.k * c.k {
			a, b := row*c.stride-c.pad+k/c.k, column*c.stride-c.pad+k%c.k
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

func randomPoolCase(rng *rand.Rand) poolCase {
	c := poolCase{n: 1 + rng.IntN(3), c: 1 + rng.IntN(3), k: 1 + rng.IntN(4), stride: 1 + rng.IntN(4)}
	c.pad = rng.IntN(c.k/2 + 1)
	c.h, c.w = c.k+rng.IntN(9), c.k+rng.IntN(9)
	return c
}

// TestMaxPool compares maxima and gradients with the plain form, on inputs of three values, of
// which most windows have several maxima, and on ones that hardly have any twice.
func TestMaxPool(t *testing.T) {
	rng := random(t)
	bs := backends(t)
	cases := []poolCase{{2, 3, 8, 8, 3, 2, 1}, {1, 2, 7, 9, 3, 2, 1}, {1, 1, 1, 1, 3, 2, 1}, {2, 1, 6, 6, 2, 2, 0}, {1, 1, 9, 9, 1, 3, 0}}
	for range 30 {
		cases = append(cases, randomPoolCase(rng))
	}
	for i, c := range cases {
		x := make([]float32, c.n*c.c*c.h*c.w)
		for k := range x {
			if x[k] = float32(rng.NormFloat64()); i%2 == 0 {
				x[k] = float32(rng.IntN(3)) - 2 // never above the padding, if that were 0
			}
		}
		in := tensors.FromFlatDataAndDimensions(x, c.n, c.c, c.h, c.w)
		v := randn(rng, c.n, c.c, c.layer().windows(c.h), c.layer().windows(c.w))
		y, dx := plainMaxPool(c, float64s(in), float64s(v))
		for name, b := range bs {
			out, err := CallOnceN(b, func(x, v *Node) []*Node {
				y := c.layer().apply(x, nil, Hooks{})
				return []*Node{y, Gradient(ReduceAllSum(Mul(y, v)), x)[0]}
			}, clone(t, in), clone(t, v))
			if err != nil {
				t.Errorf("%s %v: %v", name, c, err)
				continue
			}
			for k, want := range [][]float64{y, dx} {
				got := tensors.MustCopyFlatData[float32](out[k])
				if len(got) != len(want) {
					t.Fatalf("%s %v: %s has %d elements, want %d", name, c, []string{"output", "gradient"}[k], len(got), len(want))
				}
				if e := relativeError(got, want); !(e <= 1e-6) || k == 0 && e != 0 {
					t.Errorf("%s %v: %s has relative error %g", name, c, []string{"output", "gradient"}[k], e)
				}
			}
		}
	}
}

// TestMaxPoolNegative has nothing but negative infinity in a window.
func TestMaxPoolNegative(t *testing.T) {
	for name, b := range backends(t) {
		low := float32(math.Inf(-1))
		y, err := CallOnce(b, func(x *Node) *Node { return maxPool(x, 2, ConvSpec{Stride: 2}) }, [][][][]float32{{{{low, low, -3}, {low, low, -4}}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := tensors.MustCopyFlatData[float32](y); len(got) != 1 || got[0] != low {
			t.Errorf("%s: maximum %v, want %v", name, got, low)
		}
	}
}

// BenchmarkMaxPool is ResNet's pooling of 8 images.
func BenchmarkMaxPool(b *testing.B) {
	c := poolCase{8, 64, 112, 112, 3, 2, 1}
	s := c.layer().ConvSpec
	rng := rand.New(rand.NewPCG(1, 0))
	x := randn(rng, c.n, c.c, c.h, c.w)
	v := randn(rng, c.n, c.c, c.layer().windows(c.h), c.layer().windows(c.w))
	for name, be := range backends(b) {
		for part, fn := range map[string]func(x, v *Node) *Node{
			"taps":     func(x, v *Node) *Node { return axisMax(windowTaps(axisMax(windowTaps(x, 3, c.k, s)), 2, c.k, s)) },
			"window":   func(x, v *Node) *Node { return windowMax(x, c.k, s) },
			"gradient": func(x, v *Node) *Node { return maxGradient(x, v, c.k, s) },
		} {
			b.Run(name+"/"+part, func(b *testing.B) {
				e := MustNewExec(be, fn)
				in, gradient := clone(b, x), clone(b, v)
				e.MustCall(in, gradient)[0].MustFinalizeAll()
				for b.Loop() {
					e.MustCall(in, gradient)[0].MustFinalizeAll()
				}
			})
		}
	}
}
