package pdq

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// The schedule's numbers, which change from step to step, travel in one vector.
const (
	rateAlpha = iota // learning rates
	rateScale
	biasFirst // Adam's corrections
	biasSecond
	roundBeta
	roundWeight // 0 during the warm-up
	scheduleLen
)

// schedule returns the numbers of step t, counted from 0. Beyond Rounding.Steps they stay.
func (r *Rounder) schedule(t int) []float32 {
	c := r.q.c.Rounding
	v := make([]float32, scheduleLen)
	v[rateAlpha] = float32(c.LearningRate)
	v[rateScale] = float32(c.ScaleLearningRate * (1 + math.Cos(math.Pi*float64(min(t, c.Steps))/float64(c.Steps))) / 2)
	v[biasFirst] = float32(1 / (1 - math.Pow(0.9, float64(t+1))))
	v[biasSecond] = float32(1 / (1 - math.Pow(0.999, float64(t+1))))
	v[roundBeta] = float32(c.BetaStart)
	// The reference counts from 1 here, and starts the term at that count.
	if warm := c.Warmup * float64(c.Steps); float64(t+1) >= warm {
		v[roundWeight] = float32(c.Weight)
		progress := (float64(t+1) - warm) / (float64(c.Steps) - warm)
		v[roundBeta] = float32(c.BetaEnd + (c.BetaStart-c.BetaEnd)*max(0, 1-progress))
	}
	return v
}

// build is the graph of one step: both passes, loss, gradients and Adam. Its arguments are
// those of arguments; it returns the new state and the three losses.
func (r *Rounder) build(args []*Node) []*Node {
	state, args := args[:len(r.state)], args[len(r.state):]
	schedule, in, target, logits, masks := args[0], args[1], args[2], args[3], args[4:]
	g := in.Graph()
	unit := r.q.folded.Units[r.d.Unit]
	y := r.q.folded.Forward(in, unit.First, unit.Last, r.trainingHooks(g, state, masks))
	undropped := y
	if r.passes() == 2 {
		y, undropped = SliceAxis(y, 0, AxisRange(0, r.size())), SliceAxis(y, 0, AxisRange(r.size(), 2*r.size()))
	}
	rec := ReconstructionLoss(y, target)
	pd, round := Scalar(g, dtypes.Float32, 0), Scalar(g, dtypes.Float32, 0)
	if r.layout.pd {
		rest := r.q.folded.Forward(undropped, unit.Last+1, len(r.q.folded.Layers)-1, models.Hooks{Param: constants(g, r.q.weights)})
		pd = MulScalar(PredictionDifference(logits, rest, r.q.c.Loss.Temperature), r.q.c.Loss.PD)
	}
	for i := range r.layout.weights {
		round = Add(round, RoundingLoss(state[3*i], scalar(schedule, roundBeta)))
	}
	round = Mul(round, scalar(schedule, roundWeight))
	return append(r.update(Add(Add(rec, pd), round), state, schedule), Stack([]*Node{rec, pd, round}, 0))
}

// update returns the state after one step of Adam on the loss.
func (r *Rounder) update(loss *Node, state []*Node, schedule *Node) []*Node {
	var params []*Node
	for i := 0; i < len(state); i += 3 {
		params = append(params, state[i])
	}
	grads := Gradient(loss, params...)
	var out []*Node
	for i, p := range params {
		rate, enabled := scalar(schedule, rateAlpha), r.q.c.Rounding.LearningRate > 0
		if i >= len(r.layout.weights) {
			rate, enabled = scalar(schedule, rateScale), r.q.c.Rounding.ScaleLearningRate > 0
		}
		if !enabled {
			out = append(out, state[3*i:3*i+3]...)
			continue
		}
		p, m, v := adam(p, grads[i], state[3*i+1], state[3*i+2], rate, scalar(schedule, biasFirst), scalar(schedule, biasSecond))
		if i >= len(r.layout.weights) {
			p = MaxScalar(p, minScale)
		}
		out = append(out, p, m, v)
	}
	return out
}

// trainingHooks are the hooks of the unit's forward pass with soft weights, trained scales and
// activations that drop out where a mask is false.
func (r *Rounder) trainingHooks(g *Graph, state, masks []*Node) models.Hooks {
	fixed := constants(g, r.q.weights)
	soft, scales, keep := map[string]*Node{}, map[string]*Node{}, map[string]*Node{}
	for i, name := range r.layout.weights {
		soft[name+".weight"] = r.softWeight(g, name, state[3*i])
	}
	for i, name := range r.layout.acts {
		scales[name] = state[3*(len(r.layout.weights)+i)]
		if r.layout.drop {
			keep[name] = ConvertDType(masks[i], dtypes.Float32)
		}
	}
	return models.Hooks{
		Param: func(name string) *Node {
			if w, ok := soft[name]; ok {
				return w
			}
			return fixed(name)
		},
		After: func(l models.Layer, y *Node) *Node {
			scale, ok := scales[l.Name]
			if !ok {
				return y
			}
			levels := r.s.Acts[l.Name].levels(l)
			if k, ok := keep[l.Name]; ok {
				return levels.dropQuantize(y, scale, k)
			}
			return levels.quantize(y, scale)
		},
	}
}

// softWeight is the weight of the layer called name as its rounding variables have it; with a
// learning rate of 0, rounded to nearest.
func (r *Rounder) softWeight(g *Graph, name string, alpha *Node) *Node {
	q, w := r.s.Weights[name], r.q.weights[name+".weight"]
	if r.q.c.Rounding.LearningRate == 0 {
		t, err := q.Dequantize(w)
		if err != nil {
			panic(err)
		}
		return ConstTensor(g, t)
	}
	dims := make([]int, w.Rank())
	for i := range dims {
		dims[i] = 1
	}
	dims[0] = len(q.Scale)
	flat := tensors.MustCopyFlatData[float32](w)
	per := len(flat) / len(q.Scale)
	for i, x := range flat {
		flat[i] = float32(math.Floor(float64(x/q.Scale[i/per]))) + q.Zero[i/per]
	}
	base := ConstTensor(g, tensors.FromFlatDataAndDimensions(flat, w.Shape().Dimensions...))
	scale, zero := ConstTensor(g, tensors.FromFlatDataAndDimensions(q.Scale, dims...)), ConstTensor(g, tensors.FromFlatDataAndDimensions(q.Zero, dims...))
	return SoftRound(base, alpha, scale, zero, q.Bits)
}
