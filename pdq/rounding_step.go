package pdq

import (
	"math"
	"slices"

	"github.com/gomlx/compute"
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

// stepGraphs are the compiled graphs of a step. One worker has one graph for the whole step; several
// have one for the gradients of a part of the batch, and one that applies their sum.
type stepGraphs struct {
	parts        int // of a batch
	whole, apply *Exec
	gradients    *sharedExec
}

// newStepGraphs compiles them for batches of that size and so many workers.
func newStepGraphs(b compute.Backend, workers, size int, whole, gradients, apply func(args []*Node) []*Node) (s stepGraphs, err error) {
	s.parts = min(max(workers, 1), size)
	if s.parts == 1 {
		s.whole, err = NewExec(b, whole)
		return s, err
	}
	if s.gradients, err = newSharedExec(b, gradients); err != nil {
		return s, err
	}
	s.apply, err = NewExec(b, apply)
	return s, err
}

func (s stepGraphs) finalize() {
	for _, e := range []*Exec{s.whole, s.apply} {
		if e != nil {
			e.Finalize()
		}
	}
	if s.gradients != nil {
		s.gradients.Finalize()
	}
}

// advance computes step t, counted from 0, with that weight of each term of the loss, and returns the new state, soft
// weights and what apply reports.
func (r *Rounder) advance(t int, weight termWeights) ([]*tensors.Tensor, error) {
	batch := r.draw(t)
	trained := append(slices.Clone(r.soft), values(r.state)[len(r.layout.weights):]...)
	schedule := r.schedule(max(t, 0))
	if t < 0 { // a measurement, of the terms that weight has
		schedule[roundWeight] = 0
	}
	return r.steps.advance(r.q.b, slices.Concat(r.state, r.soft), trained, schedule, len(batch),
		func(lo, hi int) ([]*tensors.Tensor, error) {
			part, err := r.part(t, batch, lo, hi)
			return append(part, tensors.FromValue([]float32{weight.reconstruction, weight.pd})), err
		})
}

// advance computes a step from state: whole's result, or apply's. trained are the first arguments of gradients, part makes the
// others for images lo to hi-1 of a batch of that size.
func (s stepGraphs) advance(b compute.Backend, state, trained []*tensors.Tensor, schedule []float32, size int, part func(lo, hi int) ([]*tensors.Tensor, error)) ([]*tensors.Tensor, error) {
	now := tensors.FromValue(schedule)
	defer free(now)
	if s.parts == 1 {
		all, err := part(0, size)
		defer free(all...)
		if err != nil {
			return nil, err
		}
		return call(s.whole, state, []*tensors.Tensor{now}, all)
	}
	if err := toDevice(b, trained); err != nil {
		return nil, err
	}
	grads := make([][]*tensors.Tensor, s.parts)
	defer func() { free(slices.Concat(grads...)...) }()
	err := sideBySide(len(grads), len(grads), func(k int) error {
		lo, hi := share(size, len(grads), k)
		ts, err := part(lo, hi)
		defer free(ts...)
		if err != nil {
			return err
		}
		grads[k], err = call(s.gradients, trained, ts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return call(s.apply, append([][]*tensors.Tensor{state, {now}}, grads...)...)
}

// caller is an Exec or a sharedExec.
type caller interface {
	Call(args ...any) ([]*tensors.Tensor, error)
}

// call calls exec with all of args.
func call(exec caller, args ...[]*tensors.Tensor) ([]*tensors.Tensor, error) {
	var all []any
	for _, t := range slices.Concat(args...) {
		all = append(all, t)
	}
	return exec.Call(all...)
}

// values returns the variables' values of a state: every third.
func values[T any](state []T) []T {
	var vs []T
	for i := 0; i < len(state); i += 3 {
		vs = append(vs, state[i])
	}
	return vs
}

// whole is the graph of one step: of state, soft weights, schedule, the batch as of part and the weights of the
// loss's terms [2]. It returns what apply does.
func (r *Rounder) whole(args []*Node) []*Node {
	fixed := len(r.state) + len(r.soft) + 1
	state, soft := args[:len(r.state)], args[len(r.state):fixed-1]
	grads := r.gradients(slices.Concat(soft, values(state)[len(soft):], args[fixed:]))
	return r.apply(slices.Concat(args[:fixed], grads))
}

// gradients is the graph of a part of the batch: of soft weights, activation scales, what part
// returns and the weights of the loss's terms [2]. It returns their gradients, and the reconstruction and PD losses [2], all as
// this part adds to those of the batch.
func (r *Rounder) gradients(args []*Node) []*Node {
	n := len(r.layout.weights) + len(r.layout.acts)
	trained, in, target, logits, masks, weight := args[:n], args[n], args[n+1], args[n+2], args[n+3:len(args)-1], args[len(args)-1]
	g, images := in.Graph(), target.Shape().Dim(0)
	unit := r.q.folded.Units[r.d.Unit]
	y := r.q.folded.Forward(in, unit.First, unit.Last, r.trainingHooks(g, trained, masks))
	undropped := y
	if r.passes() == 2 {
		y, undropped = SliceAxis(y, 0, AxisRange(0, images)), SliceAxis(y, 0, AxisRange(images, 2*images))
	}
	rec, pd := ReconstructionLoss(y, target), Scalar(g, dtypes.Float32, 0)
	if r.layout.pd {
		rest := r.q.folded.Forward(undropped, unit.Last+1, len(r.q.folded.Layers)-1, models.Hooks{Param: constants(g, r.q.weights)})
		pd = PredictionDifference(logits, rest, r.q.c.Loss.Temperature)
	}
	losses := MulScalar(Mul(Stack([]*Node{rec, pd}, 0), weight), float64(images)/float64(r.size()))
	return append(Gradient(ReduceAllSum(losses), trained...), losses)
}

// apply is the graph that ends a step: of state, soft weights, schedule, and what gradients returned
// for each part of the batch. It takes one step of Adam, and returns state, soft weights and a vector: the
// batch's losses, which are reconstruction, PD and rounding, and for each variable the sum of its gradient's sizes.
func (r *Rounder) apply(args []*Node) []*Node {
	state, soft, schedule := args[:len(r.state)], args[len(r.state):len(r.state)+len(r.soft)], args[len(r.state)+len(r.soft)]
	grads := sumParts(args[len(r.state)+len(r.soft)+1:], len(r.layout.weights)+len(r.layout.acts)+1)
	losses := grads[len(grads)-1]
	round := Scalar(losses.Graph(), dtypes.Float32, 0)
	alphas := values(state)[:len(soft)]
	for _, a := range alphas {
		round = Add(round, RoundingLoss(a, scalar(schedule, roundBeta)))
	}
	round = Mul(round, scalar(schedule, roundWeight))
	if r.q.c.Rounding.LearningRate > 0 {
		through := round // its gradient is that of all losses: grads are those of the soft weights
		for i, w := range r.softWeights(alphas) {
			through = Add(through, ReduceAllSum(Mul(w, StopGradient(grads[i]))))
		}
		copy(grads, Gradient(through, alphas...))
	}
	next := r.adam(state, grads, schedule)
	if r.q.c.Rounding.LearningRate > 0 {
		soft = r.softWeights(values(next)[:len(soft)])
	}
	report := []*Node{losses, Reshape(round, 1)}
	for _, g := range grads[:len(grads)-1] {
		report = append(report, Reshape(sumOfSizes(g), 1))
	}
	return slices.Concat(next, soft, []*Node{Concatenate(report, 0)})
}

// sumParts adds up lists of n nodes each, which follow one another.
func sumParts(nodes []*Node, n int) []*Node {
	sum := slices.Clone(nodes[:n])
	for i, x := range nodes[n:] {
		sum[i%n] = Add(sum[i%n], x)
	}
	return sum
}

// adam returns the state after one step of Adam.
func (r *Rounder) adam(state, grads []*Node, schedule *Node) []*Node {
	var out []*Node
	for i, p := range values(state) {
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

// trainingHooks are the hooks of the unit's forward pass with the trained soft weights and
// activation scales, and with activations that drop out where a mask is false.
func (r *Rounder) trainingHooks(g *Graph, trained, masks []*Node) models.Hooks {
	fixed := constants(g, r.biased)
	soft, scales, keep := map[string]*Node{}, map[string]*Node{}, map[string]*Node{}
	for i, name := range r.layout.weights {
		soft[name+".weight"] = trained[i]
	}
	for i, name := range r.layout.acts {
		scales[name] = trained[len(soft)+i]
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

// softWeights are the unit's weights as its rounding variables have them.
func (r *Rounder) softWeights(alphas []*Node) []*Node {
	var ws []*Node
	for i, name := range r.layout.weights {
		ws = append(ws, r.softWeight(name, alphas[i]))
	}
	return ws
}

// softWeight is the weight of the layer called name as its rounding variables have it; with a
// learning rate of 0, rounded to nearest.
func (r *Rounder) softWeight(name string, alpha *Node) *Node {
	g := alpha.Graph()
	q, w := r.s.Weights[name], r.q.weights[name+".weight"]
	if r.q.c.Rounding.LearningRate == 0 {
		t, err := q.Dequantize(w)
		if err != nil {
			panic(err)
		}
		return ConstTensor(g, t)
	}
	dims := channelDims(w)
	flat := tensors.MustCopyFlatData[float32](w)
	per := len(flat) / len(q.Scale)
	for i, x := range flat {
		flat[i] = float32(math.Floor(float64(x/q.Scale[i/per]))) + q.Zero[i/per]
	}
	base := ConstTensor(g, tensors.FromFlatDataAndDimensions(flat, w.Shape().Dimensions...))
	scale, zero := ConstTensor(g, tensors.FromFlatDataAndDimensions(q.Scale, dims...)), ConstTensor(g, tensors.FromFlatDataAndDimensions(q.Zero, dims...))
	return SoftRound(base, alpha, scale, zero, q.Bits)
}
