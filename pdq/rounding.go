package pdq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Round returns s with the rounding and the activation scales of d's unit optimised jointly, and with the unit's
// weights on levels. If Rounding.Steps is 0, or nothing of the unit has a learning rate, it returns s.
func (q *Quantizer) Round(ctx context.Context, s Student, d *UnitData) (Student, error) {
	if q.c.Rounding.trivial() {
		return s, nil
	}
	r, err := q.NewRounder(s, d)
	if err != nil {
		return s, err
	}
	defer r.Close()
	if r.opt.idle() {
		return s, nil
	}
	if _, err := r.Steps(ctx, q.c.Rounding.Steps); err != nil {
		return s, err
	}
	return r.Student()
}

// trivial says whether rounding changes nothing.
func (c RoundingConfig) trivial() bool {
	return c.Steps == 0 || c.LearningRate == 0 && c.ScaleLearningRate == 0
}

// Rounder optimises the rounding variables and activation scales of one unit jointly. Each call of Steps continues
// where the last one ended.
type Rounder struct {
	q        *Quantizer
	s        Student // at the start
	d        *UnitData
	biased   models.Weights // of the folded network, with the biases of s
	opt      optimiser
	weights  []layerVariable // rounding variables
	acts     []layerVariable // activation scales
	outputs  []Term          // the terms with Outputs that are switched on
	rounding []Term          // the terms with Rounding that are switched on
	relative []float32       // the weights of outputs
	kept     *keptGradients  // with Loss.Reuse; else nil
	spread   *[256][8]bool   // see coins
}

// layerVariable is the variable of a layer.
type layerVariable struct {
	layer string
	*variable
}

// NewRounder prepares the optimisation of d's unit, starting from the scales in s. Rounding.Steps must be above 0. The
// error names a layer without scale.
func (q *Quantizer) NewRounder(s Student, d *UnitData) (*Rounder, error) {
	if c := q.c.Rounding; c.Steps < 1 || c.BatchSize < 1 {
		return nil, q.fail(StepRound, -1, fmt.Errorf("Rounding.Steps is %d and BatchSize %d; both must be >= 1", c.Steps,
			c.BatchSize))
	}
	if err := errors.Join(q.canUse(d, roundingNeeds()...), q.canHold(s)); err != nil {
		return nil, q.fail(StepRound, -1, err)
	}
	r := &Rounder{q: q, s: s, d: d, biased: q.withBiases(s), spread: spreadBytes()}
	for _, t := range q.Terms {
		switch {
		case t.Weight == 0:
		case t.Outputs != nil:
			r.outputs, r.relative = append(r.outputs, t), append(r.relative, float32(t.Weight))
		case t.Rounding != nil:
			r.rounding = append(r.rounding, t)
		default:
			return nil, r.fail(fmt.Errorf("the term %q has neither Outputs nor Rounding; set one of them", t.Name))
		}
	}
	r.opt = optimiser{b: q.b, size: min(q.c.Rounding.BatchSize, d.StudentIn.Len()), losses: r.lossGraphs(),
		penalty: r.penalty}
	err := r.addVariables()
	if err == nil {
		err = r.keepGradients()
	}
	if err == nil {
		err = r.opt.start(q.c.Machine.Workers, min(q.roundingParts(d.Unit, r.opt.size), r.mostParts()))
	}
	if err == nil {
		err = r.balance()
	}
	if err != nil {
		r.Close()
		return nil, r.fail(err)
	}
	return r, nil
}

// addVariables makes the unit's variables at their starting values: rounding variables α, for which h(α) is the
// fraction by which a weight exceeds the level below it, and the searched activation scales.
func (r *Rounder) addVariables() error {
	c, unit := r.q.c.Rounding, r.q.folded.Units[r.d.Unit]
	for _, l := range r.q.folded.Layers[unit.First : unit.Last+1] {
		if r.q.bits[l.Name].Weight > 0 {
			wq, ok := r.s.Weights[l.Name]
			if !ok {
				return fmt.Errorf("the weight of %s has no scale yet; search weight scales first", l.Name)
			}
			alpha, err := wq.roundingStart(r.q.weights[l.Name+".weight"])
			if err != nil {
				return err
			}
			v := newVariable("rounding variables of "+l.Name, alpha, rateAlpha)
			v.derive = func(values nodes) *Node { return r.softWeight(l.Name, values[v]) }
			v.fixed = c.LearningRate == 0
			r.weights = append(r.weights, layerVariable{l.Name, v})
		}
		if r.q.bits[l.Name].Output > 0 {
			aq, ok := r.s.Acts[l.Name]
			if !ok {
				return fmt.Errorf("the output of %s has no scale yet; search activation scales first", l.Name)
			}
			v := newVariable("scale of "+l.Name+"'s output", tensors.FromScalar(aq.Scale), rateScale)
			v.low, v.fixed = minScale, c.ScaleLearningRate == 0
			r.acts = append(r.acts, layerVariable{l.Name, v})
		}
	}
	for _, v := range slices.Concat(r.weights, r.acts) {
		r.opt.vars = append(r.opt.vars, v.variable)
	}
	return nil
}

// roundingStart returns the rounding variables α of the weight w, in rows. h(α) is the fractional part of w/s.
func (q WeightQuant) roundingStart(w *tensors.Tensor) (*tensors.Tensor, error) {
	flat, err := tensors.CopyFlatData[float32](w)
	if err != nil {
		return nil, err
	}
	per := len(flat) / len(q.Scale)
	for i, x := range flat {
		u := x / q.Scale[i/per]
		frac := float64(u) - math.Floor(float64(u))
		flat[i] = float32(-math.Log(1.2/(frac+0.1) - 1))
	}
	return tensors.FromFlatDataAndDimensions(flat, rows(w)...), nil
}

