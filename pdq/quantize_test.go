package pdq

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// The quantiser and its gradients for one value, by definition.
func plainQuantize(x, s, z float64, bits int, edges Edges) (y, dx, ds float64) {
	last := float64(int(1)<<bits - 1)
	level := math.RoundToEven(x/s) + z
	clipped := min(max(level, 0), last) - z
	if plainClip(level, last, edges) == 0 {
		return clipped * s, 0, clipped
	}
	return clipped * s, 1, clipped - x/s
}

// plainClip returns the gradient of clip(x, 0, last).
func plainClip(x, last float64, edges Edges) float64 {
	switch {
	case x < 0, x > last, x == 0 && (edges == Block || edges == BlockLowest),
		x == last && (edges == Block || edges == BlockHighest):
		return 0
	}
	return 1
}

// everyEdges calls f with each choice.
func everyEdges(f func(Edges)) {
	for i := range edgeNames() {
		f(Edges(i))
	}
}

// TestClip: torch.clamp(x, 0, 3) has these gradients at -1, 0, 1, 3 and 4 in PyTorch 1.13 (pass) and 2.15 (block).
func TestClip(t *testing.T) {
	want := map[Edges][]float32{Pass: {0, 1, 1, 1, 0}, Block: {0, 0, 1, 0, 0}, BlockLowest: {0, 0, 1, 1, 0},
		BlockHighest: {0, 1, 1, 0, 0}}
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		everyEdges(func(e Edges) {
			out := MustExecOnce(b, func(x *Node) *Node { return Gradient(ReduceAllSum(clip(x, 0, 3, e)), x)[0] },
				[]float32{-1, 0, 1, 3, 4})
			if got := tensors.MustCopyFlatData[float32](out); !slices.Equal(got, want[e]) {
				t.Errorf("%s: gradients %g, want %g", e, got, want[e])
			}
		})
	})
}

func TestFakeQuantize(t *testing.T) {
	xs := []float32{-3, -1.51, -0.76, -0.3, 0, 0.1, 0.24, 0.26, 0.74, 0.76, 1.2, 1.49, 1.6, 9}
	for _, c := range []struct {
		scale, zero float32
		bits        int
	}{{0.5, 0, 2}, {0.5, 2, 2}, {0.25, 3, 2}, {0.1, 4, 3}, {0.01, 128, 8}} {
		eachBackend(t, func(t *testing.T, b compute.Backend) {
			everyEdges(func(e Edges) {
				out := MustExecOnceN(b, func(x, s *Node) []*Node {
					y := FakeQuantize(x, s, c.zero, c.bits, e)
					g := Gradient(ReduceAllSum(y), x, s)
					return []*Node{y, g[0], g[1]}
				}, xs, c.scale)
				compareQuantised(t, fmt.Sprintf("%+v %s", c, e), out, xs, func(i int) (y, dx, ds float64) {
					return plainQuantize(float64(xs[i]), float64(c.scale), float64(c.zero), c.bits, e)
				})
			})
		})
	}
}

// compareQuantised compares the quantised values xs, their gradients and the scale's with those of each value.
func compareQuantised(t *testing.T, what string, out []*tensors.Tensor, xs []float32,
	want func(i int) (y, dx, ds float64)) {
	t.Helper()
	y, dx := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
	var sum float64
	for i, x := range xs {
		wantY, wantDx, ds := want(i)
		sum += ds
		if math.Abs(float64(y[i])-wantY) > 1e-6 || float64(dx[i]) != wantDx {
			t.Errorf("%s: x[%d] = %g gives %g with gradient %g, want %g and %g", what, i, x, y[i], dx[i], wantY, wantDx)
		}
	}
	if got := float64(tensors.ToScalar[float32](out[2])); math.Abs(got-sum) > 1e-4*math.Abs(sum) {
		t.Errorf("%s: gradient of the scale %g, want %g", what, got, sum)
	}
}

// TestDropQuantize: where the mask is 0, values and their gradients pass unchanged, and add nothing to the scale's
// gradient. Values that aren't negative need no lower bound.
func TestDropQuantize(t *testing.T) {
	xs := []float32{0, 0.1, 0.24, 0.26, 0.74, 0.76, 1.2, 1.49, 1.6, 9, 0, 0.1, 0.3, 0.76, 1.6, 9}
	keep := []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}
	const scale, bits = 0.5, 2
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		for _, zero := range []float32{0, 1} {
			everyEdges(func(e Edges) {
				l := levelRange(zero, bits, e)
				for name, l := range map[string]levels{"both bounds": l, "upper bound": l.notNegative()} {
					out := MustExecOnceN(b, func(x, s, keep *Node) []*Node {
						y := l.dropQuantize(x, s, keep)
						g := Gradient(ReduceAllSum(y), x, s)
						return []*Node{y, g[0], g[1]}
					}, xs, float32(scale), keep)
					what := fmt.Sprintf("%s, zero point %g, %s", name, zero, e)
					compareQuantised(t, what, out, xs, func(i int) (y, dx, ds float64) {
						if keep[i] == 0 {
							return float64(xs[i]), 1, 0
						}
						return plainQuantize(float64(xs[i]), scale, float64(zero), bits, e)
					})
				}
			})
		}
	})
}

