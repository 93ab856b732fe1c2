package pdq

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"codeberg.org/sbinet/npyio/npz"
	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// golden reads numbers of the published PD-Quant reference (PyTorch 1.13, CPU, float32) on a small residual network.
// testdata/golden/README.md describes the keys.
type golden struct {
	t    *testing.T
	file *npz.Reader
}

// openGolden opens a file of testdata/golden, and closes it at the end of the test.
func openGolden(t *testing.T, name string) golden {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long; run without -short")
	}
	file, err := npz.Open(filepath.Join("..", "testdata", "golden", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return golden{t, file}
}

// floats returns the array of a key.
func (g golden) floats(key string) []float32 {
	g.t.Helper()
	var v []float32
	if err := g.file.Read(key+".npy", &v); err != nil {
		g.t.Fatalf("%s: %v", key, err)
	}
	return v
}

// integer returns the integer of a key.
func (g golden) integer(key string) int {
	g.t.Helper()
	var v int32
	if err := g.file.Read(key+".npy", &v); err != nil {
		g.t.Fatalf("%s: %v", key, err)
	}
	return int(v)
}

// tensor returns the array of a key as a new tensor. (A tensor belongs to the first backend that uses it.)
func (g golden) tensor(key string) *tensors.Tensor {
	g.t.Helper()
	v := g.floats(key)
	return tensors.FromFlatDataAndDimensions(v, g.file.Header(key+".npy").Descr.Shape...)
}

// cache returns the array of a key as a cache.
func (g golden) cache(key string) *Cache {
	g.t.Helper()
	return exec.CacheOf(g.floats(key), g.file.Header(key+".npy").Descr.Shape...)
}

// goldenNetwork returns the network of the golden numbers.
func goldenNetwork(t *testing.T) (*models.Network, models.Weights) {
	t.Helper()
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 16, Input: arch.SquareInput(3, 16, 10)})
	if err != nil {
		t.Fatal(err)
	}
	g, w := openGolden(t, "weights.npz"), models.Weights{}
	for _, p := range n.Params() {
		w[p.Name] = g.tensor(p.Name)
	}
	return n, w
}

