package pdq

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// FineTune returns s, in which all units are quantised, with all levels and scales trained together to keep the
// network's predictions. The loss is the prediction difference between teacher and student at Loss.Temperature; with
// FineTune.Features, the error of the last unit's input is added. With FineTune.BiasLearningRate, biases are trained
// too.
//
// A weight starts on its level and moves between levels; the gradient passes straight through the rounding. The
// logarithms of scales are trained, more slowly the more levels there are, and biases in units of their layer's root
// mean square. The images are the calibration images, randomly changed and mixed. They need no labels, because the
// teacher's predictions are the targets.
//
// FineTune returns s unchanged if FineTune.Steps or all its learning rates are 0, or if the prediction difference on
// the calibration images isn't smaller afterwards, which happens if a learning rate is too high. These images favour s,
// whose units were fitted to them, so the rule is strict; "Does it ever hurt?" in docs/results.md says why others don't
// judge.
//
// This step is not in the paper, which ends with the last unit.
func (q *Quantizer) FineTune(ctx context.Context, s Student) (Student, error) {
	if q.c.FineTune.Steps == 0 {
		return s, nil
	}
	t, err := q.newFineTuner(s)
	if err != nil {
		return s, err
	}
	defer t.close()
	if t.opt.idle() {
		return s, nil
	}
	if _, err := t.Steps(ctx, q.c.FineTune.Steps); err != nil {
		return s, err
	}
	return t.better(ctx)
}

// fineTuner optimises a whole student.
type fineTuner struct {
	q      *Quantizer
	s      Student
	layers []tunedLayer
	acts   []layerVariable // logarithms of the activation scales relative to those of s
	opt    optimiser
	images augmenter
}

// tunedLayer has the variables of a layer whose weight is quantised.
type tunedLayer struct {
	name   string
	places *variable // the weights' positions between levels, in levels
	scales *variable // logarithms of the weight scales relative to those of s
	biases *variable // changes of the biases relative to their root mean square; nil: they stay
}

// newFineTuner prepares the fine-tuning of s.
func (q *Quantizer) newFineTuner(s Student) (*fineTuner, error) {
	if err := q.canHold(s); err != nil {
		return nil, q.fail(StepFineTune, -1, err)
	}
	t := &fineTuner{q: q, s: s, images: newAugmenter(q.p.Calibration, q.c)}
	t.opt = optimiser{b: q.b, size: min(q.c.FineTune.BatchSize, q.p.Calibration.Len()), losses: []lossGraph{t.losses}}
	err := t.addVariables()
	if err == nil {
		err = t.opt.start(q.c.Machine.Workers, q.parts(t.opt.size, q.fineTuneImage()))
	}
	if err != nil {
		t.close()
	}
	return t, q.fail(StepFineTune, -1, err)
}

// addVariables makes the variables, at their starting values.
func (t *fineTuner) addVariables() error {
	for _, l := range t.q.folded.Layers {
		if wq, ok := t.s.Weights[l.Name]; ok {
			tuned, err := t.newLayer(l.Name, wq)
			if err != nil {
				return err
			}
			t.layers = append(t.layers, tuned)
		} else if t.q.bits[l.Name].Weight > 0 {
			return fmt.Errorf("the weight of %s isn't quantised; take the units first", l.Name)
		}
		if aq, ok := t.s.Acts[l.Name]; ok {
			v := newVariable("scale of "+l.Name+"'s output", tensors.FromScalar(float32(0)), rateScales)
			v.divisor, v.fixed = outermost(aq.Bits), t.q.c.FineTune.ScaleLearningRate == 0
			t.acts = append(t.acts, layerVariable{l.Name, v})
		} else if t.q.bits[l.Name].Output > 0 {
			return fmt.Errorf("the output of %s isn't quantised; take the units first", l.Name)
		}
	}
	var scales, biases []*variable
	for _, l := range t.layers {
		t.opt.vars = append(t.opt.vars, l.places)
		scales = append(scales, l.scales)
		if l.biases != nil {
			biases = append(biases, l.biases)
		}
	}
	t.opt.vars = append(t.opt.vars, scales...)
	for _, v := range t.acts {
		t.opt.vars = append(t.opt.vars, v.variable)
	}
	t.opt.vars = append(t.opt.vars, biases...)
	return nil
}

// newLayer makes the variables of the layer called name.
func (t *fineTuner) newLayer(name string, wq WeightQuant) (tunedLayer, error) {
	c, w := t.q.c.FineTune, t.q.weights[name+".weight"]
	places, err := wq.places(w)
	if err != nil {
		return tunedLayer{}, err
	}
	l := tunedLayer{name: name, places: newVariable("levels of "+name, places, ratePlaces)}
	l.places.fixed = c.LearningRate == 0
	l.places.low, l.places.high = -0.45, outermost(wq.Bits)+0.45 // beyond these, a weight would drift away
	start := tensors.FromFlatDataAndDimensions(make([]float32, len(wq.Scale)), len(wq.Scale), 1)
	l.scales = newVariable("weight scales of "+name, start, rateScales)
	l.scales.divisor, l.scales.fixed = outermost(wq.Bits), c.ScaleLearningRate == 0
	t.deriveWeight(l)
	if bias, ok := t.q.weights[name+".bias"]; ok && c.BiasLearningRate > 0 {
		l.biases = newVariable("bias of "+name, tensors.FromShape(bias.Shape()), rateBiases)
	}
	return l, nil
}

