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
	KindMaxPool                   // maximum over Kernel·Kernel pixels, a Stride apart; padding is never the maximum
	KindGlobalAvgPool             // mean over H and W: [N,C,H,W] to [N,C]
	KindLinear                    // x·Wᵀ + b; weights .weight, .bias
)

// String returns the kind's name.
func (k Kind) String() string {
	names := [...]string{"conv", "batchnorm", "relu", "relu6", "add", "pad-shortcut", "maxpool", "avgpool", "linear"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return names[k]
}

// Image names the network's input where a layer names its inputs.
const Image = "image"

// Layer is one node of a Network's graph. Its zero fields don't apply to its kind.
type Layer struct {
	Name    string
	Kind    Kind
	Inputs  []string // names of earlier layers, or Image
	In, Out int      // channels: Conv, BatchNorm (Out), PadShortcut, Linear
	Kernel  int      // Conv, MaxPool
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
	if err := n.validateLayers(); err != nil {
		return err
	}
	next := 0
	for i, u := range n.Units {
		if slices.ContainsFunc(n.Units[:i], func(v Unit) bool { return v.Name == u.Name }) {
			return fmt.Errorf("models: %s: two units are called %q", n.Name, u.Name)
		}
		if u.First < next || u.Last < u.First || u.Last >= len(n.Layers) {
			return fmt.Errorf("models: %s: unit %s is layers %d to %d; it must start at %d or later and end before %d", n.Name, u.Name, u.First, u.Last, next, len(n.Layers))
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
	if n.Channels < 1 || n.Size < 1 {
		return fmt.Errorf("models: %s is for images of %d channels and %d pixels; both must be positive", n.Name, n.Channels, n.Size)
	}
	shapes := map[string][]int{Image: {n.Channels, n.Size, n.Size}}
	for _, l := range n.Layers {
		if err := l.validate(); err != nil {
			return fmt.Errorf("models: %s: layer %s %w", n.Name, l.Name, err)
		}
		var in [][]int
		for _, name := range l.Inputs {
			s, ok := shapes[name]
			if !ok {
				return fmt.Errorf("models: %s: layer %s reads %q, which is no earlier layer", n.Name, l.Name, name)
			}
			in = append(in, s)
		}
		if shapes[l.Name] != nil {
			return fmt.Errorf("models: %s: two layers are called %q", n.Name, l.Name)
		}
		if err := l.validateInputs(in); err != nil {
			return fmt.Errorf("models: %s: layer %s (%v) %w", n.Name, l.Name, l.Kind, err)
		}
		shapes[l.Name] = l.shape(in[0])
	}
	last := n.Layers[len(n.Layers)-1].Name
	if !slices.Equal(shapes[last], []int{n.Classes}) {
		return fmt.Errorf("models: %s: the last layer, %s, has shape %v; for %d classes it must be [%d]", n.Name, last, shapes[last], n.Classes, n.Classes)
	}
	return nil
}

// validateInputs reports why the layer can't take inputs of these shapes.
func (l Layer) validateInputs(in [][]int) error {
	dims, channels := len(in[0]), in[0][0] // for kinds that take any
	switch l.Kind {
	case KindConv, KindPadShortcut:
		dims, channels = 3, l.In
	case KindBatchNorm:
		dims, channels = 3, l.Out
	case KindMaxPool, KindGlobalAvgPool:
		dims = 3
	case KindLinear:
		dims, channels = 1, l.In
	}
	switch {
	case len(in[0]) != dims:
		return fmt.Errorf("takes an input of %d dimensions, but %q has shape %v", dims, l.Inputs[0], in[0])
	case in[0][0] != channels:
		return fmt.Errorf("takes %d channels, but %q has %d; they must be equal", channels, l.Inputs[0], in[0][0])
	case l.Kind == KindAdd && !slices.Equal(in[0], in[1]):
		return fmt.Errorf("sums %q of shape %v and %q of shape %v; they must be equal", l.Inputs[0], in[0], l.Inputs[1], in[1])
	}
	if out := l.shape(in[0]); slices.Min(out) < 1 {
		return fmt.Errorf("makes shape %v of %v; every size must be positive", out, in[0])
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
	// What follows is computed from the unit's output alone.
	passed := map[string]bool{Image: true}
	for _, l := range n.Layers[:u.Last] {
		passed[l.Name] = true
	}
	for _, l := range n.Layers[u.Last+1:] {
		for _, in := range l.Inputs {
			if passed[in] {
				return fmt.Errorf("models: %s: layer %s reads %q past unit %s; after a unit only its output may be read", n.Name, l.Name, in, u.Name)
			}
		}
	}
	return nil
}

// validate reports what is wrong with the layer itself.
func (l Layer) validate() error {
	inputs := 1
	if l.Kind == KindAdd {
		inputs = 2
	}
	switch {
	case l.Kind < 0 || l.Kind > KindLinear:
		return fmt.Errorf("is of unknown kind %d", int(l.Kind))
	case len(l.Inputs) != inputs:
		return fmt.Errorf("(%v) has %d inputs; it must have %d", l.Kind, len(l.Inputs), inputs)
	case l.Kind == KindConv && (l.Kernel < 1 || l.Stride < 1 || l.Pad < 0 || l.Groups < 1 || l.In%l.Groups != 0 || l.Out%l.Groups != 0):
		return fmt.Errorf("(conv) takes %d channels to %d in %d groups with kernel %d, stride %d, padding %d; kernel, stride and groups must be positive, and groups divide the channels",
			l.In, l.Out, l.Groups, l.Kernel, l.Stride, l.Pad)
	case l.Kind == KindMaxPool && (l.Kernel < 1 || l.Stride < 1 || l.Pad < 0 || 2*l.Pad > l.Kernel):
		return fmt.Errorf("(maxpool) has kernel %d, stride %d and padding %d; kernel and stride must be positive, and the padding at most half the kernel", l.Kernel, l.Stride, l.Pad)
	case l.Kind == KindPadShortcut && (l.Stride < 1 || l.Out < l.In):
		return fmt.Errorf("(pad-shortcut) takes %d channels to %d with stride %d; the stride must be positive, and no channel may be lost", l.In, l.Out, l.Stride)
	}
	return nil
}

// Shapes returns the shape of each layer's output for one image: [C,H,W], or [C]
// after pooling.
func (n *Network) Shapes() [][]int {
	shapes := map[string][]int{Image: {n.Channels, n.Size, n.Size}}
	var out [][]int
	for _, l := range n.Layers {
		shapes[l.Name] = l.shape(shapes[l.Inputs[0]])
		out = append(out, shapes[l.Name])
	}
	return out
}

// InputShape returns the shape of what layer i reads first, for one image.
func (n *Network) InputShape(i int) []int {
	name := n.Layers[i].Inputs[0]
	if name == Image {
		return []int{n.Channels, n.Size, n.Size}
	}
	return n.Shapes()[n.Index(name)]
}

// shape returns the shape of the layer's output, given that of its first input. A kernel
// that doesn't fit gives sizes below 1.
func (l Layer) shape(in []int) []int {
	switch l.Kind {
	case KindConv:
		return []int{l.Out, l.windows(in[1]), l.windows(in[2])}
	case KindMaxPool:
		return []int{in[0], l.windows(in[1]), l.windows(in[2])}
	case KindPadShortcut:
		return []int{l.Out, (in[1] + l.Stride - 1) / l.Stride, (in[2] + l.Stride - 1) / l.Stride}
	case KindGlobalAvgPool:
		return in[:1:1]
	case KindLinear:
		return []int{l.Out}
	}
	return slices.Clone(in)
}

// windows returns how many windows of Kernel pixels fit on an axis of that size.
func (l Layer) windows(size int) int { return (size + 2*l.Pad - l.Kernel + l.Stride) / l.Stride }

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
