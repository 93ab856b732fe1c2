package models

import (
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// Fold merges each batch normalisation into the convolution before it:
//
//	w' = w·γ/sqrt(σ²+ε)    b' = β + (b-μ)·γ/sqrt(σ²+ε)
//
// The new network has no BatchNorm layers; the convolutions before them have biases, and units keep their names.
// A normalisation that doesn't follow a convolution of its unit which nothing else reads becomes a ScaleShift. n and w
// are left alone. It returns the errors of Validate and Check, and one that names a negative variance.
func Fold(n *Network, w Weights) (*Network, Weights, error) {
	if err := n.Validate(); err != nil {
		return nil, nil, err
	}
	if err := w.Check(n); err != nil {
		return nil, nil, err
	}
	f, fw := *n, Weights{}
	f.Layers, f.Units = nil, nil
	renamed := map[string]string{} // from a normalisation to the convolution that it is folded into
	position := make([]int, len(n.Layers))
	for i, l := range n.Layers {
		if norm, ok := l.Op.(norm); ok {
			affine, err := norm.Affine(l.Name, w)
			if err != nil {
				return nil, nil, err
			}
			if j := n.takesNorm(i); j >= 0 {
				foldInto(fw, n.Layers[j], affine, w)
				renamed[l.Name] = l.Inputs[0]
				position[i] = position[j]
				continue
			}
			l.Op = affine.layer(l.Name, fw)
		}
		position[i] = len(f.Layers)
		l = l.Renamed(renamed)
		for _, p := range l.Params() {
			if fw[p.Name] == nil {
				fw[p.Name] = w[p.Name]
			}
		}
		if c := n.Consumers(i); len(c) == 1 && n.takesNorm(c[0]) == i {
			l.Op = l.Op.(foldable).Biased()
		}
		f.Layers = append(f.Layers, l)
	}
	for _, u := range n.Units {
		f.Units = append(f.Units, Unit{u.Name, position[u.First], position[u.Last]})
	}
	if err := f.Validate(); err != nil {
		return nil, nil, err
	}
	return &f, fw, nil
}

// norm is an Op that folding removes: a batch normalisation.
type norm interface {
	Op
	// Affine returns what the layer called name does to each channel, given its weights in w.
	Affine(name string, w Weights) (Affine, error)
}

// Affine maps x of channel c to (x - Mean[c])·Scale[c] + Shift[c].
type Affine struct {
	Mean  []float32
	Scale []float64
	Shift []float32
}

// foldable is an Op that a norm after it can be folded into: its "weight" has the output channels first.
type foldable interface {
	Op
	// Biased returns the Op with a "bias" [channels].
	Biased() Op
	// channelsFirst says whether the output for such an input has the channels as first axis, as norms take them.
	channelsFirst(in []int) bool
}

// layer returns the layer that computes a, and stores its weights under name in fw.
func (a Affine) layer(name string, fw Weights) ScaleShift {
	weight, bias := make([]float32, len(a.Scale)), make([]float32, len(a.Scale))
	for c, scale := range a.Scale {
		weight[c] = float32(scale)
		bias[c] = float32(float64(a.Shift[c]) - float64(a.Mean[c])*scale)
	}
	fw[name+".weight"] = tensors.FromFlatDataAndDimensions(weight, len(weight))
	fw[name+".bias"] = tensors.FromFlatDataAndDimensions(bias, len(bias))
	return ScaleShift{Channels: len(weight)}
}

// takesNorm returns the index of the layer that layer i, if it is a norm, can be folded into; else -1.
func (n *Network) takesNorm(i int) int {
	l := n.Layers[i]
	if _, ok := l.Op.(norm); !ok {
		return -1
	}
	j := n.Index(l.Inputs[0])
	if j < 0 || len(n.Consumers(j)) != 1 || n.unitOf(i) != n.unitOf(j) {
		return -1
	}
	if op, ok := n.Layers[j].Op.(foldable); !ok || !op.channelsFirst(n.InputShape(j)) {
		return -1
	}
	return j
}

// unitOf returns the index of the unit that has layer i, or -1.
func (n *Network) unitOf(i int) int {
	return slices.IndexFunc(n.Units, func(u Unit) bool { return u.First <= i && i <= u.Last })
}

// foldInto folds a into the weight and bias that layer l has in w, and stores them in fw.
func foldInto(fw Weights, l Layer, a Affine, w Weights) {
	full := w[l.Name+".weight"]
	weight := tensors.MustCopyFlatData[float32](full)
	out := len(a.Scale)
	old, bias := make([]float32, out), make([]float32, out)
	if b, ok := w[l.Name+".bias"]; ok {
		old = tensors.MustCopyFlatData[float32](b)
	}
	per := len(weight) / out
	for o, scale := range a.Scale {
		for i := range per {
			weight[o*per+i] = float32(float64(weight[o*per+i]) * scale)
		}
		bias[o] = float32(float64(a.Shift[o]) + (float64(old[o])-float64(a.Mean[o]))*scale)
	}
	fw[l.Name+".weight"] = tensors.FromFlatDataAndDimensions(weight, full.Shape().Dimensions...)
	fw[l.Name+".bias"] = tensors.FromFlatDataAndDimensions(bias, out)
}