// goldenConfig returns the settings of the golden numbers: Paper's, without anything random.
func goldenConfig(t *testing.T) Config {
	t.Helper()
	c, err := Paper("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	c.Rounding.Steps, c.Rounding.BatchSize, c.Rounding.InputDrop, c.Rounding.ActDrop = 20, 16, 0, 0
	return c
}

// goldenQuantizer returns a quantizer of the golden network. Its one calibration image is a placeholder: the golden
// images aren't bytes, so tests give them to the steps directly.
func goldenQuantizer(t *testing.T, b compute.Backend, c Config) *Quantizer {
	t.Helper()
	n, w := goldenNetwork(t)
	q, err := New(b, Problem{n, w,
		datasets.Images{Name: "placeholder", Channels: 3, Height: 16, Width: 16, Pixels: make([]uint8, 3*16*16),
			Labels: []int32{0}, Classes: make([]string, 10), Mean: make([]float32, 3), Std: []float32{1, 1, 1}}}, c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// referenceLayer returns the reference's name for a layer of the folded network.
func referenceLayer(name string) string {
	return strings.Replace(name, "downsample.0", "downsample", 1)
}

// flat returns a tensor's values.
func flat(t *testing.T, x any) []float32 {
	t.Helper()
	if c, ok := x.(*Cache); ok {
		v := make([]float32, exec.Product(c.Dims()))
		if err := c.Read(v, 0); err != nil {
			t.Fatal(err)
		}
		return v
	}
	v, err := tensors.CopyFlatData[float32](x.(*tensors.Tensor))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// distance returns |got-want|/|want| in Euclidean norms, or |got| if want is 0.
func distance(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var d, s float64
	for i, w := range want {
		e := float64(got[i]) - float64(w)
		d, s = d+e*e, s+float64(w)*float64(w)
	}
	if s == 0 {
		s = 1
	}
	return math.Sqrt(d / s)
}

// worst returns the largest |got-want|/|want| of an element, or |got| where want is 0.
func worst(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var most float64
	for i := range want {
		most = max(most, distance(got[i:i+1], want[i:i+1]))
	}
	return most
}

// within logs the error of the quantity called what, and fails the test if it is above limit or NaN.
func within(t *testing.T, what string, err, limit float64) {
	t.Helper()
	t.Logf("%-48s error %.1e, limit %.0e", what, err, limit)
	if !(err <= limit) {
		t.Errorf("%s: error %g is above %g", what, err, limit)
	}
}

// difference returns a-b.
func difference(a, b []float32) []float32 {
	d := make([]float32, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

func TestGoldenTeacher(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		g, q := openGolden(t, "golden.npz"), goldenQuantizer(t, b, goldenConfig(t))
		logits := func(n *models.Network, w models.Weights) []float32 {
			out, err := exec.NewRunner(b, exec.Crew{Workers: 2}, n).Run(context.Background(), func(xs []*Node) []*Node {
				return []*Node{n.Forward(xs[0], 0, len(n.Layers)-1, models.Hooks{Param: exec.Constants(xs[0].Graph(), w)})}
			}, g.cache("x"))
			if err != nil {
				t.Fatal(err)
			}
			return flat(t, out[0])
		}
		within(t, "teacher's logits", distance(logits(q.p.Network, q.p.Weights), g.floats("fp_logits")), 1e-5)
		within(t, "folded network's logits", distance(logits(q.folded, q.weights), g.floats("fp_logits")), 1e-5)
		for _, l := range q.folded.Layers {
			for _, p := range l.Params() {
				key := "folded/" + referenceLayer(l.Name) + strings.TrimPrefix(p.Name, l.Name)
				within(t, key, distance(flat(t, q.weights[p.Name]), g.floats(key)), 1e-5)
			}
		}
	})
}

func TestGoldenWeightScales(t *testing.T) {
	g, q := openGolden(t, "golden.npz"), goldenQuantizer(t, anyBackend(t), goldenConfig(t))
	for _, bits := range []int{2, 3, 4, 8} {
		if bits == 8 && testing.Short() {
			continue // 25,600 candidates per channel
		}
		low := Bits{W: bits, A: bits, Rule: QDrop}
		for _, lb := range low.rule(q.folded) {
			if lb.Weight == 0 {
				continue
			}
			key := fmt.Sprintf("wscale/w%d/%s", bits, referenceLayer(lb.Layer))
			if want := g.integer(key + ".bits"); lb.Weight != want {
				t.Errorf("%s: %d bits, reference %d", key, lb.Weight, want)
			}
			want := WeightQuant{Scale: g.floats(key + ".delta"), Zero: g.floats(key + ".zero_point")}
			got, err := searchWeight(t.Context(), flat(t, q.weights[lb.Layer+".weight"]), len(want.Scale), lb.Weight, q.c.Scales)
			if err != nil {
				t.Fatal(err)
			}
			checkScales(t, key, got, want)
		}
	}
}

// checkScales compares a searched quantiser with the reference's, channel by channel. (The reference scores candidates
// in float32. In these cases no near tie makes it choose another one.)
func checkScales(t *testing.T, what string, got, want WeightQuant) {
	t.Helper()
	if !slices.Equal(got.Zero, want.Zero) {
		t.Errorf("%s: zero points %v, reference %v", what, got.Zero, want.Zero)
	}
	within(t, what, worst(got.Scale, want.Scale), 1e-5)
}

func TestGoldenActivationScales(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		g, c := openGolden(t, "golden.npz"), goldenConfig(t)
		for _, name := range []string{"relu", "signed", "tail"} {
			for _, bits := range []int{2, 3, 4, 8} {
				key := fmt.Sprintf("act/%s.b%d", name, bits)
				a, err := searchActivation(t.Context(), g.floats("act/"+name+".x"), bits, c.Scales)
				if err != nil {
					t.Fatal(err)
				}
				checkScales(t, key, WeightQuant{Scale: []float32{a.Scale}, Zero: []float32{a.Zero}},
					WeightQuant{Scale: g.floats(key + ".delta"), Zero: g.floats(key + ".zero_point")})
				y := MustExecOnce(b, func(x *Node) *Node {
					return FakeQuantize(x, Const(x.Graph(), a.Scale), a.Zero, bits, Pass)
				}, g.tensor("act/"+name+".x"))
				within(t, key+".dequantized", worst(flat(t, y), g.floats(key+".dequantized")), 1e-5)
			}
		}
	})
}
