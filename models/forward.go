package models

import . "github.com/gomlx/gomlx/core/graph"

// Hooks let a caller stand between the layers of a forward pass. Only Param is needed.
type Hooks struct {
	// Param returns the weight tensor called name ("conv1.weight"), in its own shape.
	Param func(name string) *Node
	// Norm replaces the batch normalisation of x [N,C,...] that layer l is, with bn its op; nil: with running statistics.
	Norm func(l Layer, bn BatchNorm, x *Node) *Node
	// After sees each layer's output and returns what the next layers read; nil: the output.
	After func(l Layer, y *Node) *Node
}

// Forward computes the layers first to last (both included) of n. x is what they
// read from outside that range, [N,C,H,W] or [N,C]. It returns the last one's output.
func (n *Network) Forward(x *Node, first, last int, h Hooks) *Node {
	values := map[string]*Node{}
	input := func(name string) *Node {
		if v, ok := values[name]; ok {
			return v
		}
		return x
	}
	for _, l := range n.Layers[first : last+1] {
		in := make([]*Node, len(l.Inputs))
		for i, name := range l.Inputs {
			in[i] = input(name)
		}
		y := l.compute(in, h)
		if h.After != nil {
			y = h.After(l, y)
		}
		values[l.Name] = y
	}
	if last < first {
		return x
	}
	return values[n.Layers[last].Name]
}

// Scoped returns param for the weight tensors of l, which are called by the ends of their names.
func (l Layer) Scoped(param func(name string) *Node) func(name string) *Node {
	return func(name string) *Node { return param(l.Name + "." + name) }
}

// compute returns l's output.
func (l Layer) compute(in []*Node, h Hooks) *Node {
	if bn, ok := l.Op.(BatchNorm); ok && h.Norm != nil {
		return h.Norm(l, bn, in[0])
	}
	return l.Op.Graph(in, l.Scoped(h.Param))
}
