package export

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
)

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
			if _, twice := e.acts[p.Output]; twice {
				return fmt.Errorf("%s: another layer's output is the tensor %s, too", l.Name, p.Output)
			}
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
		switch n.GetOpType() {
		case "Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose":
		default:
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
