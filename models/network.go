// Package models describes image classifiers: the Network they are, the
// architectures that build one, their weights, and the training of teachers.
//
// Layouts are PyTorch's: activations [N,C,H,W], convolution weights
// [O,C/groups,K,K], linear weights [O,I]. Names are PyTorch's too: layer
// "layer1.0.conv1" has the weight "layer1.0.conv1.weight".
package models

import (
	"fmt"
	"slices"
)

// Kind is what a layer computes.
type Kind int

// The kinds of layers.
const (
	KindConv          Kind = iota // 2-d convolution; weights .weight, and .bias if Bias
	KindBatchNorm                 // weights .weight, .bias, .running_mean, .running_var
	KindReLU                      // max(x, 0)
	KindReLU6                     // min(max(x, 0), 6)
	KindAdd                       // sum of two layers
	KindPadShortcut               // every Stride-th pixel, channels padded with zeros to Out (ResNet's option A)
	KindGlobalAvgPool             // mean over H and W: [N,C,H,W] to [N,C]
	KindLinear                    // x·Wᵀ + b; weights .weight, .bias
)

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"conv", "batchnorm", "relu", "relu6", "add", "pad-shortcut", "avgpool", "linear"}[k]
}

// Image names the network's input where a layer names its inputs.
const Image = "image"

// Layer is one node of a Network's graph. Its zero fields don't apply to its kind.
type Layer struct {
	Name    string
	Kind    Kind
	Inputs  []string // names of earlier layers, or Image
	In, Out int      // channels: Conv, BatchNorm (Out), PadShortcut, Linear
	Kernel  int      // Conv
	ConvSpec
	Bias bool    // Conv: has a bias
	Eps  float64 // BatchNorm: added to the variance
}

// Unit is a run of layers that is quantised at once (a block). It reads one tensor
// from outside and the output of its last layer is the unit's. Layers between two
// units have no weights.
type Unit struct {
	Name        string
	First, Last int // indices into Layers, both included
}

// Network is a classifier as layers in topological order, cut into units. It is the
// only description of a network: teacher, student and the rest of the network
// after a unit are all built from it.
type Network struct {
	Name           string
	Channels, Size int // of the images, which are square
	Classes        int
	Layers         []Layer // the last one's output are the logits
	Units          []Unit
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
	seen := map[string]bool{Image: true}
	for _, l := range n.Layers {
		for _, in := range l.Inputs {
			if !seen[in] {
				return fmt.Errorf("models: %s: layer %s reads %q, which is no earlier layer", n.Name, l.Name, in)
			}
		}
		if seen[l.Name] {
			return fmt.Errorf("models: %s: two layers are called %q", n.Name, l.Name)
		}
		seen[l.Name] = true
	}
	next := 0
	for _, u := range n.Units {
		if u.First < next || u.Last < u.First || u.Last >= len(n.Layers) {
			return fmt.Errorf("models: %s: unit %s is layers %d to %d; it must start at %d or later and end before %d", n.Name, u.Name, u.First, u.Last, next, len(n.Layers))
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
	for i := u.First; i < u.Last; i++ {
		for _, c := range n.Consumers(i) {
			if c > u.Last {
				return fmt.Errorf("models: %s: layer %s reads the inside of unit %s", n.Name, n.Layers[c].Name, u.Name)
			}
		}
	}
	return nil
}

// Shapes returns the shape of each layer's output for one image: [C,H,W], or [C]
// after pooling.
func (n *Network) Shapes() [][]int {
	shapes := map[string][]int{Image: {n.Channels, n.Size, n.Size}}
	var out [][]int
	for _, l := range n.Layers {
		in := shapes[l.Inputs[0]]
		s := slices.Clone(in)
		switch l.Kind {
		case KindConv:
			h, w := (in[1]+2*l.Pad-l.Kernel)/l.Stride+1, (in[2]+2*l.Pad-l.Kernel)/l.Stride+1
			s = []int{l.Out, h, w}
		case KindPadShortcut:
			s = []int{l.Out, (in[1] + l.Stride - 1) / l.Stride, (in[2] + l.Stride - 1) / l.Stride}
		case KindGlobalAvgPool:
			s = in[:1:1]
		case KindLinear:
			s = []int{l.Out}
		}
		shapes[l.Name] = s
		out = append(out, s)
	}
	return out
}

// Param names one weight tensor of a network and its shape.
type Param struct {
	Name  string
	Shape []int
}

// Params lists the weight tensors of a layer, in PyTorch's order.
func (l Layer) Params() []Param {
	switch l.Kind {
	case KindConv:
		p := []Param{{l.Name + ".weight", []int{l.Out, l.In / l.Groups, l.Kernel, l.Kernel}}}
		if l.Bias {
			p = append(p, Param{l.Name + ".bias", []int{l.Out}})
		}
		return p
	case KindLinear:
		return []Param{{l.Name + ".weight", []int{l.Out, l.In}}, {l.Name + ".bias", []int{l.Out}}}
	case KindBatchNorm:
		var p []Param
		for _, s := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			p = append(p, Param{l.Name + s, []int{l.Out}})
		}
		return p
	}
	return nil
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
func (l Layer) HasWeight() bool { return l.Kind == KindConv || l.Kind == KindLinear }
