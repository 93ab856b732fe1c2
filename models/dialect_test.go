package models

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// torchvisionNames are the files in testdata/torchvision by the networks' names.
func torchvisionNames() map[string]string {
	return map[string]string{"mobilenetv2-1.0": "mobilenet_v2", "regnetx-3.2gf": "regnet_x_3_2gf"}
}

// renamed returns w with the names of another list of the same tensors in the same order.
// That torchvision's order is the published checkpoints' was checked with torchvision 0.14.1: filled
// by position, its networks give the golden logits within 5e-6.
func renamed(t *testing.T, w Weights, from, to []Param) Weights {
	t.Helper()
	if len(from) != len(to) {
		t.Fatalf("%d tensors, want %d", len(to), len(from))
	}
	other := Weights{}
	for i, p := range from {
		if p.Shape != nil {
			other[to[i].Name] = w[p.Name]
		}
	}
	return other
}

// TestTorchvisionNames loads checkpoints with torchvision's names, with counters, in a module, and
// damaged ones.
func TestTorchvisionNames(t *testing.T) {
	for name, file := range torchvisionNames() {
		n, err := Design(name, 3, 224, 1000)
		if err != nil {
			t.Fatal(err)
		}
		ours, theirs := goldenList(t, name), paramList(t, filepath.Join("testdata", "torchvision", file+".tsv"))
		want := hashedWeights(ours)
		w := renamed(t, want, ours, theirs)
		w["features.0.1.num_batches_tracked"] = tensors.FromScalar(float32(7))
		module := Weights{}
		for name, tensor := range w {
			module["module."+name] = tensor
		}
		for _, w := range []Weights{w, module} {
			got, err := readBytes(written(t, w, nil), n)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if err := sameWeights(got, want); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}

		// A message is about our names.
		last := theirs[len(theirs)-1].Name
		bias := w[last]
		delete(w, last)
		checkLoad(t, name+" without "+last, written(t, w, nil), n, "weights for "+name+" have no tensor", ours[len(ours)-1].Name)
		w[last], w["extra"] = bias, bias
		checkLoad(t, name+" with more", written(t, w, nil), n, name+` has no tensor "extra", but the weights do`)
	}
}

// TestDialectClash has a file of torchvision's names with one of ours, which means another layer.
func TestDialectClash(t *testing.T) {
	n, err := MobileNetV2(MobileNetV2Config{Stem: 4, StemStride: 2, Rows: []InvertedResiduals{{1, 4, 1, 1}, {2, 8, 1, 2}}, Last: 16, Numbered: true, Channels: 1, Size: 21, Classes: 4})
	if err != nil {
		t.Fatal(err)
	}
	ours := Init(n, 1)
	w := Weights{}
	for _, l := range n.Layers {
		for _, p := range l.Params() {
			w[torchvisionMobileNetV2(n, l.Name)+strings.TrimPrefix(p.Name, l.Name)] = ours[p.Name]
		}
	}
	got, err := readBytes(written(t, w, nil), n)
	if err == nil {
		err = sameWeights(got, ours)
	}
	if err != nil {
		t.Error(err)
	}
	w["features.2.conv.4.weight"] = w["features.2.conv.1.1.weight"]
	checkLoad(t, "clash", written(t, w, nil), n, `no tensor "features.1.conv.`)
}