// places returns the levels of the weight w as floats, in rows.
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
	return tensors.FromFlatDataAndDimensions(flat, rows(w)...), nil
}

// Steps takes n steps and returns the last one's loss. After an error, t is as it was before the failed step.
func (t *fineTuner) Steps(ctx context.Context, n int) (Loss, error) {
	l, err := t.opt.steps(ctx, n, t.step, func(l Loss) {
		t.q.tell(StepFineTune, -1, t.opt.done, t.q.c.FineTune.Steps, l)
	})
	return l, t.fail(err)
}

func (t *fineTuner) fail(err error) error { return t.q.fail(StepFineTune, -1, err) }

// State returns the state of the optimisation.
func (t *fineTuner) State() (OptimiserState, error) {
	s, err := t.opt.snapshot()
	return s, t.fail(err)
}

// Restore puts t back to state s.
func (t *fineTuner) Restore(s OptimiserState) error { return t.fail(t.opt.restore(s)) }

// stepsDone returns the number of steps taken.
func (t *fineTuner) stepsDone() int { return t.opt.done }

// step takes a step and returns its loss.
func (t *fineTuner) step() (l Loss, err error) {
	batch, err := t.images.batch(t.opt.done, t.opt.size)
	if err != nil {
		return l, err
	}
	taken, err := t.opt.advance(0, t.schedule(), func(lo, hi int) ([]*tensors.Tensor, error) {
		x, err := exec.Normalised{Images: batch}.Tensor(lo, hi)
		return []*tensors.Tensor{x}, err
	})
	if err != nil {
		return l, err
	}
	l.Reconstruction, l.PD = float64(taken.report[0]), float64(taken.report[1])
	switch k := exec.NonFinite(taken.report); {
	case k >= 2:
		err = fmt.Errorf("the gradient for the %s isn't finite; lower FineTune.LearningRate", t.opt.vars[k-2].name)
	case k >= 0:
		err = fmt.Errorf("the loss is %g; lower FineTune.LearningRate", l.Total())
	}
	if err != nil {
		taken.free()
		return l, err
	}
	t.opt.replace(taken.next)
	return l, nil
}

// better returns the trained student if its prediction difference is smaller. Else it warns, and returns the student
// from before.
func (t *fineTuner) better(ctx context.Context) (Student, error) {
	trained, err := t.student()
	if err != nil {
		return t.s, err
	}
	images := exec.Normalised{Images: t.q.p.Calibration}
	before, err := t.q.meanDifference(ctx, t.s, images)
	if err != nil {
		return t.s, t.fail(err)
	}
	after, err := t.q.meanDifference(ctx, trained, images)
	if err != nil {
		return t.s, t.fail(err)
	}
	if after < before {
		return trained, nil
	}
	if t.q.Warn != nil {
		t.q.Warn(fmt.Sprintf("fine-tuning changed nothing: the prediction difference on the calibration images was %.4g "+
			"before its %d steps, and %.4g after them; lower FineTune.LearningRate, or take more steps",
			before, t.q.c.FineTune.Steps, after))
	}
	return t.s, nil
}

// student returns t.s with the variables as trained so far.
func (t *fineTuner) student() (Student, error) {
	s := t.s.clone()
	for _, l := range t.layers {
		wq, err := t.tunedWeight(l)
		if err != nil {
			return s, t.fail(err)
		}
		s.Weights[l.name] = wq
	}
	for _, v := range t.acts {
		aq := s.Acts[v.layer]
		aq.Scale *= float32(math.Exp(float64(tensors.ToScalar[float32](v.value))))
		s.Acts[v.layer] = aq
	}
	return s, nil
}

// tunedWeight returns the quantiser of a layer's weight as trained so far.
func (t *fineTuner) tunedWeight(l tunedLayer) (WeightQuant, error) {
	wq := t.s.Weights[l.name]
	places, err := tensors.CopyFlatData[float32](l.places.value)
	if err != nil {
		return wq, err
	}
	logs, err := tensors.CopyFlatData[float32](l.scales.value)
	if err != nil {
		return wq, err
	}
	wq.Scale, wq.Levels = slices.Clone(wq.Scale), make([]uint8, len(places))
	for k, p := range places {
		wq.Levels[k] = uint8(math.RoundToEven(float64(p)))
	}
	for k, l := range logs {
		wq.Scale[k] *= float32(math.Exp(float64(l)))
	}
	if l.biases == nil {
		return wq, nil
	}
	added, err := tensors.CopyFlatData[float32](l.biases.value)
	if err != nil {
		return wq, err
	}
	was, size := t.bias(l.name)
	wq.Bias = make([]float32, len(was))
	for o, b := range was {
		wq.Bias[o] = b + size*added[o]
	}
	return wq, nil
}

func (t *fineTuner) close() { t.opt.close() }