func (r *Rounder) fail(err error) error { return r.q.fail(StepRound, r.d.Unit, err) }

// Steps takes n steps and returns the last one's loss. An error names the step that failed; the variables are then as
// before that step.
func (r *Rounder) Steps(ctx context.Context, n int) (Loss, error) {
	l, err := r.opt.steps(ctx, n, r.step, func(l Loss) {
		r.q.tell(StepRound, r.d.Unit, r.opt.done, r.q.c.Rounding.Steps, l)
	})
	return l, r.fail(err)
}

func (r *Rounder) step() (Loss, error) {
	batch := r.draw(r.opt.done)
	taken, err := r.advance(r.opt.done, batch, r.relative)
	if err != nil {
		return Loss{}, err
	}
	l := r.loss(taken.report)
	if k := exec.NonFinite(taken.report); k >= 0 {
		taken.free()
		return l, r.diverged(l, k-len(r.outputs)-1)
	}
	if err := r.keep(batch, taken.watched); err != nil {
		taken.free()
		return l, err
	}
	exec.Free(taken.watched...)
	r.opt.replace(taken.next)
	return l, nil
}

// loss returns the terms of the loss in the report of a step.
func (r *Rounder) loss(report []float32) (l Loss) {
	for i, t := range r.outputs {
		l.addTerm(t.Name, float64(report[i]))
	}
	l.addTerm(termRounding, float64(report[len(r.outputs)]))
	return l
}

// diverged returns the error of a step in which the gradient for variable v isn't finite; if v is negative, the loss
// isn't.
func (r *Rounder) diverged(l Loss, v int) error {
	what := r.firstNonFinite()
	switch {
	case what != "":
		what += " isn't finite"
	case v < 0:
		what = fmt.Sprintf("the loss is %g (reconstruction %g, PD %g, rounding %g)",
			l.Total(), l.Reconstruction, l.PD, l.Round)
	default:
		what = fmt.Sprintf("the gradient for the %s isn't finite", r.opt.vars[v].name)
	}
	return fmt.Errorf("%s; lower Rounding.LearningRate, or look for extreme weights", what)
}

// Student returns the student with the unit's weights on levels, rounded up where h ≥ 0.5, and with its trained
// activation scales. The error names a variable that isn't finite.
func (r *Rounder) Student() (Student, error) {
	s := r.s.clone()
	if err := r.opt.inUse(); err != nil {
		return s, r.fail(err)
	}
	for _, v := range r.weights {
		if v.fixed {
			continue // only scales are trained: rounding stays to nearest
		}
		alpha, err := tensors.CopyFlatData[float32](v.value)
		if err != nil {
			return s, r.fail(err)
		}
		if k := exec.NonFinite(alpha); k >= 0 {
			return s, r.fail(fmt.Errorf("rounding variable %d of %s is %g after step %d; lower Rounding.LearningRate",
				k, v.layer, alpha[k], r.opt.done))
		}
		wq := s.Weights[v.layer]
		if wq.Levels, err = wq.rounded(r.q.weights[v.layer+".weight"], alpha); err != nil {
			return s, r.fail(err)
		}
		s.Weights[v.layer] = wq
	}
	for _, v := range r.acts {
		scale, err := tensors.CopyFlatData[float32](v.value)
		if err != nil {
			return s, r.fail(err)
		}
		if exec.NonFinite(scale) >= 0 {
			return s, r.fail(fmt.Errorf("the %s is %g after step %d; lower Rounding.ScaleLearningRate",
				v.name, scale[0], r.opt.done))
		}
		aq := s.Acts[v.layer]
		aq.Scale = scale[0]
		s.Acts[v.layer] = aq
	}
	return s, nil
}

// State returns the state of the optimisation.
func (r *Rounder) State() (OptimiserState, error) {
	s, err := r.opt.snapshot()
	if err != nil || r.kept == nil {
		return s, r.fail(err)
	}
	kept, err := r.kept.state()
	s.Values = append(s.Values, kept...)
	return s, r.fail(err)
}

// Restore puts r back to state s: the next steps are those that followed it. If s has other variables, it returns an
// error.
func (r *Rounder) Restore(s OptimiserState) error {
	if n := len(s.Values) - 2; r.kept != nil && n >= 0 && r.opt.inUse() == nil {
		if err := r.kept.restore(s.Values[n:]); err != nil {
			return r.fail(err)
		}
		s.Values = s.Values[:n]
	}
	return r.fail(r.opt.restore(s))
}

// stepsDone returns the number of steps taken.
func (r *Rounder) stepsDone() int { return r.opt.done }

// rounded returns the levels of the weight w, rounded down where alpha is negative, and up elsewhere.
func (q WeightQuant) rounded(w *tensors.Tensor, alpha []float32) ([]uint8, error) {
	levels, per := make([]uint8, len(alpha)), len(alpha)/len(q.Scale)
	err := tensors.ConstFlatData(w, func(flat []float32) {
		for i, x := range flat {
			k := math.Floor(float64(x / q.Scale[i/per]))
			if alpha[i] >= 0 {
				k++
			}
			levels[i] = uint8(q.level(k, q.Zero[i/per]))
		}
	})
	return levels, err
}

// Close frees the graphs and the state of the rounder. Other calls return an error afterwards.
func (r *Rounder) Close() {
	r.opt.close()
	if r.kept != nil {
		r.kept.cache.Free()
	}
}
