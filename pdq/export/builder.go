package export

import (
	"errors"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
)

// builder collects a model's nodes and constants, layer by layer.
type builder struct {
	form    Form
	s       pdq.Student
	weights models.Weights    // the student's: on their levels, if they have any
	opset   int               // the lowest that all so far can have
	read    map[string]string // by layer: the tensor that later layers read
	shapes  map[string][]int  // by layer: the output for one image
	single  map[string]bool   // by layer: whether the output is the same for all images, and is there once
	graph   *protos.GraphProto
	bytes   int   // of weights and biases, without scales and zero points
	err     error // of parameters
}

// layer adds what l computes, and the quantisers of its weight and its output.
func (b *builder) layer(l models.Layer) error {
	in := make([]string, len(l.Inputs))
	for i, name := range l.Inputs {
		in[i] = b.read[name]
	}
	if err := b.kind(l, in); err != nil {
		return err
	}
	if b.err != nil {
		return b.err
	}
	b.read[l.Name] = l.Name
	b.single[l.Name] = !slices.ContainsFunc(l.Inputs, func(name string) bool { return !b.single[name] })
	if a, ok := b.s.Acts[l.Name]; ok {
		return b.activation(l.Name, a)
	}
	return nil
}

// params adds parameters of l, and returns the names of their tensors.
func (b *builder) params(l models.Layer, names ...string) (all []string) {
	for _, name := range names {
		all = append(all, b.param(l, name, b.weights[l.Name+"."+name].Shape().Dimensions...))
	}
	return all
}

// param adds the parameter of l called name in the shape dims, and returns the name of its tensor.
func (b *builder) param(l models.Layer, name string, dims ...int) string {
	full := l.Name + "." + name
	values, err := tensors.CopyFlatData[float32](b.weights[full])
	if q, ok := b.s.Weights[l.Name]; ok && name == "weight" && err == nil {
		err = b.weight(full, dims, values, q, false)
	} else if err == nil {
		b.parameter(floatTensor(full, dims, values))
	}
	b.err = errors.Join(b.err, err)
	return full
}

// needs says that the model has nodes of an opset.
func (b *builder) needs(opset int) { b.opset = max(b.opset, opset) }

// constant adds a constant tensor and returns its name.
func (b *builder) constant(t *protos.TensorProto) string {
	b.graph.Initializer = append(b.graph.Initializer, t)
	return t.Name
}

// parameter adds a weight or bias, or the levels of one, and returns its name.
func (b *builder) parameter(t *protos.TensorProto) string {
	b.bytes += len(t.RawData)
	return b.constant(t)
}

// node adds a node with the result out, which also names it.
func (b *builder) node(op, out string, in []string, attributes ...*protos.AttributeProto) {
	b.graph.Node = append(b.graph.Node,
		&protos.NodeProto{OpType: op, Name: out, Input: in, Output: []string{out}, Attribute: attributes})
}

// rename makes what later layers would read of the last layer the output of the model.
func (b *builder) rename(last string) {
	for _, n := range b.graph.Node {
		if n.Output[0] == b.read[last] {
			n.Output[0] = Output
		}
	}
}

func ints(name string, x ...int) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_INTS, Ints: int64s(x...)}
}

func integer(name string, x int) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_INT, I: int64(x)}
}

func float(name string, x float64) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_FLOAT, F: float32(x)}
}

func text(name, x string) *protos.AttributeProto {
	return &protos.AttributeProto{Name: name, Type: protos.AttributeProto_STRING, S: []byte(x)}
}
