package pdq

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"
)

// FineTune returns s, which quantises all units, with all levels and scales trained together so that the network's prediction
// stays: the loss is the prediction difference between teacher and student, whose temperature is Loss.Temperature, and with
// FineTune.Features also the error of what the last unit reads. With FineTune.BiasLearningRate biases are trained too.
//
// A weight's place between levels is trained straight through its rounding, from the level that it has; scales by their
// logarithms, the slower the more levels they span; biases in units of their layer's root mean square. The images are the
// calibration images, changed and mixed at random: no labels are needed for that, as the teacher predicts what is asked for.
// With FineTune.Steps 0 it returns s, and also if the prediction difference on the calibration images is no smaller
// afterwards: at too high a learning rate.
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
	biases  []string          // layers whose bias is
	state   []*tensors.Tensor // per variable its value and Adam's two moments: weights' places in levels; logarithms of the weights' scales, and of the activations', relative to s; what is added to biases, relative to their root mean square
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
			if _, ok := q.weights[l.Name+".bias"]; ok && q.c.FineTune.BiasLearningRate > 0 {
				t.biases = append(t.biases, l.Name)
			}
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
	for _, name := range t.biases {
		add(tensors.FromShape(q.weights[name+".bias"].Shape()))
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
		if l, err = t.step(); err != nil {
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
func (t *tuner) step() (l Loss, err error) {
	batch, err := t.images.batch(t.done, t.size())
	if err != nil {
		return l, err
	}
	out, err := t.steps.advance(t.q.b, t.state, values(t.state), t.schedule(), t.size(), func(lo, hi int) ([]*tensors.Tensor, error) {
		x, err := normalised{batch}.tensor(lo, hi)
		return []*tensors.Tensor{x}, err
	})
	if err != nil {
		return l, err
	}
	n := len(t.state)
	defer free(out[n])
	report, err := tensors.CopyFlatData[float32](out[n])
	if err == nil {
		l.Reconstruction, l.PD = float64(report[0]), float64(report[1])
		if k := nonFinite(report); k >= 2 {
			err = fmt.Errorf("the gradient for the %s isn't finite; lower FineTune.LearningRate", t.variable(k-2))
		} else if k >= 0 {
			err = fmt.Errorf("the loss is %g; lower FineTune.LearningRate", l.Total())
		}
	}
	if err != nil {
		free(out[:n]...)
		return l, err
	}
	free(t.state...)
	t.state = out[:n]
	return l, nil
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
	each, err := t.q.predictionDifferences(ctx, s, t.q.p.Calibration)
	if err != nil {
		return 0, t.fail(err)
	}
	return stat.Mean(each, nil), nil
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
	for i, name := range t.biases {
		added, err := tensors.CopyFlatData[float32](vars[2*n+len(t.acts)+i])
		if err != nil {
			return s, t.fail(err)
		}
		was, size := t.bias(name)
		wq := s.Weights[name]
		wq.Bias = make([]float32, len(was))
		for o, b := range was {
			wq.Bias[o] = b + size*added[o]
		}
		s.Weights[name] = wq
	}
	return s, nil
}

func (t *tuner) close() {
	t.steps.finalize()
	free(t.state...)
}
