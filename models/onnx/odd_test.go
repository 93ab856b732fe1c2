package onnx

import (
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
)

// TestOdd: operators that files should not have, or not so, are refused. Conformance tests and fuzzing found each.
func TestOdd(t *testing.T) {
	integer := func(name string, i int64) *protos.AttributeProto { return &protos.AttributeProto{Name: name, I: i} }
	for _, x := range []struct {
		kind  string
		reads string // x: the images [4,8,8], w: a weight, v: a vector of integers, -: nothing
		with  []*protos.AttributeProto
		want  string
	}{
		{"Slice", "x zero two", nil, "images are independent"},
		{"Dropout", "x - one", nil, "as in training"},
		{"Cast", "x", []*protos.AttributeProto{integer("to", int64(protos.TensorProto_INT32))}, "makes integers"},
		{"Mean", "w w", nil, "no input that depends on the images"},
		{"MatMul", "w w", nil, "none that depends on the images"},
		{"MatMul", "x -", nil, "has not two inputs"},
		{"Concat", "x -", []*protos.AttributeProto{integer("axis", 1)}, "lacks an input"},
		{"Gather", "x -", nil, "input 1 is missing"},
		{"Tile", "x", nil, "input 1 is missing"},
		{"Split", "x", []*protos.AttributeProto{integer("axis", 1), integer("num_outputs", -1)}, "makes -1 parts"},
		{"DepthToSpace", "x", []*protos.AttributeProto{integer("blocksize", 1<<32)}, "takes blocks of 4294967296"},
		{"Upsample", "x w", nil, "resizes shape"},
		{"ReduceMean", "x none", nil, "reduces all axes"},
		{"Resize", "x - - v", []*protos.AttributeProto{{Name: "keep_aspect_ratio_policy", S: []byte("not_larger")}},
			"aspect ratio"},
		{"Reshape", "x huge", nil, "too large"},
	} {
		n := &protos.NodeProto{Name: "odd", OpType: x.kind, Output: []string{"y"}, Attribute: x.with}
		for _, in := range strings.Fields(x.reads) {
			n.Input = append(n.Input, strings.Trim(in, "-"))
		}
		_, err := Read(oddModel(n), Options{})
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "node odd ("+x.kind+")") {
			t.Errorf("%s of %s: %v, want %q", x.kind, x.reads, err, x.want)
		}
	}
}

// oddModel returns a graph of one node.
func oddModel(n *protos.NodeProto) *protos.ModelProto {
	shape := &protos.TensorShapeProto{Dim: []*protos.TensorShapeProto_Dimension{{}}}
	for _, d := range []int64{4, 8, 8} {
		size := &protos.TensorShapeProto_Dimension_DimValue{DimValue: d}
		shape.Dim = append(shape.Dim, &protos.TensorShapeProto_Dimension{Value: size})
	}
	integers := func(name string, v ...int64) *protos.TensorProto {
		return &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_INT64), Dims: []int64{int64(len(v))},
			Int64Data: v}
	}
	opset := []*protos.OperatorSetIdProto{{Version: 18}}
	return &protos.ModelProto{IrVersion: 8, OpsetImport: opset, Graph: &protos.GraphProto{
		Node: []*protos.NodeProto{n},
		Input: []*protos.ValueInfoProto{{Name: "x", Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
			TensorType: &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT), Shape: shape}}}}},
		Output: []*protos.ValueInfoProto{{Name: "y"}},
		Initializer: []*protos.TensorProto{
			{Name: "w", DataType: int32(protos.TensorProto_FLOAT), Dims: []int64{2}, FloatData: []float32{1, 2}},
			{Name: "one", DataType: int32(protos.TensorProto_BOOL), Int32Data: []int32{1}},
			integers("v", 0, 0), integers("none"), integers("zero", 0), integers("two", 2), integers("huge", 1<<40, 1<<40),
		},
	}}
}
