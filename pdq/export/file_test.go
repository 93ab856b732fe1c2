package export_test

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// goStudent returns a student of resnet8 without ONNX Runtime, whose first unit has chosen levels and biases.
func goStudent(t *testing.T) (*pdq.Quantizer, pdq.Student) {
	t.Helper()
	b, _, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	q, s := nearest(t, b, "resnet8", pdq.Bits{W: 2, A: 2, Except: "layer1.0.conv1.weight=3 layer1.0.conv2.weight=5"})
	w := s.Weights["layer1.0.conv1"]
	w.Levels, w.Bias = make([]uint8, 16*16*9), make([]float32, 16)
	for i := range w.Levels {
		w.Levels[i] = uint8(i*i) % 8
	}
	w.Bias[3] = 0.5
	s.Weights = maps.Clone(s.Weights)
	s.Weights["layer1.0.conv1"] = w
	return q, s
}

// TestRead: levels, scales, zero points and biases that are read from a file give the student's weights.
func TestRead(t *testing.T) {
	q, s := goStudent(t)
	want, err := q.StudentWeights(s)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	written, err := export.ONNX(&file, q, s, export.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// 144+640 weights of 8 bits, 2304 of 5 in 8, 2304 of 3 in 4, 71680 of 2, and 346 biases
	packed, full := 144+640+2304+2304/2+71680/4+4*346, 4*(144+640+2304+2304+71680+346)
	if written != (export.Written{Opset: 25, IR: 13, Bytes: file.Len(), Weights: packed, FloatWeights: full}) {
		t.Errorf("written %+v", written)
	}
	var m protos.ModelProto
	if err := proto.Unmarshal(file.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	constants := map[string]*protos.TensorProto{}
	for _, c := range m.Graph.Initializer {
		constants[c.Name] = c
	}
	for name, tensor := range want {
		w, err := tensors.CopyFlatData[float32](tensor)
		if err != nil {
			t.Fatal(err)
		}
		if got := values(t, constants, name); !slices.Equal(got, w) {
			t.Errorf("%s isn't the student's", name)
		}
	}
	meta := map[string]string{}
	for _, p := range m.MetadataProps {
		meta[p.Key] = p.Value
	}
	if m.ProducerName != "pdquant" || !strings.Contains(meta["plan"], "\nlayer1.0.conv1\t3\t") || meta["mean"] == "" {
		t.Errorf("producer %s, metadata %v", m.ProducerName, meta)
	}
	if dim := m.Graph.Input[0].Type.GetTensorType().Shape.Dim[0]; dim.GetDimParam() != "N" {
		t.Errorf("the batch is %v", dim)
	}
}

// values returns the numbers of a parameter of a file, dequantised by their definition.
func values(t *testing.T, constants map[string]*protos.TensorProto, name string) []float32 {
	t.Helper()
	if c := constants[name]; c != nil {
		return floats(c.RawData)
	}
	c := constants[name+".levels"]
	bits := map[protos.TensorProto_DataType]int{protos.TensorProto_UINT2: 2, protos.TensorProto_UINT4: 4,
		protos.TensorProto_UINT8: 8}[protos.TensorProto_DataType(c.DataType)]
	n := 1
	for _, d := range c.Dims {
		n *= int(d)
	}
	levels, zeros := unpack(c.RawData, bits, n), unpack(constants[name+".zero"].RawData, bits, int(c.Dims[0]))
	scales := floats(constants[name+".scale"].RawData)
	out := make([]float32, n)
	for i := range out {
		o := i / (n / len(scales))
		out[i] = (float32(levels[i]) - float32(zeros[o])) * scales[o]
	}
	return out
}

func unpack(raw []byte, bits, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		at := i * bits
		out[i] = raw[at/8] >> (at % 8) & (1<<bits - 1)
	}
	return out
}

func floats(raw []byte) []float32 {
	out := make([]float32, len(raw)/4)
	for i := range out {
		b := raw[4*i:]
		out[i] = math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
	}
	return out
}

// TestErrors: what can't be written is an error that names the layer, and nothing is written.
func TestErrors(t *testing.T) {
	q, s := goStudent(t)
	changed := func(layer string, zero float32, act bool) pdq.Student {
		out := pdq.Student{Weights: maps.Clone(s.Weights), Acts: maps.Clone(s.Acts)}
		if a := out.Acts[layer]; act {
			a.Zero = zero
			out.Acts[layer] = a
			return out
		}
		w := out.Weights[layer]
		w.Zero = slices.Clone(w.Zero)
		w.Zero[2] = zero
		out.Weights[layer] = w
		return out
	}
	without := pdq.Student{Weights: s.Weights, Acts: maps.Clone(s.Acts)}
	delete(without.Acts, "layer1.0.relu1")
	for _, c := range []struct {
		s    pdq.Student
		o    export.Options
		want string
	}{
		{without, export.Options{}, "the output of layer1.0.relu1 has no scale; quantise"},
		{pdq.Student{}, export.Options{Form: export.Float}, "the weight of conv1 has no scales; quantise"},
		{s, export.Options{Opset: 24}, "opset 24: "},
		{s, export.Options{Form: export.QCDQ, Opset: 12}, "opset 12: "},
		{s, export.Options{Form: export.Float, Opset: 26}, "opset 26: "},
		{s, export.Options{Form: 7}, "form 7 is unknown"},
		{changed("relu", 0.5, true), export.Options{}, "relu: the output: its zero point 0.5"},
		{changed("relu", -1, true), export.Options{Form: export.QCDQ}, "relu: the output: its zero point -1"},
		{changed("layer1.0.conv2", 256, false), export.Options{}, "layer1.0.conv2: the weight's output channel 2: its zero"},
	} {
		var file bytes.Buffer
		_, err := export.ONNX(&file, q, c.s, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || file.Len() > 0 {
			t.Errorf("%+v: error %v, want %s; %d bytes", c.o, err, c.want, file.Len())
		}
	}
	half := changed("relu", 0.5, true)
	if _, err := export.ONNX(&bytes.Buffer{}, q, half, export.Options{Form: export.Float}); err != nil {
		t.Error(err)
	}
	if _, err := export.ONNX(broken{}, q, s, export.Options{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want %v", err, errBroken)
	}
	if err := export.Encodings(&bytes.Buffer{}, q, half, nil); err == nil {
		t.Error("AIMET's encodings have a zero point of 0.5")
	}
	same := func(string) string { return "x" }
	for want, err := range map[string]error{
		"conv1 and layer1.0.conv1 both become x": export.Weights(&bytes.Buffer{}, q, s, same),
		"layer1.0.relu1 has no scale":            export.Weights(&bytes.Buffer{}, q, without, nil),
		errBroken.Error():                        export.Weights(broken{}, q, s, nil),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	if err := export.WriteTSV(broken{}, q, s); !errors.Is(err, errBroken) {
		t.Errorf("error %v, want %v", err, errBroken)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
