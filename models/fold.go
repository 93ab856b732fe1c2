package models

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"
)

// Fold merges each batch normalisation into the convolution before it:
//
//	w' = w·γ/sqrt(σ²+ε)    b' = β + (b-μ)·γ/sqrt(σ²+ε)
//
// The new network has no BatchNorm layers, biases in the convolutions before them, and
// units of the same names. n and w are left alone. Errors are those of Validate and Check, and
// one that names a normalisation that doesn't follow a convolution of its own.
func Fold(n *Network, w Weights) (*Network, Weights, error) {
	if err := n.Validate(); err != nil {
		return nil, nil, err
	}
	if err := w.Check(n); err != nil {
		return nil, nil, err
	}
	f, fw := *n, Weights{}
	f.Layers, f.Units = nil, nil
	renamed := map[string]string{} // normalisation to the convolution that takes its place
	position := make([]int, len(n.Layers))
	for i, l := range n.Layers {
		if l.Kind == KindBatchNorm {
			j := n.Index(l.Inputs[0])
			if j < 0 || n.Layers[j].Kind != KindConv || len(n.Consumers(j)) != 1 {
				return nil, nil, fmt.Errorf("models: %s: %s doesn't follow a convolution of its own, so it can't be folded", n.Name, l.Name)
			}
			if err := foldInto(fw, n.Layers[j], l, w); err != nil {
				return nil, nil, err
			}
			renamed[l.Name] = l.Inputs[0]
			position[i] = position[j]
			continue
		}
		position[i] = len(f.Layers)
		inputs := make([]string, len(l.Inputs))
		for k, in := range l.Inputs {
			inputs[k] = in
			if r, ok := renamed[in]; ok {
				inputs[k] = r
			}
		}
		l.Inputs = inputs
		for _, p := range l.Params() {
			fw[p.Name] = w[p.Name]
		}
		if c := n.Consumers(i); l.Kind == KindConv && len(c) == 1 && n.Layers[c[0]].Kind == KindBatchNorm {
			l.Bias = true
		}
		f.Layers = append(f.Layers, l)
	}
	for _, u := range n.Units {
		if l := n.Layers[u.First]; l.Kind == KindBatchNorm {
			return nil, nil, fmt.Errorf("models: %s: %s and the convolution it follows are in different units, so it can't be folded", n.Name, l.Name)
		}
		f.Units = append(f.Units, Unit{u.Name, position[u.First], position[u.Last]})
	}
	if err := f.Validate(); err != nil {
		return nil, nil, err
	}
	return &f, fw, nil
}

// foldInto puts the weight and bias of conv with bn folded in into fw.
func foldInto(fw Weights, conv, bn Layer, w Weights) error {
	get := func(name string) []float32 { return tensors.MustCopyFlatData[float32](w[name]) }
	weight, gamma, beta := get(conv.Name+".weight"), get(bn.Name+".weight"), get(bn.Name+".bias")
	mean, variance := get(bn.Name+".running_mean"), get(bn.Name+".running_var")
	old := make([]float32, conv.Out)
	if conv.Bias {
		old = get(conv.Name + ".bias")
	}
	bias := make([]float32, conv.Out)
	per := len(weight) / conv.Out
	for o := range conv.Out {
		if variance[o] < 0 {
			return fmt.Errorf("models: %s.running_var[%d] is %g; a variance can't be negative", bn.Name, o, variance[o])
		}
		scale := float64(gamma[o]) / math.Sqrt(float64(variance[o])+bn.Eps)
		for i := range per {
			weight[o*per+i] = float32(float64(weight[o*per+i]) * scale)
		}
		bias[o] = float32(float64(beta[o]) + (float64(old[o])-float64(mean[o]))*scale)
	}
	fw[conv.Name+".weight"] = tensors.FromFlatDataAndDimensions(weight, w[conv.Name+".weight"].Shape().Dimensions...)
	fw[conv.Name+".bias"] = tensors.FromFlatDataAndDimensions(bias, conv.Out)
	return nil
}
