package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// source is what a fuzzer chose.
type source []byte

// next returns a number below n; 0 once the bytes are used up.
func (s *source) next(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	return int(b) % n
}

// pick returns one of v.
func pick[T any](s *source, v ...T) T { return v[s.next(len(v))] }

// integer returns a size, an axis, or a number that no file should have.
func (s *source) integer() int64 {
	return pick[int64](s, 0, 1, 2, 3, -1, 1, 2, 4, -2, 5, 8, 1, 64, 1<<16, 1<<33, -1<<63)
}

// integers returns a few of them.
func (s *source) integers(most int) []int64 {
	var v []int64
	for range s.next(most + 1) {
		v = append(v, s.integer())
	}
	return v
}

// tensor returns a constant of floats or integers that has all its data.
func (s *source) tensor(name string) *protos.TensorProto {
	t := &protos.TensorProto{Name: name, DataType: int32(protos.TensorProto_INT64)}
	if s.next(3) > 0 { // a vector, such as a shape
		t.Int64Data = s.integers(4)
		t.Dims = []int64{int64(len(t.Int64Data))}
		return t
	}
	n := 1
	for range s.next(5) {
		d := s.next(5)
		t.Dims = append(t.Dims, int64(d))
		n *= d
	}
	if t.DataType = int32(protos.TensorProto_FLOAT); s.next(4) == 0 {
		t.DataType = int32(protos.TensorProto_BOOL)
	}
	for range n {
		t.FloatData = append(t.FloatData, pick[float32](s, 0, 1, -1, 0.5, 3e38))
		t.Int32Data = append(t.Int32Data, int32(s.next(2)))
	}
	return t
}

// attributes returns names that operators have, by the type of their value.
func attributes() (integers, lists, floats, texts []string) {
	return strings.Fields("axis keepdims group transA transB ceil_mode to allowzero start end num_outputs blocksize batch_dims " +
			"count_include_pad num_groups stash_type noop_with_empty_axes antialias exclude_outside broadcast fmod"),
		strings.Fields("axes kernel_shape pads strides dilations perm split starts ends shape value_ints repeats output_shape"),
		strings.Fields("alpha beta epsilon value_float ratio"),
		strings.Fields("mode auto_pad approximate coordinate_transformation_mode nearest_mode reduction equation")
}

// node returns a node that reads some of names.
func (s *source) node(kinds, names []string, i int) *protos.NodeProto {
	n := &protos.NodeProto{OpType: pick(s, kinds...), Output: []string{fmt.Sprint("v", i)}}
	for k := range 1 + s.next(4) {
		if k == 0 && s.next(4) > 0 {
			n.Input = append(n.Input, names[len(names)-1])
			continue
		}
		n.Input = append(n.Input, pick(s, append(names, "")...))
	}
	if s.next(8) == 0 {
		n.Output = append(n.Output, fmt.Sprint("w", i))
	}
	integers, lists, floats, texts := attributes()
	for range s.next(4) {
		a := &protos.AttributeProto{}
		switch s.next(5) {
		case 0, 1:
			a.Name, a.Type, a.I = pick(s, integers...), protos.AttributeProto_INT, s.integer()
		case 2:
			a.Name, a.Type, a.Ints = pick(s, lists...), protos.AttributeProto_INTS, s.integers(4)
		case 3:
			a.Name, a.Type, a.F = pick(s, floats...), protos.AttributeProto_FLOAT, pick[float32](s, 0, 1, -1, 0.5)
		case 4:
			a.Name, a.Type = pick(s, texts...), protos.AttributeProto_STRING
			a.S = []byte(pick(s, "constant", "SAME_UPPER", "SAME_LOWER", "reflect", "tanh", "linear", "cubic", "align_corners", "x"))
		}
		n.Attribute = append(n.Attribute, a)
	}
	if n.OpType == "Constant" {
		n.Input = nil
		n.Attribute = append(n.Attribute, &protos.AttributeProto{Name: "value", T: s.tensor("")})
	}
	return n
}

// model returns a small graph of operators that are read.
func (s *source) model() *protos.ModelProto {
	kinds := slices.Sorted(maps.Keys(operators()))
	g := &protos.GraphProto{Name: "fuzz"}
	dims := []*protos.TensorShapeProto_Dimension{{}}
	if s.next(2) == 0 {
		dims[0].Value = &protos.TensorShapeProto_Dimension_DimValue{DimValue: int64(1 + s.next(3))}
	}
	for range 3 {
		size := &protos.TensorShapeProto_Dimension_DimValue{DimValue: int64(1 + s.next(6))}
		dims = append(dims, &protos.TensorShapeProto_Dimension{Value: size})
	}
	g.Input = []*protos.ValueInfoProto{{Name: "x", Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
		TensorType: &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT),
			Shape: &protos.TensorShapeProto{Dim: dims}}}}}}
	names := []string{"x"}
	for i := range s.next(4) {
		t := s.tensor(fmt.Sprint("c", i))
		g.Initializer = append(g.Initializer, t)
		names = append(names, t.Name)
	}
	names = append(names, "x")
	for i := range 1 + s.next(5) {
		n := s.node(kinds, names, i)
		g.Node = append(g.Node, n)
		names = append(names, n.Output...)
	}
	g.Node = append(g.Node, &protos.NodeProto{OpType: "Flatten", Input: names[len(names)-1:], Output: []string{"y"}})
	g.Output = []*protos.ValueInfoProto{{Name: "y"}}
	opset := pick[int64](s, 18, 6, 10, 13, 24)
	return &protos.ModelProto{IrVersion: 8, OpsetImport: []*protos.OperatorSetIdProto{{Version: opset}}, Graph: g}
}

// mostBytes is the most that reading a small file allocates: constants that operators compute, with intermediate ones.
const mostBytes = 4 << 30

// FuzzGraph imports small graphs of all operators: an error or a network that is valid, but no panic.
func FuzzGraph(f *testing.F) {
	for i := range 256 {
		f.Add([]byte{byte(i), 3, 5, 5, 2, 2, 3, 1, 2, 3, 1, 1, 1, 2, byte(i), byte(i >> 4), 1, 0, 2, 4, 1, 0, 1, 1, 1, 1, 2, 0, 0})
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		s := source(choices)
		m := s.model()
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("%v panics: %v", m.GetGraph().GetNode(), p)
				panic(p)
			}
		}()
		fuzzed.Within(t, mostBytes, func() { _, _ = Read(m, Options{}) })
	})
}

// FuzzRead reads damaged files.
func FuzzRead(f *testing.F) {
	for i := range 16 {
		s := source{byte(i), 3, 5, 5, 2, 2, 3, 1, 2, 3, 1, 1, 1, 2, byte(17 * i), 1, 0, 2, 4, 1, 0, 1}
		data, err := proto.Marshal(s.model())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzed.Within(t, mostBytes, func() {
			if m, err := parse(data); err == nil {
				_, _ = Read(m, Options{})
			}
		})
	})
}
