package pdq

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"

	"github.com/pdquant/pdquant/models"
)

// FineTune returns s, which quantises all units, with all levels and scales trained together so that the
// network's prediction stays: the loss is the prediction difference between teacher and student, whose temperature is
// Loss.Temperature. A weight's place between levels is trained straight through its rounding, from the level
// that it has; scales by their logarithms, the slower the more levels they span. The images are the calibration images, changed and mixed at random: no
// labels are needed for that, as the teacher predicts what is asked for. With FineTune.Steps 0 it returns s, and also if the
// prediction difference on the calibration images is no smaller afterwards: at too high a learning rate.
//
// Not in the paper, which ends with the last unit.
func (q *Quantizer) FineTune(ctx context.Context, s Student) (Student, error) {
	if q.c.FineTune.Steps == 0 {
		return s, nil
	}
	t, err := q.newTuner(s)
	if err != nil {
		return s, err
	}
	defer t.close()
	if _, err := t.Steps(ctx, q.c.FineTune.Steps); err != nil {
		return s, err
	}
	return t.better(ctx)
}

// tuner optimises a whole student.
type tuner struct {
	q       *Quantizer
	s       Student
	weights []string          // layers whose levels are trained
	acts    []string          // layers whose output's scale is
	state   []*tensors.Tensor // per variable its value and Adam's two moments: weights' places in levels; logarithms of the weights' scales, and of the activations', relative to s
	steps   stepGraphs
	images  augmenter
	done    int
}

func (q *Quantizer) newTuner(s Student) (*tuner, error) {
	t, err := q.compileTuner(s)
	if err != nil {
		t.close()
	}
	return t, q.fail(StepFineTune, -1, err)
}

// compileTuner returns a tuner at its start, to be closed also after an error.
func (q *Quantizer) compileTuner(s Student) (*tuner, error) {
	t := &tuner{q: q, s: s, images: newAugmenter(q.p.Calibration, q.c)}
	add := func(x *tensors.Tensor) {
		t.state = append(t.state, x, tensors.FromShape(x.Shape()), tensors.FromShape(x.Shape()))
	}
	for _, l := range q.folded.Layers {
		if wq, ok := s.Weights[l.Name]; ok {
			places, err := wq.places(q.weights[l.Name+".weight"])
			if err != nil {
				return t, err
			}
			t.weights = append(t.weights, l.Name)
			add(places)
		} else if q.bits[l.Name].Weight > 0 {
			return t, fmt.Errorf("the weight of %s isn't quantised; take the units first", l.Name)
		}
		if _, ok := s.Acts[l.Name]; ok {
			t.acts = append(t.acts, l.Name)
		} else if q.bits[l.Name].Output > 0 {
			return t, fmt.Errorf("the output of %s isn't quantised; take the units first", l.Name)
		}
	}
	for _, name := range t.weights {
		add(tensors.FromFlatDataAndDimensions(make([]float32, len(s.Weights[name].Scale)), channelDims(q.weights[name+".weight"])...))
	}
	for range t.acts {
		add(tensors.FromScalar(float32(0)))
	}
	var err error
	t.steps, err = newStepGraphs(q.b, q.c.Machine.Workers, t.size(), t.whole, t.gradients, t.apply)
	return t, err
}

// channelDims are the sizes with which a number by output channel broadcasts against w.
func channelDims(w *tensors.Tensor) []int {
	dims := slices.Repeat([]int{1}, w.Rank())
	dims[0] = w.Shape().Dim(0)
	return dims
}

// places are the levels of the weight w, as floats of its shape.
func (q WeightQuant) places(w *tensors.Tensor) (*tensors.Tensor, error) {
	on, err := q.Dequantize(w)
	if err != nil {
		return nil, err
	}
	flat, err := tensors.CopyFlatData[float32](on)
	if err != nil {
		return nil, err
	}
	per := len(flat) / len(q.Scale)
	for i, x := range flat {
		flat[i] = float32(math.Round(float64(x/q.Scale[i/per] + q.Zero[i/per])))
	}
	return tensors.FromFlatDataAndDimensions(flat, w.Shape().Dimensions...), nil
}

func (t *tuner) size() int { return min(t.q.c.FineTune.BatchSize, t.q.p.Calibration.Len()) }

// Steps takes n steps and returns the last one's loss. After an error t is where it was before the step.
func (t *tuner) Steps(ctx context.Context, n int) (l Loss, err error) {
	for range n {
		if err := ctx.Err(); err != nil {
			return l, t.fail(err)
		}
		if l.PD, err = t.step(); err != nil {
			return l, t.fail(fmt.Errorf("step %d: %w", t.done+1, err))
		}
		t.done++
		t.q.tell(StepFineTune, -1, t.done, t.q.c.FineTune.Steps, l)
	}
	return l, nil
}

