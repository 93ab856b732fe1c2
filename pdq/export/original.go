package export

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// original writes a student into the graph of the file that its network comes from.
type original struct {
	*builder
	from      *protos.GraphProto
	layers    []placed // that nodes multiply by a weight, as far as the student changes it
	acts      map[string]pdq.ActQuant
	data      map[string]bool // tensors that depend on the images
	makers    map[string]*protos.NodeProto
	constants map[string]*protos.TensorProto
	readers   map[string]int
	taken     map[string]bool // names of tensors
	gone      map[*protos.NodeProto]bool
	written   map[*protos.NodeProto]*placed // nodes that change
}

// placed is a layer with a weight, and its nodes.
type placed struct {
	models.Layer
	onnx.Place
	product *protos.NodeProto
	added   *protos.NodeProto // adds the bias; nil: none does
	weight  string            // names of the new tensors
	bias    string
	dims    []int // of the weight: as Conv or Linear has them, but [O,I,K] for a convolution of one axis
}

// keptModel returns the model that o.Original holds, with the student's weights, biases and quantisers.
func keptModel(q *pdq.Quantizer, s pdq.Student, weights models.Weights, o Options) (
	*protos.ModelProto, Written, error) {
	file, b := o.Original.Proto, newBuilder(q, s, weights, o)
	g := file.GetGraph()
	b.graph = &protos.GraphProto{Name: g.GetName(), DocString: g.GetDocString(), Output: g.GetOutput(),
		MetadataProps: g.GetMetadataProps(), QuantizationAnnotation: g.GetQuantizationAnnotation()}
	e := &original{builder: b, from: g, acts: map[string]pdq.ActQuant{}, data: map[string]bool{},
		makers: map[string]*protos.NodeProto{}, constants: map[string]*protos.TensorProto{}, readers: map[string]int{},
		taken: map[string]bool{}, gone: map[*protos.NodeProto]bool{}, written: map[*protos.NodeProto]*placed{}}
	if err := e.build(q, o.Original.Places); err != nil {
		return nil, Written{}, err
	}
	b.needs(o.Original.Opset)
	opset, err := b.version(o)
	if err == nil {
		err = raise(b.graph, o.Original.Opset, opset)
	}
	if err != nil {
		return nil, Written{}, err
	}
	versions := []*protos.OperatorSetIdProto{{Version: int64(opset)}}
	for _, v := range file.GetOpsetImport() {
		if v.GetDomain() != "" && v.GetDomain() != "ai.onnx" {
			versions = append(versions, v)
		}
	}
	props := slices.DeleteFunc(metadata(q, o), func(p *protos.StringStringEntryProto) bool {
		return slices.ContainsFunc(file.GetMetadataProps(),
			func(old *protos.StringStringEntryProto) bool { return old.GetKey() == p.GetKey() })
	})
	m := &protos.ModelProto{IrVersion: max(file.GetIrVersion(), irVersion(opset)), Graph: b.graph, OpsetImport: versions,
		ProducerName: file.GetProducerName(), ProducerVersion: file.GetProducerVersion(), Domain: file.GetDomain(),
		ModelVersion: file.GetModelVersion(), DocString: file.GetDocString(),
		MetadataProps: slices.Concat(file.GetMetadataProps(), props)}
	n, _ := q.Folded()
	out := b.report(n, opset)
	out.Weights += e.untouched(n)
	out.IR, out.Logits = int(m.IrVersion), o.Original.Logits
	return m, out, nil
}

// untouched returns the bytes of the weights that stay as they are.
func (e *original) untouched(n *models.Network) (bytes int) {
	for _, l := range n.Layers {
		if slices.ContainsFunc(e.layers, func(p placed) bool { return p.Name == l.Name }) {
			continue
		}
		for _, p := range l.Params() {
			bytes += 4 * exec.Product(p.Shape)
		}
	}
	return bytes
}

// build makes the graph.
func (e *original) build(q *pdq.Quantizer, places map[string]onnx.Place) error {
	if err := e.index(); err != nil {
		return err
	}
	if err := e.place(q, places); err != nil {
		return err
	}
	for i := range e.layers {
		l := &e.layers[i]
		if e.written[l.product] != nil {
			return fmt.Errorf("%s: another layer has the same product", l.Name)
		}
		e.written[l.product] = l
	}
	for i := range e.layers {
		if err := e.prepare(&e.layers[i]); err != nil {
			return fmt.Errorf("%s: %w", e.layers[i].Name, err)
		}
	}
	if err := e.write(); err != nil {
		return err
	}
	return e.check()
}

// index notes what makes and what reads each tensor.
func (e *original) index() error {
	for _, t := range e.from.GetInitializer() {
		if t.GetDataLocation() == protos.TensorProto_EXTERNAL {
			return fmt.Errorf("the weight %s isn't part of the network, and in another file", t.GetName())
		}
		e.constants[t.GetName()], e.taken[t.GetName()] = t, true
	}
	for _, v := range e.from.GetInput() {
		e.taken[v.GetName()] = true
		e.data[v.GetName()] = e.constants[v.GetName()] == nil
	}
	for _, n := range e.from.GetNode() {
		for _, a := range n.GetAttribute() {
			if a.GetG() != nil || len(a.GetGraphs()) > 0 {
				return fmt.Errorf("node %s (%s) has a graph of its own", n.GetName(), n.GetOpType())
			}
		}
		data := false
		for _, in := range n.GetInput() {
			e.readers[in]++
			data = data || e.data[in]
		}
		for _, out := range n.GetOutput() {
			e.makers[out], e.taken[out], e.data[out] = n, true, data
		}
	}
	for _, v := range e.from.GetOutput() {
		e.readers[v.GetName()]++
	}
	return nil
}
