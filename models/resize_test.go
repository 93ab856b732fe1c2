package models

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
)

// resizeCases reads the layers in testdata/resize.tsv, and their outputs.
func resizeCases(t *testing.T) (ops []Resize, outputs [][]float64) {
	text, err := os.ReadFile("testdata/resize.tsv")
	if err != nil {
		t.Fatal(err)
	}
	numbers := func(text string) (out []float64) {
		for _, s := range strings.Fields(text) {
			v, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, v)
		}
		return out
	}
	modes := []string{"nearest", "linear", "cubic"}
	coords := []string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}
	roundings := []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		r := Resize{Mode: ResizeMode(slices.Index(modes, f[0])), Coord: ResizeCoord(slices.Index(coords, f[1])),
			Nearest: ResizeNearest(slices.Index(roundings, f[2])), Size: []int{1}, CubicA: -0.75}
		if f[3] != "-" {
			r.Scale = append([]float64{1}, numbers(f[3])...)
		}
		for _, size := range numbers(f[4]) {
			r.Size = append(r.Size, int(size))
		}
		ops, outputs = append(ops, r), append(outputs, numbers(f[5]))
	}
	return ops, outputs
}

// TestResize compares outputs with ONNX Runtime's own Resize. A gradient g for the output's gradient v is right if
// Σ g·z = Σ v·resize(z) for any z, because resizing is linear.
func TestResize(t *testing.T) {
	rng := random(t)
	x := tensors.FromValue([][][][]float32{{{{1, 2, 4, 8, 16}, {3, 5, 7, 11, 13}}}})
	ops, outputs := resizeCases(t)
	if len(ops) != 96 {
		t.Errorf("%d cases, want 96", len(ops))
	}
	bs := testbackend.All(t)
	for i, r := range ops {
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		z, v := nettest.Randn(rng, 1, 1, 2, 5), nettest.Randn(rng, append([]int{1}, r.Size...)...)
		for name, b := range bs {
			out, err := CallOnceN(b, func(x, z, v *Node) []*Node {
				y := r.Graph([]*Node{x}, nil)
				g := Gradient(ReduceAllSum(Mul(y, v)), x)[0]
				return []*Node{y, ReduceAllSum(Mul(g, z)), ReduceAllSum(Mul(v, r.Graph([]*Node{z}, nil)))}
			}, nettest.Clone(t, x), nettest.Clone(t, z), nettest.Clone(t, v))
			if err != nil {
				t.Fatal(err)
			}
			if got := tensors.MustCopyFlatData[float32](out[0]); len(got) != len(outputs[i]) {
				t.Errorf("%+v on %s: %d elements, want %d", r, name, len(got), len(outputs[i]))
			} else if e := nettest.RelativeError(got, outputs[i]); !(e <= 1e-6) {
				t.Errorf("%+v on %s: %v, want %v", r, name, got, outputs[i])
			}
			back, forth := tensors.ToScalar[float32](out[1]), tensors.ToScalar[float32](out[2])
			if !(math.Abs(float64(back-forth)) <= 1e-4) {
				t.Errorf("%+v on %s: gradient times z is %g, want %g", r, name, back, forth)
			}
		}
	}
}

// TestResizeChannels resizes all three axes of two images, doubled as nearest pixels and kept.
func TestResizeChannels(t *testing.T) {
	compareOps(t, []opCase{
		pickCase("resize", Resize{Size: []int{4, 3, 6}, Coord: ResizeAsymmetric, Nearest: ResizeFloor}, []int{2, 3, 2},
			[]int{4, 3, 6}, func(at []int) []int { return []int{at[0] / 2, at[1], at[2] / 3} }),
		pickCase("resize to itself", Resize{Size: []int{2, 3}, Mode: ResizeCubic}, []int{2, 3}, []int{2, 3},
			slices.Clone[[]int]),
	})
	checkShape(t, Resize{Size: []int{4, 3}}, []int{2, 3}, fmt.Sprint([]int{4, 3}))
	refuse(t, []refusal{
		{Resize{}, nil, "makes shape [] with scales []; both must be positive, and be for the same axes"},
		{Resize{Size: []int{2, 0}}, nil, "makes shape [2 0]"},
		{Resize{Size: []int{2, 2}, Scale: []float64{1}}, nil, "makes shape [2 2] with scales [1]"},
		{Resize{Size: []int{2}, Scale: []float64{0}}, nil, "makes shape [2] with scales [0]"},
		{Resize{Size: []int{2}, Mode: 3}, nil, "has mode 3, coordinates 0 and rounding 0; they must be among the constants"},
		{Resize{Size: []int{2}}, [][]int{{2, 3}}, "takes an input of 1 dimensions, but it has shape [2 3]"},
	})
}
