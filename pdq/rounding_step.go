package pdq

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
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

// arguments returns the next step's: data, state, schedule, the batch's indices, the masks. The
// last ones are the step's own, to be freed after it.
func (r *Rounder) arguments() (args []any, own []*tensors.Tensor) {
	own = append([]*tensors.Tensor{tensors.FromValue(r.schedule(r.done)), r.batch()}, r.masks()...)
	args = append(args, r.data...)
	for _, t := range slices.Concat(r.state, own) {
		args = append(args, t)
	}
	return args, own
}

// size is the number of images in a batch.
func (r *Rounder) size() int {
	return min(r.q.c.Rounding.BatchSize, r.d.StudentIn.Shape().Dim(0))
}

// batch draws the indices of the step's images, all different.
func (r *Rounder) batch() *tensors.Tensor {
	indices := make([]int32, r.size())
	for i, k := range datasets.Sample(r.rng, len(indices), r.d.StudentIn.Shape().Dim(0)) {
		indices[i] = int32(k)
	}
	return tensors.FromFlatDataAndDimensions(indices, len(indices), 1)
}

// passes is how many times a step's images go through the unit: once with mixed inputs for
// the reconstruction, and once as they are for PD, unless both are the same.
func (r *Rounder) passes() int {
	if r.layout.pd && (r.layout.mix || r.layout.drop) {
		return 2
	}
	return 1
}

// masks draws which elements stay quantised: of the unit's input, then of each of its
// activations.
func (r *Rounder) masks() []*tensors.Tensor {
	var ms []*tensors.Tensor
	if r.layout.mix {
		dims := append([]int{r.size()}, r.d.StudentIn.Shape().Dimensions[1:]...)
		ms = append(ms, r.mask(1-r.q.c.Rounding.InputDrop, dims))
	}
	if !r.layout.drop {
		return ms
	}
	shapes := r.q.folded.Shapes()
	for _, name := range r.layout.acts {
		dims := append([]int{r.size() * r.passes()}, shapes[r.q.folded.Index(name)]...)
		ms = append(ms, r.mask(1-r.q.c.Rounding.ActDrop, dims))
	}
	return ms
}

// mask draws booleans that are true with probability keep (to 1/65536).
func (r *Rounder) mask(keep float64, dims []int) *tensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	limit := uint64(math.Round(keep * 65536))
	bits := make([]bool, n)
	for i := 0; i < n; i += 4 {
		word := r.rng.Uint64()
		for k := i; k < min(i+4, n); k++ {
			bits[k] = word&0xffff < limit
			word >>= 16
		}
	}
	return tensors.FromFlatDataAndDimensions(bits, dims...)
}

// build is the graph of one step: batch, both passes, loss, gradients and Adam. Its
// arguments are those of arguments; it returns the new state and the three losses.
func (r *Rounder) build(args []*Node) []*Node {
	in, corrected, target, logits := args[0], args[1], args[2], args[3]
	state, args := args[4:4+len(r.state)], args[4+len(r.state):]
	schedule, indices, masks := args[0], args[1], args[2:]
	g := in.Graph()
	take := func(x *Node) *Node { return StopGradient(Gather(x, indices, false)) }
	in, corrected, target, logits = take(in), take(corrected), take(target), take(logits)

	mixed := in
	if r.layout.mix {
		keep := ConvertDType(masks[0], dtypes.Float32)
		mixed, masks = Add(corrected, Mul(keep, Sub(in, corrected))), masks[1:]
	}
	if r.passes() == 2 {
		mixed = Concatenate([]*Node{mixed, in}, 0)
	}
	unit := r.q.folded.Units[r.d.Unit]
	y := r.q.folded.Forward(mixed, unit.First, unit.Last, r.trainingHooks(g, state, masks))
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
			a := r.s.Acts[l.Name]
			if k, ok := keep[l.Name]; ok {
				return DropQuantize(y, scale, Const(g, a.Zero), k, a.Bits)
			}
			return FakeQuantize(y, scale, Const(g, a.Zero), a.Bits)
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
