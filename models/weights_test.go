package models

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/nettest"
)

func TestWeightsCheck(t *testing.T) {
	n := tiny(t)
	for _, c := range []struct {
		name   string
		damage func(w Weights)
		want   string
	}{
		{"missing", func(w Weights) { delete(w, "bn.running_var") },
			`weights for tiny have no tensor "bn.running_var" of shape [2]`},
		{"renamed", func(w Weights) { w["fc.b"] = w["fc.bias"]; delete(w, "fc.bias") }, `no tensor "fc.bias" of shape [3]`},
		{"unknown", func(w Weights) { w["bn.num_batches"] = w["bn.weight"] },
			`tiny has no tensor "bn.num_batches", but the weights do`},
		{"shape", func(w Weights) { w["fc.weight"] = tensors.FromFlatDataAndDimensions(make([]float32, 6), 2, 3) },
			`tensor "fc.weight" has shape [2 3], expected [3 2]`},
		{"rank", func(w Weights) { w["fc.bias"] = tensors.FromFlatDataAndDimensions(make([]float32, 3), 3, 1) },
			`tensor "fc.bias" has shape [3 1], expected [3]`},
		{"type", func(w Weights) { w["fc.bias"] = tensors.FromValue([]float64{1, 2, 3}) },
			`tensor "fc.bias" is Float64, expected Float32`},
		{"nothing", func(w Weights) { clear(w) }, `no tensor "conv.weight" of shape [2 1 3 3]`},
	} {
		w := Init(n, 1)
		if err := w.Check(n); err != nil {
			t.Fatal(err)
		}
		c.damage(w)
		if err := w.Check(n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestInit(t *testing.T) {
	n := tiny(t)
	n.Layers[0].Op = Conv{In: 1, Out: 64, Window: SquareWindow(3, 1, 1), Groups: 1}
	n.Layers[1].Op = BatchNorm{Channels: 64, Eps: 1e-5}
	n.Layers[4].Op = Linear{In: 64, Out: 1000}
	w := Init(n, 3)
	hash := func(w Weights) string {
		h, err := w.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if hash(Init(n, 3)) != hash(w) {
		t.Error("the same seed gives other weights")
	}
	if hash(Init(n, 4)) == hash(w) {
		t.Error("another seed gives the same weights")
	}
	var squares float64 // He et al.: the variance is 2 divided by the number of inputs
	kernel := nettest.Float64s(w["fc.weight"])
	for _, x := range kernel {
		squares += x * x
	}
	if got, want := squares/float64(len(kernel)), 2.0/64; math.Abs(got/want-1) > 0.05 {
		t.Errorf("variance of a kernel is %g, want %g", got, want)
	}
	for suffix, want := range map[string]float32{".weight": 1, ".bias": 0, ".running_mean": 0, ".running_var": 1} {
		for _, x := range tensors.MustCopyFlatData[float32](w["bn"+suffix]) {
			if x != want {
				t.Errorf("bn%s has %v, want %v", suffix, x, want)
			}
		}
	}
}

// TestWeightsHash pins the hash that run folders record. Its origin: Python's hashlib of
// b"a (Float32)[2]\n" + struct.pack("<2f", 1, -2) + b"b.c (Float32)[1, 1]\n" + struct.pack("<f", 0.5).
func TestWeightsHash(t *testing.T) {
	hash := func(w Weights) string {
		h, err := w.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	w := func() Weights {
		return Weights{"a": tensors.FromValue([]float32{1, -2}), "b.c": tensors.FromValue([][]float32{{0.5}})}
	}
	const want = "eb6541eb2070f08dfca6cae670202ffc883f28a64659651cf2ca939d9ceaaa1e"
	if got := hash(w()); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	for name, change := range map[string]func(w Weights){
		"value": func(w Weights) { w["a"] = tensors.FromValue([]float32{1, 2}) },
		"name":  func(w Weights) { w["b"] = w["a"]; delete(w, "a") },
		"shape": func(w Weights) { w["a"] = tensors.FromValue([][]float32{{1, -2}}) },
	} {
		other := w()
		change(other)
		if hash(other) == want {
			t.Errorf("another %s has the same hash", name)
		}
	}
}
