// Package models describes image classifiers: the Network, which is layers with an Op each, their weights, the forward
// pass with its gradients, and the folding of batch normalisation.
//
// Layouts are PyTorch's: activations [N,C,H,W], convolution weights [O,C/groups,K,K], linear weights [O,I]. Names are
// PyTorch's too: layer "layer1.0.conv1" has the weight "layer1.0.conv1.weight".
//
// Architectures and training belong in package arch, file formats in package checkpoint, and quantisation in package
// pdq.
package models

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Image names the network's input where a layer names its inputs.
const Image = "image"

// Layer is one node of a Network's graph.
type Layer struct {
	Name   string
	Inputs []string // names of earlier layers, or Image
	Op     Op       // what it computes
}

// Unit is a run of layers that are quantised together, such as a residual block. It reads one tensor from outside, and
// its output is that of its last layer. Layers between units have no weights.
type Unit struct {
	Name        string
	First, Last int // indices into Layers, both included
}

// Network is a classifier: layers in topological order, cut into units. It is the only description of a network. The
// teacher, the student and the rest of the network after a unit are built from it.
type Network struct {
	Name                    string
	Channels, Height, Width int // of the images
	Classes                 int
	Layers                  []Layer // the last one computes the logits
	Units                   []Unit
}

// Index returns the position of the layer called name, or -1.
func (n *Network) Index(name string) int {
	return slices.IndexFunc(n.Layers, func(l Layer) bool { return l.Name == name })
}

// Unit returns the index of the unit called name. The error lists the units.
func (n *Network) Unit(name string) (int, error) {
	var names []string
	for i, u := range n.Units {
		if u.Name == name {
			return i, nil
		}
		names = append(names, u.Name)
	}
	return 0, fmt.Errorf("models: %s has no unit %q; its units are %v", n.Name, name, names)
}

// Consumers returns the indices of the layers that read the output of layer i.
func (n *Network) Consumers(i int) []int {
	var c []int
	for j, l := range n.Layers {
		if slices.Contains(l.Inputs, n.Layers[i].Name) {
			c = append(c, j)
		}
	}
	return c
}

// Validate reports the first thing wrong with the network's structure.
func (n *Network) Validate() error {
	if err := n.validateLayers(); err != nil {
		return err
	}
	next := 0
	for i, u := range n.Units {
		if slices.ContainsFunc(n.Units[:i], func(v Unit) bool { return v.Name == u.Name }) {
			return fmt.Errorf("models: %s: two units are called %q", n.Name, u.Name)
		}
		if u.First < next || u.Last < u.First || u.Last >= len(n.Layers) {
			return fmt.Errorf("models: %s: unit %s is layers %d to %d; it must start at %d or later and end before %d",
				n.Name, u.Name, u.First, u.Last, next, len(n.Layers))
		}
		for _, l := range n.Layers[next:u.First] {
			if len(l.Params()) > 0 {
				return fmt.Errorf("models: %s: layer %s has weights, but is in no unit", n.Name, l.Name)
			}
		}
		if err := n.validateUnit(u); err != nil {
			return err
		}
		next = u.Last + 1
	}
	if next != len(n.Layers) {
		return fmt.Errorf("models: %s: the last unit ends at layer %d of %d", n.Name, next-1, len(n.Layers))
	}
	return nil
}

// validateLayers follows the shape of one image through the layers.
func (n *Network) validateLayers() error {
	if len(n.Layers) == 0 {
		return fmt.Errorf("models: %s has no layers", n.Name)
	}
	if slices.Min(n.imageShape()) < 1 {
		return fmt.Errorf("models: %s is for images of shape %v; every size must be positive", n.Name, n.imageShape())
	}
	shapes := map[string][]int{Image: n.imageShape()}
	for _, l := range n.Layers {
		fail := func(err error) error {
			kind := ""
			if l.Op != nil {
				kind = " (" + l.Op.Kind() + ")"
			}
			return fmt.Errorf("models: %s: layer %s%s %w", n.Name, l.Name, kind, err)
		}
		if err := l.validate(); err != nil {
			return fail(err)
		}
		for _, name := range l.Inputs {
			if shapes[name] == nil {
				return fail(fmt.Errorf("reads %q, which is no earlier layer", name))
			}
		}
		if shapes[l.Name] != nil {
			return fmt.Errorf("models: %s: two layers are called %q", n.Name, l.Name)
		}
		shape, err := l.shape(l.inputs(shapes))
		if err != nil {
			return fail(fmt.Errorf("of %s %w", strings.Join(l.Inputs, ", "), err))
		}
		shapes[l.Name] = shape
	}
	last := n.Layers[len(n.Layers)-1].Name
	if !slices.Equal(shapes[last], []int{n.Classes}) {
		return fmt.Errorf("models: %s: the last layer, %s, has shape %v; for %d classes it must be [%d]",
			n.Name, last, shapes[last], n.Classes, n.Classes)
	}
	return nil
}

