package onnx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
)

// graph is what of a file leads to the logits.
type graph struct {
	name    string
	input   *protos.ValueInfoProto
	output  string
	nodes   []*protos.NodeProto // in topological order
	weights map[string]*protos.TensorProto
}

// newGraph returns the nodes that the chosen output needs.
func newGraph(p *protos.GraphProto, o Options) (g *graph, err error) {
	g = &graph{name: p.GetName(), weights: map[string]*protos.TensorProto{}}
	for _, t := range p.GetInitializer() {
		g.weights[t.GetName()] = t
	}
	if len(p.GetSparseInitializer()) > 0 {
		return nil, fmt.Errorf("has %d sparse weights; export it with dense ones", len(p.GetSparseInitializer()))
	}
	if err := g.choose(p, o); err != nil {
		return nil, err
	}
	g.nodes, err = sorted(p.GetNode(), g)
	return g, err
}

// withoutFunctions returns m with calls of its functions replaced by their nodes; m itself if it has none.
func withoutFunctions(m *protos.ModelProto) (*protos.ModelProto, error) {
	if len(m.GetFunctions()) == 0 {
		return m, nil
	}
	g := m.GetGraph()
	nodes, err := inlined(g.GetNode(), m.GetFunctions(), 0)
	if err != nil {
		return nil, err
	}
	return &protos.ModelProto{IrVersion: m.GetIrVersion(), OpsetImport: m.GetOpsetImport(),
		ProducerName: m.GetProducerName(), ProducerVersion: m.GetProducerVersion(), Domain: m.GetDomain(),
		ModelVersion: m.GetModelVersion(), DocString: m.GetDocString(), MetadataProps: m.GetMetadataProps(),
		Graph: &protos.GraphProto{Name: g.GetName(), Node: nodes, Initializer: g.GetInitializer(),
			SparseInitializer: g.GetSparseInitializer(), DocString: g.GetDocString(), Input: g.GetInput(),
			Output: g.GetOutput(), ValueInfo: g.GetValueInfo(), MetadataProps: g.GetMetadataProps()}}, nil
}

// choose finds the input and the output.
func (g *graph) choose(p *protos.GraphProto, o Options) error {
	var inputs []*protos.ValueInfoProto
	var outputs []string
	for _, v := range p.GetInput() {
		if g.weights[v.GetName()] == nil { // old files list weights among the inputs
			inputs = append(inputs, v)
		}
	}
	for _, v := range p.GetOutput() {
		outputs = append(outputs, v.GetName())
	}
	names := make([]string, len(inputs))
	for i, v := range inputs {
		names[i] = v.GetName()
	}
	in, err := one("input", names, o.Input)
	if err != nil {
		return err
	}
	out, err := one("output", outputs, o.Output)
	if err != nil {
		return err
	}
	g.input, g.output = inputs[in], outputs[out]
	return nil
}

// one returns the index of the name that is chosen, or of the only one.
func one(what string, names []string, chosen string) (int, error) {
	if i := slices.Index(names, chosen); i >= 0 {
		return i, nil
	}
	switch {
	case len(names) == 0:
		return 0, fmt.Errorf("has no %s", what)
	case chosen != "":
		return 0, fmt.Errorf("has no %s %q; it has %s", what, chosen, strings.Join(names, ", "))
	case len(names) > 1:
		return 0, fmt.Errorf("has %d %ss; choose one with %s=: %s", len(names), what, what, strings.Join(names, ", "))
	}
	return 0, nil
}

// sorted returns the nodes that g's output needs, each after those that it reads.
func sorted(nodes []*protos.NodeProto, g *graph) ([]*protos.NodeProto, error) {
	makers := map[string]*protos.NodeProto{}
	for _, n := range nodes {
		for _, out := range n.GetOutput() {
			if out == "" {
				continue
			}
			if makers[out] != nil || g.weights[out] != nil || out == g.input.GetName() {
				return nil, fmt.Errorf("%s: makes %q a second time", title(n), out)
			}
			makers[out] = n
		}
	}
	var order []*protos.NodeProto
	state := map[*protos.NodeProto]int{} // 1: its inputs are being visited, 2: in order
	var visit func(name string, reader *protos.NodeProto) error
	visit = func(name string, reader *protos.NodeProto) error {
		n := makers[name]
		switch {
		case name == "" || name == g.input.GetName() || g.weights[name] != nil:
			return nil
		case n == nil && reader == nil:
			return fmt.Errorf("no node makes the output %q", name)
		case n == nil:
			return fmt.Errorf("%s: reads %q, which is no weight, no node's output and not the input %q; give input=, or export "+
				"it again", title(reader), name, g.input.GetName())
		case state[n] == 1:
			return fmt.Errorf("%s: is part of a cycle; the file is damaged, export it again", title(n))
		case state[n] == 2:
			return nil
		}
		state[n] = 1
		for _, in := range n.GetInput() {
			if err := visit(in, n); err != nil {
				return err
			}
		}
		state[n] = 2
		order = append(order, n)
		return nil
	}
	if err := visit(g.output, nil); err != nil {
		return nil, err
	}
	// The file's own order, where it is topological, keeps branches in the order in which the network computes them.
	at := map[*protos.NodeProto]int{}
	for i, n := range nodes {
		at[n] = i
	}
	inFile := slices.Clone(order)
	slices.SortStableFunc(inFile, func(a, b *protos.NodeProto) int { return at[a] - at[b] })
	if topological(inFile, makers, at) {
		return inFile, nil
	}
	return order, nil
}

