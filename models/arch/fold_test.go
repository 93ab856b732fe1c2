package arch

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/models"
)

func TestFold(t *testing.T) {
	rng := random(t)
	for name, n := range networks(t) {
		w := randomWeights(n, rng)
		before, err := w.Hash()
		if err != nil {
			t.Fatal(err)
		}
		layers := len(n.Layers)
		f, fw, err := models.Fold(n, w)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := w.Hash(); err != nil || after != before || len(n.Layers) != layers || n.Validate() != nil {
			t.Errorf("%s: Fold changed what it was given (%v)", name, err)
		}
		if err := fw.Check(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		x := nettest.Randn(rng, 2, n.Channels, n.Height, n.Width)
		want := forward(t, n, w, x, 0, len(n.Layers)-1)
		got := forward(t, f, fw, x, 0, len(f.Layers)-1)
		if e := nettest.RelativeError(got, nettest.Float64s(tensors.FromValue(want))); !(e <= 1e-5) {
			t.Errorf("%s: folded logits have relative error %g", name, e)
		}
		for i, u := range f.Units {
			old := n.Units[i]
			if u.Name != old.Name || f.Layers[u.First].Name != n.Layers[old.First].Name {
				t.Errorf("%s: unit %d is %s from %s, want %s from %s",
					name, i, u.Name, f.Layers[u.First].Name, old.Name, n.Layers[old.First].Name)
			}
		}
		for _, l := range f.Layers {
			if c, ok := l.Op.(models.Conv); l.Op.Kind() == "batchnorm" || ok && !c.Bias {
				t.Errorf("%s: %s (%s) is left", name, l.Name, l.Op.Kind())
			}
		}
	}
}

// TestFoldUnits compares every unit's output, not only the logits, so that bounds which are off by one show.
func TestFoldUnits(t *testing.T) {
	rng := random(t)
	n := networks(t)["mobilenetv2/28"] // its units end in an Add or a BatchNorm
	w := randomWeights(n, rng)
	f, fw, err := models.Fold(n, w)
	if err != nil {
		t.Fatal(err)
	}
	x := nettest.Randn(rng, 1, 1, 28, 28)
	for i, u := range n.Units {
		want := forward(t, n, w, x, 0, u.Last)
		got := forward(t, f, fw, x, 0, f.Units[i].Last)
		if e := nettest.RelativeError(got, nettest.Float64s(tensors.FromValue(want))); !(e <= 1e-5) {
			t.Errorf("output of %s has relative error %g", u.Name, e)
		}
	}
}

// TestFoldBias folds into a convolution that already has a bias.
func TestFoldBias(t *testing.T) {
	rng := random(t)
	n := tiny(t)
	conv := n.Layers[0].Op.(models.Conv)
	conv.Bias = true
	n.Layers[0].Op = conv
	w := randomWeights(n, rng)
	w["conv.bias"] = nettest.Randn(rng, 2)
	f, fw, err := models.Fold(n, w)
	if err != nil {
		t.Fatal(err)
	}
	x := nettest.Randn(rng, 3, 1, 6, 6)
	want := forward(t, n, w, x, 0, len(n.Layers)-1)
	if e := nettest.RelativeError(forward(t, f, fw, x, 0, len(f.Layers)-1),
		nettest.Float64s(tensors.FromValue(want))); !(e <= 1e-5) {
		t.Errorf("relative error %g", e)
	}
}

// TestFoldAlone has normalisations that no convolution can take: they stay, as layers that scale and shift.
func TestFoldAlone(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(b *builder) string
	}{
		{"of the image", func(b *builder) string { return b.norm("bn", models.Image) }},
		{"of an activation", func(b *builder) string {
			return b.norm("bn", b.activation(models.ReLU{}, "relu", b.conv("conv", models.Image, 2, 3, 1, 1)))
		}},
		{"of a shared convolution", func(b *builder) string {
			x := b.conv("conv", models.Image, 2, 3, 1, 1)
			return b.sum("add", b.norm("bn", x), x)
		}},
		{"of another unit's", func(b *builder) string {
			x := b.conv("conv", models.Image, 2, 3, 1, 1)
			b.unit("a")
			return b.activation(models.ReLU{}, "relu", b.norm("bn", x))
		}},
	} {
		rng := random(t)
		b := newBuilder("odd", SquareInput(1, 6, 3))
		x := c.build(b)
		b.unit("stem")
		b.classifier("fc", x)
		n, err := b.done()
		if err != nil {
			t.Fatal(err)
		}
		w := randomWeights(n, rng)
		f, fw, err := models.Fold(n, w)
		if err != nil {
			t.Fatalf("normalisation %s: %v", c.name, err)
		}
		if kind := f.Layers[f.Index("bn")].Op.Kind(); kind != "scale-shift" {
			t.Errorf("normalisation %s: a layer of kind %s, want scale-shift", c.name, kind)
		}
		images := nettest.Randn(rng, 2, 1, 6, 6)
		want := forward(t, n, w, images, 0, len(n.Layers)-1)
		got := forward(t, f, fw, images, 0, len(f.Layers)-1)
		if e := nettest.RelativeError(got, nettest.Float64s(tensors.FromValue(want))); !(e <= 1e-5) {
			t.Errorf("normalisation %s: relative error %g", c.name, e)
		}
	}
}

