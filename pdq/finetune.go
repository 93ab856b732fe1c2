package pdq

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"

	"github.com/pdquant/pdquant/pdq/internal/exec"
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
	q      *Quantizer
	s      Student
	layers []tunedLayer
	acts   []layerVariable // logarithms of activation scales, relative to those of s
	opt    optimiser
	images augmenter
}

// tunedLayer holds the variables of a layer with a quantised weight.
type tunedLayer struct {
	name   string
	places *variable // where weights lie between levels, in levels
	scales *variable // logarithms of the weight's scales, relative to those of s
	biases *variable // what is added to biases, relative to their root mean square; nil: they stay
}

// newTuner prepares the fine-tuning of s.
func (q *Quantizer) newTuner(s Student) (*tuner, error) {
	t := &tuner{q: q, s: s, images: newAugmenter(q.p.Calibration, q.c)}
	t.opt = optimiser{b: q.b, size: min(q.c.FineTune.BatchSize, q.p.Calibration.Len()), losses: t.losses}
	err := t.addVariables()
	if err == nil {
		err = t.opt.start(q.c.Machine.Workers)
	}
	if err != nil {
		t.close()
	}
	return t, q.fail(StepFineTune, -1, err)
}

// addVariables makes the student's variables at their start.
func (t *tuner) addVariables() error {
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
			v.slower, v.fixed = outermost(aq.Bits), t.q.c.FineTune.ScaleLearningRate == 0
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
func (t *tuner) newLayer(name string, wq WeightQuant) (tunedLayer, error) {
	c, w := t.q.c.FineTune, t.q.weights[name+".weight"]
	places, err := wq.places(w)
	if err != nil {
		return tunedLayer{}, err
	}
	l := tunedLayer{name: name, places: newVariable("levels of "+name, places, ratePlaces)}
	l.places.fixed = c.LearningRate == 0
	l.places.low, l.places.high = -0.45, outermost(wq.Bits)+0.45 // beyond the outermost levels there is nothing to come back from
	zeros := make([]float32, len(wq.Scale))
	l.scales = newVariable("weight scales of "+name, tensors.FromFlatDataAndDimensions(zeros, channelDims(w)...), rateScales)
	l.scales.slower, l.scales.fixed = outermost(wq.Bits), c.ScaleLearningRate == 0
	if bias, ok := t.q.weights[name+".bias"]; ok && c.BiasLearningRate > 0 {
		l.biases = newVariable("bias of "+name, tensors.FromShape(bias.Shape()), rateBiases)
	}
	return l, nil
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

// Steps takes n steps and returns the last one's loss. After an error t is where it was before the step.
func (t *tuner) Steps(ctx context.Context, n int) (Loss, error) {
	l, err := t.opt.steps(ctx, n, t.step, func(l Loss) { t.q.tell(StepFineTune, -1, t.opt.done, t.q.c.FineTune.Steps, l) })
	return l, t.fail(err)
}

func (t *tuner) fail(err error) error { return t.q.fail(StepFineTune, -1, err) }

// State returns where t is.
func (t *tuner) State() (OptimiserState, error) {
	s, err := t.opt.now()
	return s, t.fail(err)
}

// Restore returns t to s.
func (t *tuner) Restore(s OptimiserState) error { return t.fail(t.opt.restore(s)) }

// taken returns the number of steps taken.
func (t *tuner) taken() int { return t.opt.done }

// step takes a step and returns its loss.
func (t *tuner) step() (l Loss, err error) {
	batch, err := t.images.batch(t.opt.done, t.opt.size)
	if err != nil {
		return l, err
	}
	next, report, err := t.opt.advance(t.schedule(), func(lo, hi int) ([]*tensors.Tensor, error) {
		x, err := exec.Normalised{Images: batch}.Tensor(lo, hi)
		return []*tensors.Tensor{x}, err
	})
	if err != nil {
		return l, err
	}
	l.Reconstruction, l.PD = float64(report[0]), float64(report[1])
	switch k := exec.NonFinite(report); {
	case k >= 2:
		err = fmt.Errorf("the gradient for the %s isn't finite; lower FineTune.LearningRate", t.opt.vars[k-2].name)
	case k >= 0:
		err = fmt.Errorf("the loss is %g; lower FineTune.LearningRate", l.Total())
	}
	if err != nil {
		exec.Free(next...)
		return l, err
	}
	t.opt.replace(next)
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

// tunedWeight is the quantiser of a layer's weight as it is trained so far.
func (t *tuner) tunedWeight(l tunedLayer) (WeightQuant, error) {
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

func (t *tuner) close() { t.opt.close() }
