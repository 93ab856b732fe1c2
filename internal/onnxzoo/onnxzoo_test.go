package onnxzoo

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
)

func model(text string, kind protos.TensorProto_DataType) *protos.ModelProto {
	t := &protos.TensorProto{Name: "w", DocString: text, DataType: int32(kind), Dims: []int64{2, 3}}
	return &protos.ModelProto{Graph: &protos.GraphProto{Initializer: []*protos.TensorProto{t}}}
}

// The values are those of described in models/onnx/testdata/formula.py.
func TestFill(t *testing.T) {
	for _, c := range []struct {
		text string
		want []float32
	}{
		{"uniform 0.1 0.25 7", []float32{
			-0.04432336, -0.16802642, 0.27501318, 0.17113848, 0.28988826, 0.44078612,
		}},
		{"uniform 0.1 0.25 7 positive", []float32{
			0.01, 0.01, 0.27501318, 0.17113848, 0.28988826, 0.44078612,
		}},
		{"uniform -3e-05 1e-06 4294967", []float32{
			-2.9441004e-05, -3.078259e-05, -2.9905548e-05, -2.9434961e-05, -2.9665076e-05, -3.1329746e-05,
		}},
	} {
		m := model(c.text, protos.TensorProto_FLOAT)
		if err := Fill(m); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 6)
		w := m.Graph.Initializer[0]
		if _, err := binary.Decode(w.RawData, binary.LittleEndian, got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.want) || w.DocString != "" {
			t.Errorf("%s: %v and doc string %q, want %v and none", c.text, got, w.DocString, c.want)
		}
	}
}

func TestFillErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		kind protos.TensorProto_DataType
		want string
	}{
		{"normal 0 1 1", protos.TensorProto_FLOAT, `tensor "w": doc string "normal 0 1 1"`},
		{"uniform 0 1", protos.TensorProto_FLOAT, "want uniform MEAN DEVIATION SEED"},
		{"uniform 0 1 1", protos.TensorProto_DOUBLE, "not a float tensor without data"},
	} {
		if err := Fill(model(c.text, c.kind)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.text, err, c.want)
		}
	}
}

// The values are those of images in models/onnx/testdata/formula.py.
func TestImages(t *testing.T) {
	v := Images(2, []int{3, 32, 32})
	if want := []float32{-0.28030786, 1.0668023, 0.8084599}; len(v) != 2*3*32*32 || !slices.Equal(v[len(v)-3:], want) {
		t.Errorf("%d values that end in %v, want 6144 and %v", len(v), v[len(v)-3:], want)
	}
}
