package pdq

import (
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// The quantiser and its gradients for one value, by definition.
func plainQuantize(x, s, z float64, bits int) (y, dx, ds float64) {
	last := float64(int(1)<<bits - 1)
	level := math.RoundToEven(x/s) + z
	clipped := min(max(level, 0), last) - z
	if level < 0 || level > last {
		return clipped * s, 0, clipped
	}
	return clipped * s, 1, clipped - x/s
}

func TestFakeQuantize(t *testing.T) {
	xs := []float32{-3, -1.51, -0.76, -0.3, 0, 0.1, 0.24, 0.26, 0.74, 0.76, 1.2, 1.49, 1.6, 9}
	for _, c := range []struct {
		scale, zero float32
		bits        int
	}{{0.5, 0, 2}, {0.5, 2, 2}, {0.25, 3, 2}, {0.1, 4, 3}, {0.01, 128, 8}} {
		eachBackend(t, func(t *testing.T, b compute.Backend) {
			out := MustExecOnceN(b, func(x, s *Node) []*Node {
				y := FakeQuantize(x, s, c.zero, c.bits)
				g := Gradient(ReduceAllSum(y), x, s)
				return []*Node{y, g[0], g[1]}
			}, xs, c.scale)
			y, dx := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
			var ds float64
			for i, x := range xs {
				wantY, wantDx, d := plainQuantize(float64(x), float64(c.scale), float64(c.zero), c.bits)
				ds += d
				if math.Abs(float64(y[i])-wantY) > 1e-6 || float64(dx[i]) != wantDx {
					t.Errorf("%+v: x %g gives %g with gradient %g, want %g and %g", c, x, y[i], dx[i], wantY, wantDx)
				}
			}
			if got := float64(tensors.ToScalar[float32](out[2])); math.Abs(got-ds) > 1e-4*math.Abs(ds) {
				t.Errorf("%+v: gradient of the scale %g, want %g", c, got, ds)
			}
		})
	}
}

// TestDropQuantize: where the mask is 0, values and their gradients pass unchanged, and add nothing to the scale's
// gradient. Values that aren't negative need no lower bound.
func TestDropQuantize(t *testing.T) {
	xs := []float32{0, 0.1, 0.24, 0.26, 0.74, 0.76, 1.2, 1.49, 1.6, 9, 0, 0.1, 0.3, 0.76, 1.6, 9}
	keep := []float32{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}
	const scale, bits = 0.5, 2
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		for name, l := range map[string]levels{"both bounds": levelRange(0, bits),
			"upper bound": levelRange(0, bits).notNegative()} {
			out := MustExecOnceN(b, func(x, s, keep *Node) []*Node {
				y := l.dropQuantize(x, s, keep)
				g := Gradient(ReduceAllSum(y), x, s)
				return []*Node{y, g[0], g[1]}
			}, xs, float32(scale), keep)
			y, dx := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
			var ds float64
			for i, x := range xs {
				wantY, wantDx, d := float64(x), 1., 0.
				if keep[i] == 1 {
					wantY, wantDx, d = plainQuantize(float64(x), scale, 0, bits)
				}
				ds += d
				if math.Abs(float64(y[i])-wantY) > 1e-6 || float64(dx[i]) != wantDx {
					t.Errorf("%s: x %g, keep %g gives %g with gradient %g, want %g and %g", name, x, keep[i], y[i], dx[i], wantY,
						wantDx)
				}
			}
			if got := float64(tensors.ToScalar[float32](out[2])); math.Abs(got-ds) > 1e-4*math.Abs(ds) {
				t.Errorf("%s: gradient of the scale %g, want %g", name, got, ds)
			}
		}
	})
}

func TestSoftRoundGradient(t *testing.T) {
	base, alpha := []float32{-1, 0, 1, 2, 3}, []float32{0.3, -0.7, 1.1, 4, -0.2}
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		f := func(base, alpha *Node) []*Node {
			g := base.Graph()
			y := ReduceAllSum(Square(SoftRound(base, alpha, Const(g, float32(0.5)), Const(g, float32(1)), 2)))
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
				t.Errorf("α %g on %g: gradient %g, finite differences %g", alpha[i], base[i], grad[i], want)
			}
		}
	})
}

func TestLosses(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		y, target := [][]float32{{1, 2}, {3, 4}}, [][]float32{{0, 2}, {1, 1}}
		out := MustExecOnceN(b, func(y, target *Node) []*Node {
			return []*Node{ReconstructionLoss(y, target), PredictionDifference(target, y, 2), PredictionDifference(y, y, 2),
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
