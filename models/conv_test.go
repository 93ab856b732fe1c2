package models

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/pdq/backend"
)

// backends opens the Go backend, and ONNX Runtime where its library is.
func backends(t testing.TB) map[string]compute.Backend {
	t.Helper()
	bs := map[string]compute.Backend{}
	for _, name := range []string{"go", "onnx"} {
		b, note, err := backend.Open(name)
		if err != nil && name == "onnx" {
			t.Logf("without ONNX Runtime: %v", err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		t.Log(note)
		bs[name] = b
	}
	return bs
}

func randn(rng *rand.Rand, dims ...int) *tensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(v, dims...)
}

// clone copies x: a tensor belongs to the first backend that uses it.
func clone(t testing.TB, x *tensors.Tensor) *tensors.Tensor {
	c, err := x.LocalClone()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type convCase struct{ n, c, h, w, o, k, stride, pad, groups int }

func (c convCase) String() string {
	return fmt.Sprintf("n%dc%dh%dw%do%dk%ds%dp%dg%d", c.n, c.c, c.h, c.w, c.o, c.k, c.stride, c.pad, c.groups)
}

// plainConv is the definition, in float64, with its gradients for an arriving gradient v.
func plainConv(c convCase, x, w, v []float32) (y, dx, dw []float64, ho, wo int) {
	ho, wo = (c.h+2*c.pad-c.k)/c.stride+1, (c.w+2*c.pad-c.k)/c.stride+1
	cg, og := c.c/c.groups, c.o/c.groups
	y, dx, dw = make([]float64, c.n*c.o*ho*wo), make([]float64, len(x)), make([]float64, len(w))
	for n := range c.n {
		for o := range c.o {
			for i := range ho {
				for j := range wo {
					yi := ((n*c.o+o)*ho+i)*wo + j
					for ci := range cg {
						for ki := range c.k {
							for kj := range c.k {
								xi, xj := i*c.stride+ki-c.pad, j*c.stride+kj-c.pad
								if xi < 0 || xj < 0 || xi >= c.h || xj >= c.w {
									continue
								}
								a := ((n*c.c+o/og*cg+ci)*c.h+xi)*c.w + xj
								b := ((o*cg+ci)*c.k+ki)*c.k + kj
								y[yi] += float64(x[a]) * float64(w[b])
								if v != nil {
									dx[a] += float64(v[yi]) * float64(w[b])
									dw[b] += float64(v[yi]) * float64(x[a])
								}
							}
						}
					}
				}
			}
		}
	}
	return y, dx, dw, ho, wo
}

func relativeError(got []float32, want []float64) float64 {
	var d, s float64
	for i := range want {
		d += (float64(got[i]) - want[i]) * (float64(got[i]) - want[i])
		s += want[i] * want[i]
	}
	return math.Sqrt(d / max(s, 1e-30))
}

func randomConvCase(rng *rand.Rand) convCase {
	g := []int{1, 1, 2, 3}[rng.IntN(4)]
	c := convCase{n: 1 + rng.IntN(3), c: g * (1 + rng.IntN(3)), o: g * (1 + rng.IntN(3)), k: []int{1, 3, 3, 5}[rng.IntN(4)], stride: 1 + rng.IntN(2), groups: g}
	if rng.IntN(4) == 0 {
		c.groups, c.o = c.c, c.c
	}
	c.pad = rng.IntN(c.k/2 + 1)
	c.h, c.w = c.k+rng.IntN(7), c.k+rng.IntN(7)
	return c
}

func TestConvolve(t *testing.T) {
	rng := random(t)
	bs := backends(t)
	for range 40 {
		c := randomConvCase(rng)
		x, w := randn(rng, c.n, c.c, c.h, c.w), randn(rng, c.o, c.c/c.groups, c.k, c.k)
		_, _, _, ho, wo := plainConv(c, tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](w), nil)
		v := randn(rng, c.n, c.o, ho, wo)
		y, dx, dw, _, _ := plainConv(c, tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](w), tensors.MustCopyFlatData[float32](v))
		for name, b := range bs {
			out := MustExecOnceN(b, func(x, w, v *Node) []*Node {
				y := convolve(x, w, ConvSpec{c.stride, c.pad, c.groups})
				g := Gradient(ReduceAllSum(Mul(y, v)), x, w)
				return []*Node{y, g[0], g[1]}
			}, clone(t, x), clone(t, w), clone(t, v))
			for i, want := range [][]float64{y, dx, dw} {
				if e := relativeError(tensors.MustCopyFlatData[float32](out[i]), want); e > 1e-5 {
					t.Errorf("%s %v: %s has relative error %g", name, c, []string{"output", "input gradient", "weight gradient"}[i], e)
				}
			}
		}
	}
}

func BenchmarkConvolve(b *testing.B) {
	for name, be := range backends(b) {
		for _, c := range []convCase{
			{32, 16, 28, 28, 16, 3, 1, 1, 1}, {32, 16, 28, 28, 32, 3, 2, 1, 1}, {32, 32, 14, 14, 32, 3, 1, 1, 1}, {32, 64, 7, 7, 64, 3, 1, 1, 1},
			{32, 64, 14, 14, 64, 3, 1, 1, 64}, {32, 64, 14, 14, 64, 3, 1, 1, 8}, {32, 32, 14, 14, 128, 1, 1, 0, 1}} {
			rng := rand.New(rand.NewPCG(1, 0))
			x, w := randn(rng, c.n, c.c, c.h, c.w), randn(rng, c.o, c.c/c.groups, c.k, c.k)
			s := ConvSpec{c.stride, c.pad, c.groups}
			ho, wo := (c.h+2*c.pad-c.k)/c.stride+1, (c.w+2*c.pad-c.k)/c.stride+1
			v := randn(rng, c.n, c.o, ho, wo)
			flop := 2 * float64(c.n*c.o*ho*wo*c.c/c.groups*c.k*c.k)
			for part, fn := range map[string]any{
				"forward": func(x, w, v *Node) *Node { return convForward(x, w, s) },
				"input":   func(x, w, v *Node) *Node { return convInputGradient(v, w, c.h, c.w, s) },
				"weight":  func(x, w, v *Node) *Node { return convWeightGradient(x, v, c.k, s) },
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
