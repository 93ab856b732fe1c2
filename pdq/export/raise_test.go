package export

import (
	"math"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/pdq/backend"
)

// TestRaise: operators of old opsets compute the same in later ones.
func TestRaise(t *testing.T) {
	if _, _, err := backend.Open("onnx"); err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		op         string
		opset      int
		constants  []*protos.TensorProto
		attributes []*protos.AttributeProto
	}{
		{"Clip", 10, nil, []*protos.AttributeProto{float("min", -0.5), float("max", 0.25)}},
		{"Clip", 10, nil, []*protos.AttributeProto{float("max", 0.25)}},
		{"Pad", 10, nil, []*protos.AttributeProto{ints("pads", 0, 0, 1, 2, 0, 0, 0, 1), float("value", 3)}},
		{"Slice", 9, nil, []*protos.AttributeProto{ints("starts", 1), ints("ends", 3), ints("axes", 2)}},
		{"Squeeze", 11, nil, []*protos.AttributeProto{ints("axes", 0)}},
		{"Unsqueeze", 11, nil, []*protos.AttributeProto{ints("axes", 1)}},
		{"ReduceSum", 11, nil, []*protos.AttributeProto{ints("axes", 2, 3), integer("keepdims", 0)}},
		{"ReduceMean", 17, nil, []*protos.AttributeProto{ints("axes", -1)}},
		{"ReduceMax", 12, nil, nil},
		{"Split", 11, nil, []*protos.AttributeProto{ints("split", 3), integer("axis", 1)}},
		{"Split", 13, nil, []*protos.AttributeProto{integer("axis", 1)}},
		{"Dropout", 7, nil, []*protos.AttributeProto{float("ratio", 0.5)}},
		{"Softmax", 11, nil, []*protos.AttributeProto{integer("axis", 2)}},
		{"Softmax", 11, nil, nil},
		{"LogSoftmax", 11, nil, []*protos.AttributeProto{integer("axis", -1)}},
		{"Upsample", 9, []*protos.TensorProto{floatTensor("scales", []int{4}, []float32{1, 1, 2, 3})},
			[]*protos.AttributeProto{text("mode", "nearest")}},
		{"Upsample", 9, []*protos.TensorProto{floatTensor("scales", []int{4}, []float32{1, 1, 2, 2})},
			[]*protos.AttributeProto{text("mode", "linear")}},
		{"Resize", 10, []*protos.TensorProto{floatTensor("scales", []int{4}, []float32{1, 1, 0.5, 2})},
			[]*protos.AttributeProto{text("mode", "nearest")}},
		{"Add", 7, []*protos.TensorProto{floatTensor("b", []int{4}, []float32{1, 2, 3, 4})}, nil},
	} {
		g := &protos.GraphProto{Name: c.op, Initializer: c.constants,
			Input: []*protos.ValueInfoProto{floatValue("x", 3, 4, 4)},
			Output: []*protos.ValueInfoProto{{Name: "y", Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
				TensorType: &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT)}}}}}}
		n := &protos.NodeProto{OpType: c.op, Name: c.op, Input: []string{"x"}, Output: []string{"y"}, Attribute: c.attributes}
		for _, t := range c.constants {
			n.Input = append(n.Input, t.Name)
		}
		g.Node = []*protos.NodeProto{n}
		want := computed(t, g, c.opset)
		for _, opset := range []int{13, 18, 25} {
			if opset <= c.opset {
				continue
			}
			raised := proto.Clone(g).(*protos.GraphProto)
			if err := raise(raised, c.opset, opset); err != nil {
				t.Fatalf("%s: %v", c.op, err)
			}
			got := computed(t, raised, opset)
			if len(got) != len(want) {
				t.Fatalf("%s in opset %d: %d numbers, want %d", c.op, opset, len(got), len(want))
			}
			for i, x := range got {
				if math.Abs(float64(x-want[i])) > 1e-6 {
					t.Errorf("%s in opset %d: number %d is %g, want %g", c.op, opset, i, x, want[i])
					break
				}
			}
		}
	}
}

// computed returns what ONNX Runtime computes of a graph.
func computed(t *testing.T, g *protos.GraphProto, opset int) []float32 {
	t.Helper()
	data, err := proto.Marshal(&protos.ModelProto{IrVersion: irVersion(max(opset, 13)), Graph: g,
		OpsetImport: []*protos.OperatorSetIdProto{{Version: int64(opset)}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := backend.OpenModel(data, backend.ModelOptions{Output: "y"})
	if err != nil {
		t.Fatalf("%s, opset %d: %v", g.Name, opset, err)
	}
	defer func() { _ = m.Close() }()
	x := make([]float32, 48)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	y, err := m.Run(x, 1, 3, 4, 4)
	if err != nil {
		t.Fatalf("%s, opset %d: %v", g.Name, opset, err)
	}
	return y
}

// TestRaiseErrors: what has no later form is refused.
func TestRaiseErrors(t *testing.T) {
	for _, n := range []*protos.NodeProto{
		{OpType: "GroupNormalization", Name: "norm", Output: []string{"y"}},
		{OpType: "Scan", Name: "scan", Output: []string{"y"}},
		{OpType: "BatchNormalization", Name: "training", Output: []string{"y", "mean"}},
	} {
		want := "node " + n.Name + " (" + n.OpType + ") has no known form in opset 21"
		err := raise(&protos.GraphProto{Node: []*protos.NodeProto{n}}, 13, 21)
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
