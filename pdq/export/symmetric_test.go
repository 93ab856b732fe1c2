package export_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/export"
)

// centred returns s with the middle levels as zero points of weights, and twice the scales.
func centred(s pdq.Student) pdq.Student {
	weights := map[string]pdq.WeightQuant{}
	for layer, w := range s.Weights {
		c := pdq.WeightQuant{Bits: w.Bits}
		for _, scale := range w.Scale {
			c.Scale, c.Zero = append(c.Scale, 2*scale), append(c.Zero, float32(int(1)<<(w.Bits-1)))
		}
		weights[layer] = c
	}
	return pdq.Student{Weights: weights, Acts: s.Acts}
}

// TestSymmetric: symmetric weights are stored in signed integers, with the zero point 0.
func TestSymmetric(t *testing.T) {
	q, s := goStudent(t)
	s = centred(s)
	signed := map[int]protos.TensorProto_DataType{2: protos.TensorProto_INT2, 3: protos.TensorProto_INT4,
		5: protos.TensorProto_INT8, 8: protos.TensorProto_INT8}
	var file bytes.Buffer
	if _, err := export.ONNX(&file, q, s, export.Options{}); err != nil {
		t.Fatal(err)
	}
	var m protos.ModelProto
	if err := proto.Unmarshal(file.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	constants := map[string]*protos.TensorProto{}
	for _, c := range m.Graph.Initializer {
		constants[c.Name] = c
	}
	for layer, w := range s.Weights {
		levels, zero := constants[layer+".weight.levels"], constants[layer+".weight.zero"]
		want := int32(signed[w.Bits])
		if levels.DataType != want || zero.DataType != want || len(bytes.Trim(zero.RawData, "\x00")) > 0 {
			t.Errorf("%s of %d bits: types %d, %d, zero points %x", layer, w.Bits, levels.DataType, zero.DataType, zero.RawData)
		}
	}
}

// TestSymmetricLogits: ONNX Runtime computes the student's logits from signed weights.
func TestSymmetricLogits(t *testing.T) {
	b := runtime(t)
	for _, teacher := range []string{"resnet8", "mobilenetv2"} {
		for _, bits := range []pdq.Bits{{W: 2, A: 2}, {W: 3, A: 4}, {W: 4, A: 4}, {W: 8, A: 8}} {
			t.Run(fmt.Sprintf("%s w%da%d", teacher, bits.W, bits.A), func(t *testing.T) {
				q, s := nearest(t, b, teacher, bits)
				sameLogits(t, q, centred(s), export.Packed)
				sameLogits(t, q, centred(s), export.QCDQ)
			})
		}
	}
}
