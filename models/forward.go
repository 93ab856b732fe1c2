package models

import . "github.com/gomlx/gomlx/core/graph"

// Hooks give a forward pass its weights, and let a caller change what layers compute. Only Param is required.
type Hooks struct {
	// Param returns the weight tensor called name ("conv1.weight"), in its own shape.
	Param func(name string) *Node
	// Norm replaces the batch normalisation of x [N,C,...] that layer l is; bn is its op. nil: the running statistics.
	Norm func(l Layer, bn BatchNorm, x *Node) *Node
	// After gets each layer's output and returns what later layers read. nil: the output itself.
	After func(l Layer, y *Node) *Node
}

// Forward computes the layers first to last (both included) of n, and returns the last one's output. x is what they
// read from outside that range, [N,C,H,W] or [N,C].
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

// Scoped returns a function that calls param with the full name of a weight tensor of l: "conv1.weight" for "weight".
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
