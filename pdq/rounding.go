package pdq

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// Round returns s with the rounding and the activation scales of d's unit optimised, and
// rounded hard. With Rounding.Steps 0, or both learning rates, it returns s.
func (q *Quantizer) Round(ctx context.Context, s Student, d *UnitData) (Student, error) {
	if q.c.Rounding.trivial() {
		return s, nil
	}
	r, err := q.NewRounder(s, d)
	if err != nil {
		return s, err
	}
	defer r.Close()
	if _, err := r.Steps(ctx, q.c.Rounding.Steps); err != nil {
		return s, err
	}
	return r.Student()
}

// trivial says whether no step changes anything.
func (c RoundingConfig) trivial() bool {
	return c.Steps == 0 || c.LearningRate == 0 && c.ScaleLearningRate == 0
}

// Rounder optimises one unit, jointly over its rounding variables and activation scales.
// Steps picks up where the last call left off.
type Rounder struct {
	q      *Quantizer
	s      Student // at the start
	d      *UnitData
	biased models.Weights // folded, with the biases of s
	layout layout
	state  []*tensors.Tensor // per variable: value and Adam's two moments
	soft   []*tensors.Tensor // per layer: its weight as the rounding variables have it
	steps  stepGraphs
	weight termWeights
	spread *[256][8]bool // of coins
	done   int
}

// layout says which variables a unit has, in the order of the graph's arguments.
type layout struct {
	weights []string // layers with rounding variables
	acts    []string // layers with a trained activation scale
	drop    bool     // activation quantisers drop out
	mix     bool     // inputs mix student and corrected teacher
	pd      bool     // the PD term is on
}

// NewRounder prepares the optimisation of d's unit from the scales in s. The error names an
// activation that has no scale yet.
func (q *Quantizer) NewRounder(s Student, d *UnitData) (*Rounder, error) {
	r := &Rounder{q: q, s: s, d: d, biased: q.withBiases(s), spread: spreadBytes()}
	c := q.c.Rounding
	r.layout = layout{drop: c.ActDrop > 0, mix: c.InputDrop > 0, pd: q.c.Loss.PD > 0}
	unit := q.folded.Units[d.Unit]
	for _, l := range q.folded.Layers[unit.First : unit.Last+1] {
		if q.bits[l.Name].Weight > 0 {
			if _, ok := s.Weights[l.Name]; !ok {
				return nil, r.fail(fmt.Errorf("the weight of %s has no scale yet; search weight scales first", l.Name))
			}
			r.layout.weights = append(r.layout.weights, l.Name)
		}
		if q.bits[l.Name].Output == 0 {
			continue
		}
		if _, ok := s.Acts[l.Name]; !ok {
			return nil, r.fail(fmt.Errorf("the output of %s has no scale yet; search activation scales first", l.Name))
		}
		r.layout.acts = append(r.layout.acts, l.Name)
	}
	var err error
	if r.steps, err = newStepGraphs(q.b, q.c.Machine.Workers, r.size(), r.whole, r.gradients, r.apply); err != nil {
		return nil, r.fail(err)
	}
	if err = r.start(); err == nil {
		err = r.balance()
	}
	if err != nil {
		r.Close()
		return nil, r.fail(err)
	}
	return r, nil
}

// start sets the variables: α so that h(α) is the fraction by which a weight exceeds the
// level below it, and the searched activation scales; and the weights that α makes.
func (r *Rounder) start() error {
	add := func(value *tensors.Tensor) {
		r.state = append(r.state, value, tensors.FromShape(value.Shape()), tensors.FromShape(value.Shape()))
	}
	for _, name := range r.layout.weights {
		w := r.q.weights[name+".weight"]
		flat, err := tensors.CopyFlatData[float32](w)
		if err != nil {
			return err
		}
		q := r.s.Weights[name]
		per := len(flat) / len(q.Scale)
		for i, x := range flat {
			u := x / q.Scale[i/per]
			frac := float64(u) - math.Floor(float64(u))
			flat[i] = float32(-math.Log(1.2/(frac+0.1) - 1))
		}
		add(tensors.FromFlatDataAndDimensions(flat, w.Shape().Dimensions...))
	}
	for _, name := range r.layout.acts {
		add(tensors.FromScalar(r.s.Acts[name].Scale))
	}
	var err error
	r.soft, err = r.softened(r.state)
	return err
}

