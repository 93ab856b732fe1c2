package export

import (
	"fmt"
	"io"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq"
)

// Weights writes the weights of s on their levels, with all other parameters of the folded network, as a safetensors
// file of float32 for a PyTorch model of the teacher. Parameter p of a layer is called name(layer).p; nil: layer.p.
//
// A convolution that a normalisation was folded into has a bias, and the normalisation has no parameters. A
// normalisation that wasn't folded has the mean 0 and, with its ε, the variance 1. It returns an error if s lacks
// quantisers of q's plan, or if two layers get the same name.
func Weights(w io.Writer, q *pdq.Quantizer, s pdq.Student, name func(layer string) string) error {
	if err := complete(q, s); err != nil {
		return fmt.Errorf("export: weights: %w", err)
	}
	own, err := q.StudentWeights(s)
	if err != nil {
		return fmt.Errorf("export: weights: %w", err)
	}
	n, _ := q.Folded()
	named, layers := models.Weights{}, map[string]string{}
	for _, l := range n.Layers {
		to := renamed(name, l.Name)
		params := slices.Concat(l.Params(), statistics(q, l, own))
		if other, taken := layers[to]; taken && len(params) > 0 {
			return fmt.Errorf("export: weights: %s and %s both become %s; choose other names", other, l.Name, to)
		}
		for _, p := range params {
			layers[to] = l.Name
			named[to+p.Name[len(l.Name):]] = own[p.Name]
		}
	}
	metadata := map[string]string{"format": "pt", "network": n.Name} // "pt": as PyTorch's own files have
	if err := checkpoint.WriteWeights(w, named, metadata); err != nil {
		return fmt.Errorf("export: weights: %w", err)
	}
	return nil
}

// statistics adds to w the statistics of l, if it is a normalisation that wasn't folded: those by which it only scales
// and shifts. It returns their parameters.
func statistics(q *pdq.Quantizer, l models.Layer, w models.Weights) []models.Param {
	teacher := q.Problem().Network
	i := teacher.Index(l.Name)
	if i < 0 {
		return nil
	}
	norm, ok := teacher.Layers[i].Op.(models.BatchNorm)
	if !ok {
		return nil
	}
	mean, variance := make([]float32, norm.Channels), make([]float32, norm.Channels)
	for c := range variance {
		variance[c] = float32(1 - norm.Eps)
	}
	var params []models.Param
	for name, x := range map[string][]float32{"running_mean": mean, "running_var": variance} {
		w[l.Name+"."+name] = tensors.FromFlatDataAndDimensions(x, len(x))
		params = append(params, models.Param{Name: l.Name + "." + name, Shape: []int{len(x)}})
	}
	return params
}

// renamed returns name(layer), or layer if there is no function.
func renamed(name func(layer string) string, layer string) string {
	if name == nil {
		return layer
	}
	return name(layer)
}
