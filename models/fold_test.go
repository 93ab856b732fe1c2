package models

import (
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
)

// TestFoldLinear folds a normalisation into the linear layer before it, and compares the outputs.
func TestFoldLinear(t *testing.T) {
	n := &Network{Name: "mlp", Channels: 3, Height: 2, Width: 2, Classes: 2,
		Layers: []Layer{
			{"pool", []string{Image}, GlobalAvgPooling{}},
			{"fc", []string{"pool"}, Linear{In: 3, Out: 4}},
			{"bn", []string{"fc"}, BatchNorm{Channels: 4, Eps: 1e-3}},
			{"head", []string{"bn"}, Linear{In: 4, Out: 2}},
		},
		Units: []Unit{{"fc", 1, 2}, {"head", 3, 3}},
	}
	rng := random(t)
	w := Weights{}
	for _, p := range n.Params() {
		w[p.Name] = operand{dims: p.Shape, positive: p.Name == "bn.running_var"}.random(rng)
	}
	f, fw, err := Fold(n, w)
	if err != nil {
		t.Fatal(err)
	}
	if f.Index("bn") >= 0 || len(f.Layers) != 3 {
		t.Fatalf("folded network has layers %v", f.Layers)
	}
	x := nettest.Randn(rng, 5, 3, 2, 2)
	for name, b := range testbackend.All(t) {
		out, err := CallOnceN(b, func(x *Node) []*Node {
			g := x.Graph()
			return []*Node{n.Forward(x, 0, 3, constants(t, g, w)), f.Forward(x, 0, 2, constants(t, g, fw))}
		}, nettest.Clone(t, x))
		if err != nil {
			t.Fatal(err)
		}
		if e := nettest.RelativeError(tensors.MustCopyFlatData[float32](out[1]), nettest.Float64s(out[0])); e > 1e-6 {
			t.Errorf("%s: relative error %g", name, e)
		}
	}
}

// TestFoldSequence: the channels of a linear layer's sequence [L,Out] come last, where a normalisation doesn't take
// them. So the normalisation isn't merged.
func TestFoldSequence(t *testing.T) {
	n := &Network{Name: "sequence", Channels: 3, Height: 2, Width: 2, Classes: 3,
		Layers: []Layer{
			{"fc", []string{Image}, Linear{In: 2, Out: 3}},
			{"bn", []string{"fc"}, BatchNorm{Channels: 3, Eps: 1e-3}},
			{"pool", []string{"bn"}, GlobalAvgPooling{}},
		},
		Units: []Unit{{"fc", 0, 2}},
	}
	f, _, err := Fold(n, Init(n, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Layers[1].Op.(ScaleShift); !ok {
		t.Errorf("the normalisation became a %s", f.Layers[1].Op.Kind())
	}
}