// validateUnit checks that the unit reads one tensor from outside, and that later layers read only its output.
func (n *Network) validateUnit(u Unit) error {
	inside := map[string]bool{}
	outside := map[string]bool{}
	for i := u.First; i <= u.Last; i++ {
		for _, in := range n.Layers[i].Inputs {
			if !inside[in] {
				outside[in] = true
			}
		}
		inside[n.Layers[i].Name] = true
	}
	if len(outside) != 1 {
		return fmt.Errorf("models: %s: unit %s reads %d tensors from outside; it must read one", n.Name, u.Name, len(outside))
	}
	// Layers after the unit may read its output, and nothing before it.
	passed := map[string]bool{Image: true}
	for _, l := range n.Layers[:u.Last] {
		passed[l.Name] = true
	}
	for _, l := range n.Layers[u.Last+1:] {
		for _, in := range l.Inputs {
			if passed[in] {
				return fmt.Errorf("models: %s: layer %s reads %q past unit %s; after a unit only its output may be read",
					n.Name, l.Name, in, u.Name)
			}
		}
	}
	return nil
}

// validate reports what is wrong with the layer itself.
func (l Layer) validate() error {
	if l.Op == nil {
		return errors.New("has no op; say what it computes")
	}
	if len(l.Inputs) != l.Op.Inputs() {
		return fmt.Errorf("has %d inputs; it must have %d", len(l.Inputs), l.Op.Inputs())
	}
	return l.Op.Check()
}

// shape returns the shape of the layer's output, given those of its inputs.
func (l Layer) shape(in [][]int) ([]int, error) {
	out, err := l.Op.Shape(in)
	if err == nil && slices.Min(out) < 1 {
		err = fmt.Errorf("makes shape %v of %v; every size must be positive", out, in[0])
	}
	return out, err
}

// Shapes returns the shape of each layer's output for one image: [C,H,W], or [C] after pooling. n is valid.
func (n *Network) Shapes() [][]int {
	shapes := map[string][]int{Image: n.imageShape()}
	var out [][]int
	for _, l := range n.Layers {
		s, err := l.Op.Shape(l.inputs(shapes))
		if err != nil {
			panic(fmt.Errorf("models: %s: layer %s (%s) %w", n.Name, l.Name, l.Op.Kind(), err)) // Validate reports it
		}
		shapes[l.Name] = s
		out = append(out, s)
	}
	return out
}

func (n *Network) imageShape() []int { return []int{n.Channels, n.Height, n.Width} }

// inputs returns the shapes of what l reads.
func (l Layer) inputs(shapes map[string][]int) [][]int {
	in := make([][]int, len(l.Inputs))
	for i, name := range l.Inputs {
		in[i] = shapes[name]
	}
	return in
}

// Renamed returns l with its inputs' names replaced by those that to has for them.
func (l Layer) Renamed(to map[string]string) Layer {
	inputs := make([]string, len(l.Inputs))
	for i, in := range l.Inputs {
		inputs[i] = in
		if name, ok := to[in]; ok {
			inputs[i] = name
		}
	}
	l.Inputs = inputs
	return l
}

// InputShape returns the shape, for one image, of the first tensor from before layer i that layer i or a later one
// reads.
func (n *Network) InputShape(i int) []int {
	for _, l := range n.Layers[i:] {
		for _, name := range l.Inputs {
			if j := n.Index(name); j < 0 {
				return n.imageShape()
			} else if j < i {
				return n.Shapes()[j]
			}
		}
	}
	return n.imageShape() // no layer reads anything
}

// Params lists the weight tensors of a layer, in PyTorch's order.
func (l Layer) Params() []Param {
	var p []Param
	for _, own := range l.Op.Params() {
		own.Name = l.Name + "." + own.Name
		p = append(p, own)
	}
	return p
}

// Params lists the weight tensors of the network.
func (n *Network) Params() []Param {
	var p []Param
	for _, l := range n.Layers {
		p = append(p, l.Params()...)
	}
	return p
}

// HasWeight says whether the layer has a weight to quantise.
func (l Layer) HasWeight() bool { return l.Op.Role().Weight }
