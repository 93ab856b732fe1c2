package pdq

import (
	"context"
	"fmt"
	"maps"
	"math"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// statisticsEnd is what a normalisation that WithStatistics adds has after its convolution's name.
const statisticsEnd = ".statistics"

// WithStatistics gives distribution correction something to correct towards where a network has no batch normalisation:
// because an exporter folded it, or because it never had any. It returns p's network and weights with batch
// normalisation folded, and after each convolution a new one, which changes nothing:
//
//	running mean m = mean of the convolution's output over images and positions, bias m
//	running variance v = its variance, weight sqrt(v+ε)
//
// m and v are those of p.Calibration. They are in the folded scale: a channel whose weights folding has made larger
// counts more than in the network before, so Correction.Weight, 1/λc, weighs against another sum. A convolution whose
// output is the logits gets none. The backend b computes as m says.
func WithStatistics(ctx context.Context, b compute.Backend, p Problem, m MachineConfig) (
	*models.Network, models.Weights, error) {
	if err := p.Validate(); err != nil {
		return nil, nil, err
	}
	folded, weights, err := models.Fold(p.Network, p.Weights)
	if err != nil {
		return nil, nil, err
	}
	convs := measured(folded)
	moments, err := momentsOf(ctx, exec.NewRunner(b, m.crew(), folded), folded, weights, convs, p)
	if err != nil {
		return nil, nil, fmt.Errorf("pdq: statistics: %w", err)
	}
	n, w := insertNorms(folded, weights, convs, moments)
	return n, w, n.Validate()
}

// measured lists the layers of n whose outputs get statistics.
func measured(n *models.Network) []int {
	var convs []int
	for i, l := range n.Layers {
		if _, ok := l.Op.(models.Conv); ok && len(n.Consumers(i)) > 0 {
			convs = append(convs, i)
		}
	}
	return convs
}

// momentsOf returns, for each of the layers, the mean and the mean square of each channel of its output: [2C].
func momentsOf(ctx context.Context, r exec.Runner, n *models.Network, w models.Weights, layers []int, p Problem) (
	[][]float64, error) {
	outs, err := r.Run(ctx, func(xs []*Node) []*Node {
		outputs := map[string]*Node{}
		h := models.Hooks{Param: exec.Constants(xs[0].Graph(), w), After: func(l models.Layer, y *Node) *Node {
			outputs[l.Name] = y
			return y
		}}
		n.Forward(xs[0], 0, len(n.Layers)-1, h)
		var sums []*Node
		for _, i := range layers {
			y := outputs[n.Layers[i].Name]
			sums = append(sums, Concatenate([]*Node{ReduceMean(y, 2, 3), ReduceMean(Square(y), 2, 3)}, 1))
		}
		return sums
	}, exec.Normalised{Images: p.Calibration})
	if err != nil {
		return nil, err
	}
	defer exec.FreeCaches(outs...)
	moments := make([][]float64, len(layers))
	for k, out := range outs {
		per := out.PerImage()
		moments[k] = make([]float64, per)
		one := make([]float32, per)
		for i := range out.Len() {
			if err := out.Read(one, i); err != nil {
				return nil, err
			}
			for c, x := range one {
				moments[k][c] += float64(x) / float64(out.Len())
			}
		}
	}
	return moments, nil
}

// insertNorms returns n with a normalisation that changes nothing after each of the layers.
func insertNorms(n *models.Network, w models.Weights, layers []int, moments [][]float64) (
	*models.Network, models.Weights) {
	const eps = 1e-5
	out, weights := *n, maps.Clone(w)
	out.Layers, out.Units = nil, nil
	renamed, at, k := map[string]string{}, make([]int, len(n.Layers)), 0
	for i, l := range n.Layers {
		out.Layers = append(out.Layers, l.Renamed(renamed))
		if k < len(layers) && layers[k] == i {
			channels := len(moments[k]) / 2
			norm := models.Layer{Name: l.Name + statisticsEnd, Inputs: []string{l.Name},
				Op: models.BatchNorm{Channels: channels, Eps: eps}}
			set := func(param string, value func(mean, variance float64) float64) {
				v := make([]float32, channels)
				for c := range v {
					mean := moments[k][c]
					v[c] = float32(value(mean, max(0, moments[k][channels+c]-mean*mean)))
				}
				weights[norm.Name+"."+param] = tensors.FromFlatDataAndDimensions(v, channels)
			}
			set("weight", func(_, variance float64) float64 { return math.Sqrt(variance + eps) })
			set("bias", func(mean, _ float64) float64 { return mean })
			set("running_mean", func(mean, _ float64) float64 { return mean })
			set("running_var", func(_, variance float64) float64 { return variance })
			out.Layers = append(out.Layers, norm)
			renamed[l.Name] = norm.Name
			k++
		}
		at[i] = len(out.Layers) - 1
	}
	for _, u := range n.Units {
		first := 0
		if u.First > 0 {
			first = at[u.First-1] + 1
		}
		out.Units = append(out.Units, models.Unit{Name: u.Name, First: first, Last: at[u.Last]})
	}
	return &out, weights
}
