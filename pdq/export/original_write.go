package export

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
)

// write adds the nodes that stay, in their order, with new weights and quantisers.
func (e *original) write() error {
	for _, n := range e.from.GetNode() {
		if e.gone[n] {
			continue
		}
		c := &protos.NodeProto{Name: n.Name, OpType: n.OpType, Domain: n.Domain, Overload: n.Overload,
			DocString: n.DocString, MetadataProps: n.MetadataProps, Attribute: n.Attribute, Output: n.Output}
		for _, in := range n.GetInput() {
			c.Input = append(c.Input, e.reads(in))
		}
		var err error
		switch l := e.written[n]; {
		case l == nil:
			err = e.add(c)
		case l.product == n:
			err = e.writeProduct(c, l)
		default:
			k := slices.IndexFunc(n.GetInput(), func(in string) bool { return !e.data[in] })
			c.Input[k] = e.writeBias(l, true)
			err = e.add(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reads returns the tensor that nodes read instead of x: the quantised one, if there is one.
func (e *original) reads(x string) string {
	if y, ok := e.read[x]; ok {
		return y
	}
	return x
}

// add adds a node, and the quantisers of its results.
func (e *original) add(n *protos.NodeProto) error {
	e.graph.Node = append(e.graph.Node, n)
	for _, out := range n.Output {
		if a, ok := e.acts[out]; ok {
			if err := e.activation(out, a); err != nil {
				return fmt.Errorf("tensor %s: %w", out, err)
			}
		}
	}
	return nil
}

// writeProduct adds the product of l: in the form Float with the bias, else with an Add for it, see weighted.
func (e *original) writeProduct(n *protos.NodeProto, l *placed) error {
	if err := e.writeWeight(n, l); err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	n.Input = []string{n.Input[0], l.weight}
	n.Attribute = slices.DeleteFunc(slices.Clone(n.Attribute), func(a *protos.AttributeProto) bool {
		return n.OpType == "Gemm" && (a.GetName() == "alpha" || a.GetName() == "beta")
	})
	n.Output = []string{l.Output}
	switch {
	case l.added != nil:
		n.Output = []string{l.Product}
	case l.bias == "":
	case e.form == Float && n.OpType != "MatMul":
		n.Input = append(n.Input, e.writeBias(l, false))
	default:
		n.Output = []string{l.Output + ".product"}
		if err := e.add(n); err != nil {
			return err
		}
		n = &protos.NodeProto{OpType: "Add", Name: l.Output, Input: []string{n.Output[0], e.writeBias(l, true)},
			Output: []string{l.Output}}
	}
	return e.add(n)
}

// writeWeight adds the weight that n reads.
func (e *original) writeWeight(n *protos.NodeProto, l *placed) error {
	turned := n.OpType == "MatMul" || n.OpType == "Gemm" && !slices.ContainsFunc(n.Attribute,
		func(a *protos.AttributeProto) bool { return a.GetName() == "transB" && a.GetI() != 0 })
	values, err := tensors.CopyFlatData[float32](e.weights[l.Name+".weight"])
	if err != nil {
		return err
	}
	if q, ok := e.s.Weights[l.Name]; ok {
		return e.weight(l.weight, l.dims, values, q, turned)
	}
	dims, values := turn(l.dims, values, turned)
	e.parameter(floatTensor(l.weight, dims, values))
	return nil
}

// writeBias adds the bias of l and returns its name. broadcast says that it is added to the product.
func (e *original) writeBias(l *placed, broadcast bool) string {
	values := make([]float32, l.dims[0])
	if b := e.weights[l.Name+".bias"]; b != nil {
		values = tensors.MustCopyFlatData[float32](b)
	}
	dims := []int{l.dims[0]}
	if broadcast {
		dims = append(dims, slices.Repeat([]int{1}, len(l.dims)-2)...)
	}
	return e.parameter(floatTensor(l.bias, dims, values))
}

// check completes the graph, and returns an error if it isn't one.
func (e *original) check() error {
	g := e.graph
	read := map[string]bool{}
	for _, n := range g.Node {
		for _, in := range n.Input {
			read[in] = true
		}
	}
	for _, v := range g.Output {
		read[v.GetName()] = true
	}
	var constants []*protos.TensorProto
	for _, t := range e.from.GetInitializer() {
		if e.constants[t.GetName()] == t && read[t.GetName()] {
			constants = append(constants, &protos.TensorProto{Name: t.Name, DataType: t.DataType, Dims: t.Dims,
				RawData: t.RawData, FloatData: t.FloatData, Int32Data: t.Int32Data, Int64Data: t.Int64Data,
				DoubleData: t.DoubleData, Uint64Data: t.Uint64Data, DocString: t.DocString, MetadataProps: t.MetadataProps})
		}
	}
	g.Initializer = append(constants, g.Initializer...)
	made := map[string]bool{"": true}
	for _, t := range g.Initializer {
		if made[t.GetName()] {
			return fmt.Errorf("the file already has a tensor called %s", t.GetName())
		}
		made[t.GetName()] = true
	}
	for _, v := range e.from.GetInput() {
		if c := e.constants[v.GetName()]; e.data[v.GetName()] || c != nil && read[v.GetName()] {
			g.Input = append(g.Input, v) // old files list weights among the inputs
		}
		made[v.GetName()] = made[v.GetName()] || e.data[v.GetName()]
	}
	for _, n := range g.Node {
		for _, in := range n.Input {
			if !made[in] {
				return fmt.Errorf("node %s (%s) reads %s, which is folded", n.Name, n.OpType, in)
			}
		}
		for _, out := range n.Output {
			if out != "" && made[out] {
				return fmt.Errorf("the file already has a tensor called %s", out)
			}
			made[out] = true
		}
	}
	for _, v := range e.from.GetValueInfo() {
		if made[v.GetName()] {
			g.ValueInfo = append(g.ValueInfo, v)
		}
	}
	return nil
}