// topological says whether each node comes after those that it reads.
func topological(nodes []*protos.NodeProto, makers map[string]*protos.NodeProto, at map[*protos.NodeProto]int) bool {
	for _, n := range nodes {
		for _, in := range n.GetInput() {
			if m := makers[in]; m != nil && at[m] >= at[n] {
				return false
			}
		}
	}
	return true
}

// maxDepth is how deep functions may call functions.
const maxDepth = 20

// inlined returns nodes with each call of one of the file's functions replaced by the function's nodes.
func inlined(nodes []*protos.NodeProto, functions []*protos.FunctionProto, depth int) ([]*protos.NodeProto, error) {
	var all []*protos.NodeProto
	for i, n := range nodes {
		f := function(functions, n)
		if f == nil {
			all = append(all, n)
			continue
		}
		if depth == maxDepth {
			return nil, fmt.Errorf("%s: functions call each other more than %d deep", title(n), maxDepth)
		}
		body, err := inlined(body(f, n, fmt.Sprintf("%s_%d_%d/", f.GetName(), depth, i)), functions, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, body...)
	}
	return all, nil
}

// function returns the function that n calls, or nil.
func function(functions []*protos.FunctionProto, n *protos.NodeProto) *protos.FunctionProto {
	for _, f := range functions {
		if f.GetName() == n.GetOpType() && f.GetDomain() == n.GetDomain() && f.GetOverload() == n.GetOverload() {
			return f
		}
	}
	return nil
}

// body returns f's nodes with the arguments of the call n; prefix makes names unique.
func body(f *protos.FunctionProto, n *protos.NodeProto, prefix string) []*protos.NodeProto {
	names := map[string]string{"": ""}
	for i, name := range f.GetInput() {
		names[name] = ""
		if i < len(n.GetInput()) {
			names[name] = n.GetInput()[i]
		}
	}
	for i, name := range f.GetOutput() {
		if i < len(n.GetOutput()) && n.GetOutput()[i] != "" {
			names[name] = n.GetOutput()[i]
		}
	}
	outer := func(inner []string) []string {
		out := make([]string, len(inner))
		for i, name := range inner {
			known, ok := names[name]
			if !ok {
				known = prefix + name
			}
			out[i] = known
		}
		return out
	}
	given := map[string]*protos.AttributeProto{}
	for _, a := range slices.Concat(f.GetAttributeProto(), n.GetAttribute()) {
		given[a.GetName()] = a
	}
	var nodes []*protos.NodeProto
	for _, inner := range f.GetNode() {
		c := &protos.NodeProto{Name: n.GetName() + "/" + inner.GetName(), OpType: inner.GetOpType(),
			Domain: inner.GetDomain(), Overload: inner.GetOverload(), Input: outer(inner.GetInput()),
			Output:        outer(inner.GetOutput()),
			MetadataProps: n.GetMetadataProps()}
		for _, a := range inner.GetAttribute() {
			if ref := a.GetRefAttrName(); ref != "" {
				if given[ref] == nil {
					continue
				}
				g := given[ref]
				a = &protos.AttributeProto{Name: a.GetName(), Type: g.GetType(), F: g.GetF(), I: g.GetI(), S: g.GetS(),
					T: g.GetT(), Floats: g.GetFloats(), Ints: g.GetInts(), Strings: g.GetStrings()}
			}
			c.Attribute = append(c.Attribute, a)
		}
		nodes = append(nodes, c)
	}
	return nodes
}

// nameOf returns the name of a node, or of its first output if it has none.
func nameOf(n *protos.NodeProto) string {
	if n.GetName() == "" && len(n.GetOutput()) > 0 {
		return n.GetOutput()[0]
	}
	return n.GetName()
}

// title names a node in messages.
func title(n *protos.NodeProto) string { return fmt.Sprintf("node %s (%s)", nameOf(n), n.GetOpType()) }