// softened returns the unit's weights as the rounding variables of state have them.
func (r *Rounder) softened(state []*tensors.Tensor) ([]*tensors.Tensor, error) {
	if len(r.layout.weights) == 0 {
		return nil, nil
	}
	exec, err := NewExec(r.q.b, func(alphas []*Node) []*Node { return r.softWeights(alphas) })
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	return call(exec, values(state)[:len(r.layout.weights)])
}

func (r *Rounder) fail(err error) error { return r.q.fail(StepRound, r.d.Unit, err) }

// Steps takes n steps and returns the last one's losses. An error names the step; the
// rounder then holds the variables from before it.
func (r *Rounder) Steps(ctx context.Context, n int) (Loss, error) {
	var l Loss
	for range n {
		if err := ctx.Err(); err != nil {
			return l, r.fail(err)
		}
		var err error
		if l, err = r.step(); err != nil {
			return l, r.fail(fmt.Errorf("step %d: %w", r.done+1, err))
		}
		r.done++
		r.q.tell(StepRound, r.d.Unit, r.done, r.q.c.Rounding.Steps, l)
	}
	return l, nil
}

func (r *Rounder) step() (Loss, error) {
	out, err := r.advance(r.done, r.weight)
	if err != nil {
		return Loss{}, err
	}
	n := len(r.state) + len(r.soft)
	vars, losses := out[:n], out[n]
	defer free(losses)
	parts, err := tensors.CopyFlatData[float32](losses)
	if err != nil {
		free(vars...)
		return Loss{}, err
	}
	l := Loss{Reconstruction: float64(parts[0]), PD: float64(parts[1]), Round: float64(parts[2])}
	if k := nonFinite(parts); k >= 0 {
		free(vars...)
		return l, r.diverged(l, parts[3:], k < 3)
	}
	free(r.state...)
	free(r.soft...)
	r.state, r.soft = vars[:len(r.state)], vars[len(r.state):]
	return l, nil
}

// diverged is the error of a step whose loss or gradients, of which sizes are the sums, aren't finite.
func (r *Rounder) diverged(l Loss, sizes []float32, loss bool) error {
	what := r.culprit()
	switch {
	case what != "":
		what += " isn't finite"
	case loss:
		what = fmt.Sprintf("the loss is %g (reconstruction %g, PD %g, rounding %g)", l.Total(), l.Reconstruction, l.PD, l.Round)
	default:
		what = fmt.Sprintf("the gradient for the %s isn't finite", r.variable(nonFinite(sizes)))
	}
	return fmt.Errorf("%s; lower Rounding.LearningRate, or look for extreme weights", what)
}

// Student returns the student with the unit rounded hard (up where h ≥ 0.5) and its trained
// activation scales. A variable that isn't a number is an error.
func (r *Rounder) Student() (Student, error) {
	s := r.s.clone()
	for i, name := range r.layout.weights {
		if r.q.c.Rounding.LearningRate == 0 {
			continue // scales only: rounding stays to nearest
		}
		alpha, err := tensors.CopyFlatData[float32](r.state[3*i])
		if err != nil {
			return s, r.fail(err)
		}
		if k := nonFinite(alpha); k >= 0 {
			return s, r.fail(fmt.Errorf("rounding variable %d of %s is %g after step %d; lower Rounding.LearningRate", k, name, alpha[k], r.done))
		}
		wq := s.Weights[name]
		if wq.Levels, err = wq.rounded(r.q.weights[name+".weight"], alpha); err != nil {
			return s, r.fail(err)
		}
		s.Weights[name] = wq
	}
	for i, name := range r.layout.acts {
		scale, err := tensors.CopyFlatData[float32](r.state[3*(len(r.layout.weights)+i)])
		if err != nil {
			return s, r.fail(err)
		}
		if nonFinite(scale) >= 0 {
			return s, r.fail(fmt.Errorf("the scale of %s's output is %g after step %d; lower Rounding.ScaleLearningRate", name, scale[0], r.done))
		}
		aq := s.Acts[name]
		aq.Scale = scale[0]
		s.Acts[name] = aq
	}
	return s, nil
}

// rounded returns the levels of the weight w, rounded up where alpha isn't negative, and else down.
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

// Close frees the rounder's graph and state.
func (r *Rounder) Close() {
	r.steps.finalize()
	free(r.state...)
	free(r.soft...)
}
