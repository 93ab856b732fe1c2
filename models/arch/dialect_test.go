package arch

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// torchvisionNames are the files in testdata/torchvision by the networks' names.
func torchvisionNames() map[string]string {
	return map[string]string{"mobilenetv2-1.0": "mobilenet_v2", "regnetx-3.2gf": "regnet_x_3_2gf"}
}

// renamed returns w with the names of another list of the same tensors in the same order. torchvision's order is that
// of the published checkpoints: with torchvision 0.14.1, networks filled by position give the golden logits within
// 5e-6.
func renamed(t *testing.T, w models.Weights, from, to []models.Param) models.Weights {
	t.Helper()
	if len(from) != len(to) {
		t.Fatalf("%d tensors, want %d", len(to), len(from))
	}
	other := models.Weights{}
	for i, p := range from {
		if p.Shape != nil {
			other[to[i].Name] = w[p.Name]
		}
	}
	return other
}

// TestTorchvisionNames loads checkpoints with torchvision's names: plain, with counters, in a module, and damaged.
func TestTorchvisionNames(t *testing.T) {
	for name, file := range torchvisionNames() {
		n, err := Design(name, SquareInput(3, 224, 1000))
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := goldenList(t, name),
			paramList(t, filepath.Join("..", "checkpoint", "testdata", "torchvision", file+".tsv"))
		want := hashedWeights(ours)
		w := renamed(t, want, ours, theirs)
		w["features.0.1.num_batches_tracked"] = tensors.FromScalar(float32(7))
		module := models.Weights{}
		for name, tensor := range w {
			module["module."+name] = tensor
		}
		for _, w := range []models.Weights{w, module} {
			got, err := loaded(written(t, w, nil), n)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if err := nettest.SameWeights(got, want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		// Messages have our names.
		last := theirs[len(theirs)-1].Name
		bias := w[last]
		delete(w, last)
		failsToLoad(t, name+" without "+last, written(t, w, nil), n, "weights for "+name+" have no tensor",
			ours[len(ours)-1].Name)
		w[last], w["extra"] = bias, bias
		failsToLoad(t, name+" with more", written(t, w, nil), n, name+` has no tensor "extra", but the weights do`)
	}
}

// loaded reads weights of n from a checkpoint in memory.
func loaded(file []byte, n *models.Network) (models.Weights, error) {
	return checkpoint.Read(bytes.NewReader(file), int64(len(file)), n)
}

// failsToLoad checks that the error of loading file contains all of want.
func failsToLoad(t *testing.T, name string, file []byte, n *models.Network, want ...string) {
	t.Helper()
	_, err := loaded(file, n)
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%s: error %v, want %q in it", name, err, w)
		}
	}
}