func (t *tuner) fail(err error) error { return t.q.fail(StepFineTune, -1, err) }

// State returns where t is.
func (t *tuner) State() (RounderState, error) {
	s, err := stateOf(t.done, t.state)
	return s, t.fail(err)
}

// Restore returns t to s.
func (t *tuner) Restore(s RounderState) error {
	state, err := s.tensors(t.state)
	if err != nil {
		return t.fail(err)
	}
	free(t.state...)
	t.state, t.done = state, s.Done
	return nil
}

func (t *tuner) taken() int { return t.done }

// step takes a step and returns its loss.
func (t *tuner) step() (float64, error) {
	batch, err := t.images.batch(t.done, t.size())
	if err != nil {
		return 0, err
	}
	out, err := t.steps.advance(t.q.b, t.state, values(t.state), t.schedule(), t.size(), func(lo, hi int) ([]*tensors.Tensor, error) {
		x, err := normalised{batch}.tensor(lo, hi)
		return []*tensors.Tensor{x}, err
	})
	if err != nil {
		return 0, err
	}
	n := len(t.state)
	defer free(out[n])
	report, err := tensors.CopyFlatData[float32](out[n])
	if err == nil {
		if k := nonFinite(report); k == 0 {
			err = fmt.Errorf("the loss is %g; lower FineTune.LearningRate", report[0])
		} else if k > 0 {
			err = fmt.Errorf("the gradient for the %s isn't finite; lower FineTune.LearningRate", t.variable(k-1))
		}
	}
	if err != nil {
		free(out[:n]...)
		return 0, err
	}
	free(t.state...)
	t.state = out[:n]
	return float64(report[0]), nil
}

// variable describes the i-th variable.
func (t *tuner) variable(i int) string {
	switch n := len(t.weights); {
	case i < n:
		return "levels of " + t.weights[i]
	case i < 2*n:
		return "weight scales of " + t.weights[i-n]
	default:
		return "scale of " + t.acts[i-2*n] + "'s output"
	}
}

// schedule returns the numbers of the next step: both learning rates, and Adam's corrections.
func (t *tuner) schedule() []float32 {
	c, n := t.q.c.FineTune, float64(t.done+1)
	share := (1 + math.Cos(math.Pi*float64(t.done)/float64(c.Steps))) / 2
	if warm := c.Warmup * float64(c.Steps); n < warm {
		share *= n / warm
	}
	return []float32{float32(c.LearningRate * share), float32(c.ScaleLearningRate * share),
		float32(1 / (1 - math.Pow(0.9, n))), float32(1 / (1 - math.Pow(0.999, n)))}
}

// outermost is how many levels above the lowest the highest is, where the i-th variable is a scale.
func (t *tuner) outermost(i int) float64 {
	n := len(t.weights)
	if i < 2*n {
		return float64(int(1)<<t.s.Weights[t.weights[i-n]].Bits - 1)
	}
	return float64(int(1)<<t.s.Acts[t.acts[i-2*n]].Bits - 1)
}

// whole is the graph of one step: of state, schedule and images.
func (t *tuner) whole(args []*Node) []*Node {
	n := len(t.state)
	return t.apply(slices.Concat(args[:n+1], t.gradients(slices.Concat(values(args[:n]), args[n+1:]))))
}

// gradients is the graph of a part of the batch: of the variables' values and images. It returns their gradients,
// and the loss [1], as this part adds to those of the batch.
func (t *tuner) gradients(args []*Node) []*Node {
	vars, x := args[:len(args)-1], args[len(args)-1]
	last := len(t.q.folded.Layers) - 1
	teacher := t.q.folded.Forward(x, 0, last, models.Hooks{Param: constants(x.Graph(), t.q.weights)})
	student := t.q.folded.Forward(x, 0, last, t.hooks(x.Graph(), vars))
	loss := PredictionDifference(StopGradient(teacher), student, t.q.c.Loss.Temperature)
	loss = MulScalar(loss, float64(x.Shape().Dim(0))/float64(t.size()))
	return append(Gradient(loss, vars...), Reshape(loss, 1))
}