func TestFoldErrors(t *testing.T) {
	n := tiny(t)
	w := models.Init(n, 1)
	w["conv.weight"] = tensors.FromShape(shapes.Make(dtypes.Float64, 2, 1, 3, 3))
	if _, _, err := models.Fold(n, w); err == nil || !strings.Contains(err.Error(), `tensor "conv.weight" is Float64`) {
		t.Errorf("float64: %v", err)
	}
	n.Units[1].Last = 5
	if _, _, err := models.Fold(n, models.Init(n, 1)); err == nil ||
		!strings.Contains(err.Error(), "unit fc is layers 4 to 5") {
		t.Errorf("a unit that ends beyond the layers: %v", err)
	}
	n = tiny(t)
	w = models.Init(n, 1)
	w["bn.running_var"] = tensors.FromValue([]float32{1, -0.5})
	if _, _, err := models.Fold(n, w); err == nil || !strings.Contains(err.Error(), "bn.running_var[1] is -0.5") {
		t.Errorf("negative variance: %v", err)
	}
	delete(w, "bn.running_var")
	if _, _, err := models.Fold(n, w); err == nil || !strings.Contains(err.Error(), `"bn.running_var"`) {
		t.Errorf("missing tensor: %v", err)
	}
}

// TestFoldDistant has a normalisation some layers after its convolution.
func TestFoldDistant(t *testing.T) {
	rng := random(t)
	b := newBuilder("distant", SquareInput(1, 6, 3))
	a, c := b.conv("a", models.Image, 2, 3, 1, 1), b.conv("c", models.Image, 2, 1, 1, 1)
	b.sum("add", b.norm("a.bn", a), b.norm("c.bn", c))
	b.unit("stem")
	b.classifier("fc", "add")
	n, err := b.done()
	if err != nil {
		t.Fatal(err)
	}
	w := randomWeights(n, rng)
	f, fw, err := models.Fold(n, w)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range f.Layers {
		names = append(names, l.Name)
	}
	if want := []string{"a", "c", "add", "avgpool", "fc"}; !slices.Equal(names, want) {
		t.Errorf("layers %v, want %v", names, want)
	}
	x := nettest.Randn(rng, 2, 1, 6, 6)
	want := forward(t, n, w, x, 0, len(n.Layers)-1)
	if e := nettest.RelativeError(forward(t, f, fw, x, 0, len(f.Layers)-1),
		nettest.Float64s(tensors.FromValue(want))); !(e <= 1e-5) {
		t.Errorf("relative error %g", e)
	}
}
