package export

import (
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// TestKinds: every kind of layer can be written, and other kinds are errors.
func TestKinds(t *testing.T) {
	for _, op := range models.Ops() {
		b := &builder{weights: models.Weights{}, read: map[string]string{"a": "a", "b": "b"}, graph: &protos.GraphProto{}}
		for _, param := range []string{"weight", "bias", "running_mean", "running_var"} {
			b.weights["x."+param] = tensors.FromFlatDataAndDimensions([]float32{1}, 1)
		}
		if err := b.layer(models.Layer{Name: "x", Inputs: []string{"a", "b"}[:op.Inputs()], Op: op}); err != nil {
			t.Errorf("%s: %v", op.Kind(), err)
		}
		if nodes := b.graph.Node; len(nodes) == 0 || nodes[len(nodes)-1].Output[0] != "x" {
			t.Errorf("%s: nodes %v", op.Kind(), nodes)
		}
	}
	b := &builder{read: map[string]string{"a": "a"}, graph: &protos.GraphProto{}}
	err := b.layer(models.Layer{Name: "x", Inputs: []string{"a"}, Op: unknown{}})
	if err == nil || !strings.Contains(err.Error(), "the kind unknown can't be written") {
		t.Errorf("error %v", err)
	}
}

// unknown is a kind of layer that ONNX can't write.
type unknown struct{ models.ReLU }

func (unknown) Kind() string { return "unknown" }

// TestVersions: file formats are those that came with the opsets.
func TestVersions(t *testing.T) {
	// https://github.com/onnx/onnx/blob/main/docs/Versioning.md
	for opset, want := range map[int]int64{13: 7, 14: 7, 15: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12,
		25: 13} {
		if got := irVersion(opset); got != want {
			t.Errorf("opset %d has IR version %d, want %d", opset, got, want)
		}
	}
}

// TestPacking: levels lie in a byte from the lowest bits on.
func TestPacking(t *testing.T) {
	for bits, want := range map[int]string{2: "\x39\x02", 3: "\x21\x03\x02", 4: "\x21\x03\x02", 5: "\x01\x02\x03\x00\x02",
		8: "\x01\x02\x03\x00\x02"} {
		if got := packedType(bits).tensor("", nil, []uint8{1, 2, 3, 0, 2}).RawData; string(got) != want {
			t.Errorf("%d bits: %x, want %x", bits, got, want)
		}
	}
}
