package arch

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"codeberg.org/sbinet/npyio/npy"
	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/formula"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models"
)

// goldenNames are the files in testdata/golden/state_dicts by the networks' names.
func goldenNames() map[string]string {
	return map[string]string{"resnet18": "resnet18", "resnet50": "resnet50", "mobilenetv2-1.0": "mobilenetv2",
		"regnetx-600mf": "regnetx_600m", "regnetx-3.2gf": "regnetx_3200m", "mnasnet-2.0": "mnasnet",
		"efficientnet-lite0": "efficientnet-lite0", "efficientnet-lite2": "efficientnet-lite2"}
}

// goldenList returns the tensors of a published checkpoint, in its order.
func goldenList(t testing.TB, name string) []models.Param {
	t.Helper()
	return paramList(t, filepath.Join("..", "..", "testdata", "golden", "state_dicts", goldenNames()[name]+".tsv"))
}

// paramList reads a list of tensors. Those of integers, which are batch counters, get a nil shape.
func paramList(t testing.TB, path string) []models.Param {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []models.Param
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		tensor, dims, _ := strings.Cut(line, "\t")
		p := models.Param{Name: tensor}
		for _, d := range strings.Split(dims, "x") {
			if d == "scalar" {
				break
			}
			n, err := strconv.Atoi(d)
			if err != nil {
				t.Fatal(err)
			}
			p.Shape = append(p.Shape, n)
		}
		list = append(list, p)
	}
	return list
}

// hashedWeights returns the tensors of list, with the values of package formula.
func hashedWeights(list []models.Param) models.Weights {
	w := models.Weights{}
	for i, p := range list {
		if p.Shape != nil {
			w[p.Name] = formula.Tensor(i, p.Name, p.Shape...)
		}
	}
	return w
}

// goldenLogits returns PyTorch's logits of the network called name: those of kind "logits" [2,1000] are of weights by
// the formula, those of kind "trained" [5,1000] of the published weights.
func goldenLogits(t testing.TB, name, kind string) []float64 {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "testdata", "golden", "state_dicts", goldenNames()[name]+"."+kind+".npy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // only read from
	var v []float32
	if err := npy.Read(f, &v); err != nil {
		t.Fatal(err)
	}
	return nettest.Float64s(tensors.FromValue(v))
}

// TestGoldenNetworks compares networks for ImageNet with the published checkpoints in the names and shapes of their
// tensors, and with PyTorch in their logits, on weights by a formula.
func TestGoldenNetworks(t *testing.T) {
	bs := testbackend.All(t)
	for _, name := range slices.Sorted(maps.Keys(goldenNames())) {
		size := Preprocessing(name).Height
		n, err := Design(name, SquareInput(3, size, 1000))
		if err != nil {
			t.Fatal(err)
		}
		w, want := hashedWeights(goldenList(t, name)), goldenLogits(t, name, "logits")
		if err := w.Check(n); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if testing.Short() {
			continue // the logits take long
		}
		folded, foldedWeights, err := models.Fold(n, w)
		if err != nil {
			t.Fatal(err)
		}
		images := formula.Hashed(1000, 0, 1.7, 2, 3, size, size)
		for _, backend := range slices.Sorted(maps.Keys(bs)) {
			compareLogits(t, name+" on "+backend, bs[backend], n, w, images, want)
		}
		compareLogits(t, name+", folded, on go", bs["go"], folded, foldedWeights, images, want)
	}
}

// compareLogits compares the logits of images.
func compareLogits(t *testing.T, what string, b compute.Backend, n *models.Network, w models.Weights,
	images *tensors.Tensor, want []float64) {
	t.Helper()
	start := time.Now()
	y, err := CallOnce(b, func(x *Node) *Node {
		return n.Forward(x, 0, len(n.Layers)-1, constants(t, x.Graph(), w))
	}, nettest.Clone(t, images))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	e := nettest.RelativeError(tensors.MustCopyFlatData[float32](y), want)
	t.Logf("%s: relative error %.2g, %.1f s", what, e, time.Since(start).Seconds())
	if !(e <= 1e-4) {
		t.Errorf("%s: logits have relative error %g", what, e)
	}
}