// hooks are those of the student's forward pass.
func (t *tuner) hooks(g *Graph, vars []*Node) models.Hooks {
	fixed, n := constants(g, t.q.weights), len(t.weights)
	weights, scales := map[string]*Node{}, map[string]*Node{}
	for i, name := range t.weights {
		wq := t.s.Weights[name]
		dims := channelDims(t.q.weights[name+".weight"])
		scale := ConstTensor(g, tensors.FromFlatDataAndDimensions(wq.Scale, dims...))
		zero := ConstTensor(g, tensors.FromFlatDataAndDimensions(wq.Zero, dims...))
		level := levelRange(0, wq.Bits).quantize(vars[i], Scalar(g, dtypes.Float32, 1))
		weights[name+".weight"] = Mul(Sub(level, zero), Mul(scale, Exp(vars[n+i])))
	}
	for i, name := range t.acts {
		scales[name] = MulScalar(Exp(vars[2*n+i]), float64(t.s.Acts[name].Scale))
	}
	return models.Hooks{
		Param: func(name string) *Node {
			if w, ok := weights[name]; ok {
				return w
			}
			return fixed(name)
		},
		After: func(l models.Layer, y *Node) *Node {
			if scale, ok := scales[l.Name]; ok {
				return t.s.Acts[l.Name].levels(l).quantize(y, scale)
			}
			return y
		},
	}
}

// apply is the graph that ends a step: of state, schedule, and what gradients returned for each part of the batch. It
// returns the state after one step of Adam and a vector: the loss, and for each variable the sum of its gradient's sizes.
func (t *tuner) apply(args []*Node) []*Node {
	n := len(t.state)
	schedule, grads := args[n], sumParts(args[n+1:], n/3+1)
	var next []*Node
	report := []*Node{grads[n/3]}
	for i, p := range values(args[:n]) {
		rate, enabled := scalar(schedule, 0), t.q.c.FineTune.LearningRate > 0
		if i >= len(t.weights) {
			rate, enabled = DivScalar(scalar(schedule, 1), t.outermost(i)), t.q.c.FineTune.ScaleLearningRate > 0
		}
		report = append(report, Reshape(sumOfSizes(grads[i]), 1))
		if !enabled {
			next = append(next, args[3*i:3*i+3]...)
			continue
		}
		p, m, v := adam(p, grads[i], args[3*i+1], args[3*i+2], rate, scalar(schedule, 2), scalar(schedule, 3))
		if i < len(t.weights) { // beyond the outermost levels there is nothing to come back from
			p = MinScalar(MaxScalar(p, -0.45), float64(int(1)<<t.s.Weights[t.weights[i]].Bits)-0.55)
		}
		next = append(next, p, m, v)
	}
	return append(next, Concatenate(report, 0))
}

// better is the student as it is trained so far, or s if its prediction difference on the calibration images is no larger.
func (t *tuner) better(ctx context.Context) (Student, error) {
	trained, err := t.student()
	if err != nil {
		return t.s, err
	}
	before, err := t.difference(ctx, t.s)
	if err != nil {
		return t.s, err
	}
	after, err := t.difference(ctx, trained)
	if err != nil || !(after < before) {
		return t.s, err
	}
	return trained, nil
}

// difference is the prediction difference of the student s on the calibration images.
func (t *tuner) difference(ctx context.Context, s Student) (float64, error) {
	q, last := t.q, len(t.q.folded.Layers)-1
	w, err := q.studentWeights(s)
	if err != nil {
		return 0, t.fail(err)
	}
	out, err := newRunner(q.b, q.c.Machine.Workers, q.folded).run(ctx, func(xs []*Node) []*Node {
		teacher := q.folded.Forward(xs[0], 0, last, models.Hooks{Param: constants(xs[0].Graph(), q.weights)})
		student := q.folded.Forward(xs[0], 0, last, studentHooks(xs[0].Graph(), w, s))
		return []*Node{differenceTerms(teacher, student, q.c.Loss.Temperature)}
	}, normalised{q.p.Calibration})
	if err != nil {
		return 0, t.fail(err)
	}
	defer freeCaches(out...)
	return floats.Sum(columnSums(out[0])) / float64(out[0].Len()), nil
}

// student is s as it is trained so far.
func (t *tuner) student() (Student, error) {
	s, n := t.s.clone(), len(t.weights)
	vars := values(t.state)
	for i, name := range t.weights {
		places, err := tensors.CopyFlatData[float32](vars[i])
		if err != nil {
			return s, t.fail(err)
		}
		logs, err := tensors.CopyFlatData[float32](vars[n+i])
		if err != nil {
			return s, t.fail(err)
		}
		wq := s.Weights[name]
		wq.Scale, wq.Levels = slices.Clone(wq.Scale), make([]uint8, len(places))
		for k, p := range places {
			wq.Levels[k] = uint8(math.RoundToEven(float64(p)))
		}
		for k, l := range logs {
			wq.Scale[k] *= float32(math.Exp(float64(l)))
		}
		s.Weights[name] = wq
	}
	for i, name := range t.acts {
		aq := s.Acts[name]
		aq.Scale *= float32(math.Exp(float64(tensors.ToScalar[float32](vars[2*n+i]))))
		s.Acts[name] = aq
	}
	return s, nil
}

func (t *tuner) close() {
	t.steps.finalize()
	free(t.state...)
}
