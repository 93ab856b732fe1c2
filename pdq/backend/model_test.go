package backend

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"
)

// TestOpenModel: what isn't a model is an error.
func TestOpenModel(t *testing.T) {
	for _, data := range []string{"", "no model", strings.Repeat("\x08", 1000)} {
		m, err := OpenModel([]byte(data), ModelOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), "backend: ONNX model: ") {
			t.Errorf("%.10q: error %v", data, err)
		}
		if m != nil {
			t.Errorf("%.10q: a model", data)
		}
	}
	if m, err := OpenModelFile(t.TempDir()+"/none.onnx", ModelOptions{}); m != nil || err == nil {
		t.Errorf("model %v, error %v", m, err)
	}
	if m, err := OpenModel(nil, ModelOptions{}); m != nil || err == nil {
		t.Errorf("model %v, error %v", m, err)
	}
}

// value describes a tensor of a type; names are axes of any length.
func value(name string, kind protos.TensorProto_DataType, dims ...any) *protos.ValueInfoProto {
	shape := &protos.TensorShapeProto{}
	for _, d := range dims {
		dim := &protos.TensorShapeProto_Dimension{}
		if n, ok := d.(int); ok {
			dim.Value = &protos.TensorShapeProto_Dimension_DimValue{DimValue: int64(n)}
		} else {
			dim.Value = &protos.TensorShapeProto_Dimension_DimParam{DimParam: d.(string)}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &protos.ValueInfoProto{Name: name, Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
		TensorType: &protos.TypeProto_Tensor{ElemType: int32(kind), Shape: shape}}}}
}

// model returns a file whose outputs are the inputs times two.
func model(t *testing.T, in ...*protos.ValueInfoProto) []byte {
	t.Helper()
	g := &protos.GraphProto{Name: "g", Input: in}
	for _, x := range in {
		y := proto.Clone(x).(*protos.ValueInfoProto)
		y.Name = x.Name + "2"
		g.Output = append(g.Output, y)
		g.Node = append(g.Node, &protos.NodeProto{OpType: "Add", Input: []string{x.Name, x.Name}, Output: []string{y.Name}})
	}
	data, err := proto.Marshal(&protos.ModelProto{IrVersion: 8, Graph: g,
		OpsetImport: []*protos.OperatorSetIdProto{{Version: 17}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestModelRuns: a model of any number of images and one of two give the same; what can't be run is said clearly.
func TestModelRuns(t *testing.T) {
	if err := LoadRuntime(); err != nil {
		t.Skip(err)
	}
	x := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	want := []float32{2, 4, 6, 8, 10, 12, 14, 16, 18, 20}
	float := protos.TensorProto_FLOAT
	for _, n := range []any{"N", 2, 5, 7} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, model(t, value("x", float, n, 2, 1, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := OpenModelFile(path, ModelOptions{Output: "x2", Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Run(x, 5, 2, 1, 1); err != nil || !slices.Equal(got, want) {
			t.Errorf("batch %v: %v, %v", n, got, err)
		}
		if _, err := m.Run(x, 5, 1, 2, 1); err == nil ||
			!strings.Contains(err.Error(), "it takes an input of shape [N 2 1 1], but the images' is [N 1 2 1]") {
			t.Errorf("another shape: error %v", err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if c, err := MeasureModel(t.Context(), path, ModelOptions{}, 3, 0); err != nil || c.Runs != 8 || c.Milliseconds <= 0 {
			t.Errorf("cost %+v, error %v", c, err)
		}
	}
	for want, in := range map[string][]*protos.ValueInfoProto{
		"it has 2 inputs, x, mask; only models of images alone": {value("x", float, "N", 2), value("mask", float, "N", 2)},
		"input x is no tensor of float32":                       {value("x", protos.TensorProto_DOUBLE, "N", 2)},
	} {
		if _, err := OpenModel(model(t, in...), ModelOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
