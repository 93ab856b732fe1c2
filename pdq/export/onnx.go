package export

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Names of every model's input [N,C,H,W] and output [N,Classes].
const (
	Input  = "image"
	Output = "logits"
)

// lastOpset is the newest version of ONNX's operators that ONNX writes.
const lastOpset = 25

// Options say how ONNX writes a model.
type Options struct {
	Form  Form
	Opset int // version of ONNX's operators, 13 to 25; 0: the lowest that has the types and operators

	// External says that ONNXFile writes large tensors to a file of their own, also where it needn't. ONNX has no such.
	External bool
}

// Written says what ONNX wrote.
type Written struct {
	Opset, IR    int // versions of the operators and of the file format
	Bytes        int // of the file
	Data         int // bytes of the file of large tensors; 0: there is none
	Weights      int // bytes of all weights and biases in it, without scales and zero points
	FloatWeights int // bytes of these in float32
}

// ONNX writes the network of q, with its tensors quantised as s quantises them, as an ONNX model.
//
// It returns an error if s lacks quantisers of q's plan, if a zero point isn't a level that the form's types can hold,
// if the opset is too old for these, or if the model would have 2 GiB or more. It has then written nothing, unless w
// failed.
func ONNX(w io.Writer, q *pdq.Quantizer, s pdq.Student, o Options) (Written, error) {
	m, out, err := newModel(q, s, o)
	if err != nil {
		return Written{}, fmt.Errorf("export: ONNX: %w", err)
	}
	if size := proto.Size(m); size > math.MaxInt32 {
		return Written{}, fmt.Errorf("export: ONNX: the model has %d bytes, but a file must have less than 2 GiB; write it "+
			"with ONNXFile", size)
	}
	if out.Bytes, err = writeModel(w, m); err != nil {
		return Written{}, fmt.Errorf("export: ONNX: writing: %w", err)
	}
	return out, nil
}

// writeModel writes m, and returns the number of bytes.
func writeModel(w io.Writer, m *protos.ModelProto) (int, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return 0, err
	}
	return w.Write(data)
}

// newModel returns the model that ONNX writes, and what it holds.
func newModel(q *pdq.Quantizer, s pdq.Student, o Options) (*protos.ModelProto, Written, error) {
	g, opset, err := newGraph(q, s, o)
	if err != nil {
		return nil, Written{}, err
	}
	if o.Opset == 0 {
		o.Opset = opset
	}
	if o.Opset < opset || o.Opset > lastOpset {
		return nil, Written{}, fmt.Errorf("opset %d: the types and operators of this student in the form %v are in opsets "+
			"%d to %d; choose one of these, or another form", o.Opset, o.Form, opset, lastOpset)
	}
	m := &protos.ModelProto{IrVersion: irVersion(o.Opset), ProducerName: "pdquant", Graph: g,
		OpsetImport: []*protos.OperatorSetIdProto{{Version: int64(o.Opset)}}, MetadataProps: metadata(q, o)}
	out := Written{Opset: o.Opset, IR: int(m.IrVersion)}
	n, _ := q.Folded()
	for _, p := range n.Params() {
		for _, t := range g.Initializer {
			if t.Name == p.Name || t.Name == p.Name+levelsEnd {
				out.Weights += len(t.RawData)
			}
		}
		out.FloatWeights += 4 * exec.Product(p.Shape)
	}
	return m, out, nil
}

// newGraph returns the graph of the model, and the lowest opset that it can have.
func newGraph(q *pdq.Quantizer, s pdq.Student, o Options) (g *protos.GraphProto, opset int, err error) {
	if o.Form < Packed || o.Form > Float {
		return nil, 0, fmt.Errorf("form %v is unknown; choose one of %s", o.Form, strings.Join(formNames(), ", "))
	}
	if err := complete(q, s); err != nil {
		return nil, 0, err
	}
	n, _ := q.Folded()
	weights, err := q.StudentWeights(s)
	if err != nil {
		return nil, 0, err
	}
	b := &builder{form: o.Form, s: s, weights: weights, opset: firstOpset, read: map[string]string{models.Image: Input},
		shapes: shapesOf(n), single: map[string]bool{}, graph: &protos.GraphProto{Name: n.Name,
			Input:  []*protos.ValueInfoProto{floatValue(Input, n.Channels, n.Height, n.Width)},
			Output: []*protos.ValueInfoProto{floatValue(Output, n.Classes)}}}
	for _, l := range n.Layers {
		if err := b.layer(l); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", l.Name, err)
		}
	}
	b.rename(n.Layers[len(n.Layers)-1].Name)
	return b.graph, b.opset, nil
}

// shapesOf returns the shapes for one image of the images and of all layers' outputs.
func shapesOf(n *models.Network) map[string][]int {
	shapes := map[string][]int{models.Image: {n.Channels, n.Height, n.Width}}
	for i, shape := range n.Shapes() {
		shapes[n.Layers[i].Name] = shape
	}
	return shapes
}

// complete returns an error that names a tensor which q's plan quantises, but s doesn't.
func complete(q *pdq.Quantizer, s pdq.Student) error {
	if q == nil {
		return errors.New("no quantizer; give the one that made the student")
	}
	for _, l := range q.Plan() {
		if _, ok := s.Weights[l.Layer]; l.Weight > 0 && !ok {
			return fmt.Errorf("the weight of %s has no scales; quantise all units first", l.Layer)
		}
		if _, ok := s.Acts[l.Layer]; l.Output > 0 && !ok {
			return fmt.Errorf("the output of %s has no scale; quantise all units first", l.Layer)
		}
	}
	return nil
}

// irVersion returns the file format's version that came with an opset.
func irVersion(opset int) int64 {
	since := []int{13, 15, 19, 21, 23, 24, 25} // of versions 7, 8, ...
	i, found := slices.BinarySearch(since, opset)
	if !found {
		i--
	}
	return int64(7 + i)
}

// metadata says where the model comes from, and how its input is normalised.
func metadata(q *pdq.Quantizer, o Options) (props []*protos.StringStringEntryProto) {
	n, _ := q.Folded()
	var plan strings.Builder
	_ = q.Plan().WriteTSV(&plan) // a Builder returns no errors
	images := q.Problem().Calibration
	for _, p := range [][2]string{{"network", n.Name}, {"form", o.Form.String()}, {"plan", plan.String()},
		{"mean", fmt.Sprint(images.Mean)}, {"std", fmt.Sprint(images.Std)}} {
		props = append(props, &protos.StringStringEntryProto{Key: p[0], Value: p[1]})
	}
	return props
}

// floatValue describes a tensor [N,dims...] of float32.
func floatValue(name string, dims ...int) *protos.ValueInfoProto {
	shape := &protos.TensorShapeProto{Dim: []*protos.TensorShapeProto_Dimension{
		{Value: &protos.TensorShapeProto_Dimension_DimParam{DimParam: "N"}}}}
	for _, d := range dims {
		shape.Dim = append(shape.Dim, &protos.TensorShapeProto_Dimension{
			Value: &protos.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}})
	}
	return &protos.ValueInfoProto{Name: name, Type: &protos.TypeProto{Value: &protos.TypeProto_TensorType{
		TensorType: &protos.TypeProto_Tensor{ElemType: int32(protos.TensorProto_FLOAT), Shape: shape}}}}
}