// TestDropQuantizeRows: with a scale for each row, unmasked, values and gradients are FakeQuantize's.
func TestDropQuantizeRows(t *testing.T) {
	xs, scales := [][]float32{{0.1, 0.26, 1.6}, {0.3, 0.76, 9}}, [][]float32{{0.5}, {0.25}}
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		out := MustExecOnceN(b, func(x, s *Node) []*Node {
			fake, drop := FakeQuantize(x, s, 1, 2, Pass), DropQuantize(x, s, 1, OnesLike(x), 2, Pass)
			return []*Node{fake, Gradient(ReduceAllSum(fake), s)[0], drop, Gradient(ReduceAllSum(drop), s)[0]}
		}, xs, scales)
		for i, what := range []string{"value", "gradient of the scale"} {
			want, got := tensors.MustCopyFlatData[float32](out[i]), tensors.MustCopyFlatData[float32](out[i+2])
			for k := range want {
				if math.Abs(float64(got[k]-want[k])) > 1e-5 {
					t.Errorf("%s %d is %g, want %g", what, k, got[k], want[k])
				}
			}
		}
	})
}

// TestSoftRoundGradient: inside the bounds, edges change nothing.
func TestSoftRoundGradient(t *testing.T) {
	base, alpha := []float32{-1, 0, 1, 2, 3}, []float32{0.3, -0.7, 1.1, 4, -0.2}
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		everyEdges(func(e Edges) {
			f := func(base, alpha *Node) []*Node {
				g := base.Graph()
				y := ReduceAllSum(Square(SoftRound(base, alpha, Const(g, float32(0.5)), Const(g, float32(1)), 2, e)))
				return append(Gradient(y, alpha), y)
			}
			grad := tensors.MustCopyFlatData[float32](MustExecOnceN(b, f, base, alpha)[0])
			const step = 1e-2
			for i := range alpha {
				value := func(d float32) float64 {
					moved := append([]float32{}, alpha...)
					moved[i] += d
					return float64(tensors.ToScalar[float32](MustExecOnceN(b, f, base, moved)[1]))
				}
				want := (value(step) - value(-step)) / (2 * step)
				if math.Abs(float64(grad[i])-want) > 1e-3 {
					t.Errorf("%s: α %g on %g: gradient %g, finite differences %g", e, alpha[i], base[i], grad[i], want)
				}
			}
		})
	})
}

func TestLosses(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		y, target := [][]float32{{1, 2}, {3, 4}}, [][]float32{{0, 2}, {1, 1}}
		out := MustExecOnceN(b, func(y, target *Node) []*Node {
			return []*Node{ReconstructionLoss(y, target, 1), PredictionDifference(target, y, 2), PredictionDifference(y, y, 2),
				RoundingLoss(y, Const(y.Graph(), float32(2))), FeatureLoss(y, target)}
		}, y, target)
		var kl, round float64
		for i := range y {
			p, q := softmax(target[i], 2), softmax(y[i], 2)
			for k := range p {
				kl += p[k] * math.Log(p[k]/q[k]) / 2
				h := min(max(1.2/(1+math.Exp(-float64(y[i][k])))-0.1, 0), 1)
				round += 1 - math.Pow(math.Abs(2*h-1), 2)
			}
		}
		for i, want := range []float64{(1 + 4 + 9) / 2., kl, 0, round, (1/4. + (4+9)/2.) / 2} {
			if got := float64(tensors.ToScalar[float32](out[i])); math.Abs(got-want) > 1e-5 {
				t.Errorf("loss %d is %g, want %g", i, got, want)
			}
		}
	})
}

// TestFeatureLossGradient compares the gradient with differences of the loss, also for an image whose features are 0.
func TestFeatureLossGradient(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		y, target := []float32{1, 2, 3, 4, 1e-4, 0}, []float32{0, 2, 1, 1, 0, 0}
		loss := func(y []float32) (float64, []float32) {
			out := MustExecOnceN(b, func(y, target *Node) []*Node {
				l := FeatureLoss(Reshape(y, 3, 2, 1, 1), Reshape(target, 3, 2, 1, 1))
				return append(Gradient(l, y), l)
			}, y, target)
			return float64(tensors.ToScalar[float32](out[1])), tensors.MustCopyFlatData[float32](out[0])
		}
		_, grad := loss(y)
		for i := range y {
			step := []float32{1e-2, 1e-2, 1e-2, 1e-2, 1e-5, 1e-5}[i]
			up, down := slices.Clone(y), slices.Clone(y)
			up[i] += step
			down[i] -= step
			above, _ := loss(up)
			below, _ := loss(down)
			if want := (above - below) / (2 * float64(step)); math.Abs(float64(grad[i])-want) > 0.01*max(1, math.Abs(want)) {
				t.Errorf("element %d: gradient %g, by differences %g", i, grad[i], want)
			}
		}
	})
}

func softmax(x []float32, t float64) []float64 {
	var sum float64
	p := make([]float64, len(x))
	for i, v := range x {
		p[i] = math.Exp(float64(v) / t)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}
