package onnx

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/testbackend"
)

// TestPaddle imports a classifier that paddle2onnx wrote. The logits are ONNX Runtime 1.32.0's.
func TestPaddle(t *testing.T) {
	const height, width = 48, 192
	dir := pypi(t, "rapidocr", "rapidocr-onnxruntime==1.4.4")
	m := &protos.ModelProto{}
	file := filepath.Join(dir, "rapidocr_onnxruntime", "models", "ch_ppocr_mobile_v2.0_cls_infer.onnx")
	if err := message(file, m); err != nil {
		t.Fatal(err)
	}
	r, err := Read(m, Options{Height: height, Width: width}) // the file has [N,3,?,?]
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 2*3*height*width)
	for i := range x {
		x[i] = float32(math.Mod(float64(i)*0.37, 2) - 1)
	}
	network := &made{image: []int{3, height, width}, layers: r.Network.Layers, weights: r.Weights}
	y, err := network.compute(testbackend.Any(t), tensors.FromFlatDataAndDimensions(x, 2, 3, height, width))
	if err != nil {
		t.Fatal(err)
	}
	got := &constant{floats: tensors.MustCopyFlatData[float32](y)}
	want := &constant{dims: []int{2, 2}, floats: []float32{0.36584193, 0.63415813, 0.3571023, 0.64289767}}
	if err := compare(result{want.dims, got.expected(1)}, want); err != nil {
		t.Error(err)
	}
}

// TestOtherDomain: files of scikit-learn's converter, which have operators of ai.onnx.ml, are refused by name.
func TestOtherDomain(t *testing.T) {
	x := &protos.ValueInfoProto{Name: "X"}
	m := &protos.ModelProto{IrVersion: 8, Graph: &protos.GraphProto{
		Input:  []*protos.ValueInfoProto{x},
		Output: []*protos.ValueInfoProto{{Name: "label"}},
		Node: []*protos.NodeProto{{OpType: "TreeEnsembleClassifier", Domain: "ai.onnx.ml", Input: []string{"X"},
			Output: []string{"label", "probabilities"}, Name: "trees"}},
	}, OpsetImport: []*protos.OperatorSetIdProto{{Version: 15}, {Domain: "ai.onnx.ml", Version: 3}}}
	want := "onnx: operators that aren't read: ai.onnx.ml.TreeEnsembleClassifier (trees); " +
		"give another output with output=, or export it without them"
	if _, err := Read(m, Options{}); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	m.OpsetImport = m.OpsetImport[1:] // some have no opset of ONNX's own
	want = "onnx: has no opset of ONNX's own operators, only of ai.onnx.ml; a classifier of images is made of the former"
	if _, err := Read(m, Options{}); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
