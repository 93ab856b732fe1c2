package export

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"

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
func keptModel(q *pdq.Quantizer, s pdq.Student, weights models.Weights, o Options) (*protos.ModelProto, Written, error) {
	file := o.Original.Proto
	n, _ := q.Folded()
	b := newBuilder(q, s, weights, o)
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
	out := b.report(n, opset)
	for _, l := range n.Layers {
		if !slices.ContainsFunc(e.layers, func(p placed) bool { return p.Name == l.Name }) {
			for _, p := range l.Params() {
				out.Weights += 4 * exec.Product(p.Shape)
			}
		}
	}
	out.Ends = o.Original.Ends
	props := slices.DeleteFunc(metadata(q, o), func(p *protos.StringStringEntryProto) bool {
		return slices.ContainsFunc(file.GetMetadataProps(),
			func(old *protos.StringStringEntryProto) bool { return old.GetKey() == p.GetKey() })
	})
	return &protos.ModelProto{IrVersion: max(file.GetIrVersion(), irVersion(opset)), ProducerName: file.GetProducerName(),
		ProducerVersion: file.GetProducerVersion(), Domain: file.GetDomain(), ModelVersion: file.GetModelVersion(),
		DocString: file.GetDocString(), Graph: b.graph, OpsetImport: versions,
		MetadataProps: slices.Concat(file.GetMetadataProps(), props)}, out, nil
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

// place finds the tensors and nodes of the folded network's layers.
func (e *original) place(q *pdq.Quantizer, places map[string]onnx.Place) error {
	n, _ := q.Folded()
	last := map[string]string{} // by layer: the tensor of a normalisation that is folded into it
	for _, l := range q.Problem().Network.Layers {
		if p := places[l.Name]; n.Index(l.Name) < 0 && p.Output != "" {
			last[l.Inputs[0]] = p.Output
		}
	}
	for _, l := range n.Layers {
		p, folded := places[l.Name], last[l.Name] != ""
		if folded {
			p.Output = last[l.Name]
		}
		a, isAct := e.s.Acts[l.Name]
		_, isWeight := e.s.Weights[l.Name]
		if (isAct || isWeight || folded) && e.makers[p.Output] == nil {
			return fmt.Errorf("%s is no tensor of the graph, but a step of a node", l.Name)
		}
		if isAct {
			e.acts[p.Output] = a
		}
		if isWeight || folded {
			e.layers = append(e.layers, placed{Layer: l, Place: p, product: e.makers[p.Product],
				dims: e.weights[l.Name+".weight"].Shape().Dimensions})
		}
	}
	return nil
}

// prepare removes the nodes and weights that l needs no longer, and chooses the names of new tensors.
func (e *original) prepare(l *placed) error {
	p := l.product
	kind := p.GetOpType()
	if kind != "Conv" && kind != "Gemm" && kind != "MatMul" || e.data[p.GetInput()[1]] {
		return fmt.Errorf("node %s (%s) isn't a product with a weight", p.GetName(), kind)
	}
	if kind == "Conv" && axesOf(p, e.constants[p.GetInput()[1]]) == 1 {
		l.dims = []int{l.dims[0], l.dims[1], l.dims[3]}
	}
	var added string // the bias that a node adds
	if l.Output != l.Product {
		var err error
		if added, err = e.join(l); err != nil {
			return err
		}
	}
	old := e.source(p.GetInput()[1])
	e.release(p.GetInput()[1])
	l.weight = e.name(old, l.Name+".weight")
	if in := p.GetInput(); len(in) > 2 && in[2] != "" {
		e.release(in[2])
		added = in[2]
	}
	if added != "" || e.biased(l.Name) {
		l.bias = e.name(added, l.Name+".bias")
	}
	return nil
}

// join makes the product of l compute what a batch normalisation after it did, or the node after it add the bias. It
// returns the name of the bias that was added.
func (e *original) join(l *placed) (string, error) {
	last := e.makers[l.Output]
	switch kind := last.GetOpType(); {
	case kind == "BatchNormalization":
		e.remove(last)
		if e.readers[l.Product] > 0 {
			return "", fmt.Errorf("a node reads %s, although a batch normalisation is folded into it", l.Product)
		}
		return "", nil
	case (kind == "Add" || kind == "Sum") && len(last.GetInput()) == 2:
		l.added, e.written[last] = last, l
		k := slices.IndexFunc(last.GetInput(), func(in string) bool { return !e.data[in] })
		if k < 0 || !e.moves(last.GetInput()[1-k], l.Product) {
			return "", fmt.Errorf("node %s (%s) adds more than a bias", last.GetName(), kind)
		}
		e.release(last.GetInput()[k])
		return last.GetInput()[k], nil
	default:
		return "", fmt.Errorf("node %s (%s) comes after the product", last.GetName(), kind)
	}
}

// moves says whether the tensor x is product, or only moved since.
func (e *original) moves(x, product string) bool {
	for x != product {
		n := e.makers[x]
		if !slices.Contains([]string{"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"},
			n.GetOpType()) {
			return false
		}
		x = n.GetInput()[0]
	}
	return true
}

// source returns the constant that a weight is, perhaps in another order of axes, if nothing else reads it.
func (e *original) source(weight string) string {
	x := weight
	for e.readers[x] == 1 {
		if e.constants[x] != nil {
			return x
		}
		n := e.makers[x]
		if !slices.Contains([]string{"Identity", "Reshape", "Transpose"}, n.GetOpType()) {
			break
		}
		x = n.GetInput()[0]
	}
	return weight
}

// axesOf returns how many axes a convolution's kernel has; weight may be nil.
func axesOf(conv *protos.NodeProto, weight *protos.TensorProto) int {
	if weight != nil {
		return len(weight.GetDims()) - 2
	}
	for _, a := range conv.GetAttribute() {
		if a.GetName() == "kernel_shape" {
			return len(a.GetInts())
		}
	}
	return 2
}

// biased says whether the student adds anything to a layer's product.
func (e *original) biased(layer string) bool {
	b := e.weights[layer+".bias"]
	return b != nil && slices.ContainsFunc(tensors.MustCopyFlatData[float32](b), func(x float32) bool { return x != 0 })
}

// release says that one node less reads the tensor x, and removes what nothing reads.
func (e *original) release(x string) {
	if e.readers[x]--; e.readers[x] > 0 || x == "" {
		return
	}
	if e.constants[x] != nil {
		delete(e.constants, x)
		delete(e.taken, x)
		return
	}
	n := e.makers[x]
	if n == nil || e.written[n] != nil || e.gone[n] {
		return
	}
	if slices.ContainsFunc(n.GetOutput(), func(out string) bool { return e.readers[out] > 0 }) {
		return
	}
	e.remove(n)
}

// remove removes a node, and what only it reads.
func (e *original) remove(n *protos.NodeProto) {
	e.gone[n] = true
	for _, out := range n.GetOutput() {
		delete(e.taken, out)
	}
	for _, in := range n.GetInput() {
		e.release(in)
	}
}

// name returns a free name for a tensor: old if it is one, else one like the other.
func (e *original) name(old, other string) string {
	free := old
	if free == "" || e.taken[free] {
		free = other
	}
	for i := 2; e.taken[free]; i++ {
		free = fmt.Sprintf("%s_%d", other, i)
	}
	e.taken[free] = true
	return free
}
