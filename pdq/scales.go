package pdq

import (
	"context"
	"errors"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// WeightScales returns s with a searched quantiser, rounding to nearest, for every weight:
// per output channel, the range and zero point with the least mean |w-w_q|^Power.
func (q *Quantizer) WeightScales(ctx context.Context, s Student) (Student, error) {
	s = s.clone()
	layers := q.folded.Layers
	for i, l := range layers {
		if err := ctx.Err(); err != nil {
			return s, q.fail(StepWeightScales, -1, err)
		}
		bits := q.bits[l.Name].Weight
		if bits == 0 {
			continue
		}
		weight := q.weights[l.Name+".weight"]
		flat, err := tensors.CopyFlatData[float32](weight)
		if err != nil {
			return s, q.fail(StepWeightScales, -1, err)
		}
		if s.Weights[l.Name], err = searchWeight(ctx, flat, weight.Shape().Dim(0), bits, q.c.Scales); err != nil {
			return s, q.fail(StepWeightScales, -1, fmt.Errorf("%s: %w", l.Name, err))
		}
		q.tell(StepWeightScales, -1, i+1, len(layers), Loss{})
	}
	return s, nil
}

// ActivationScales returns s with a searched quantiser for every activation of the unit d
// is of, on at most Scales.Images of the student's inputs. They are searched in the order
// of the layers, each with the ones before it quantising; what s had for them doesn't matter.
func (q *Quantizer) ActivationScales(ctx context.Context, s Student, d *UnitData) (Student, error) {
	s = s.clone()
	w, err := q.studentWeights(s)
	if err != nil {
		return s, q.fail(StepActivationScales, d.Unit, err)
	}
	in := firstImages{d.StudentIn, min(q.c.Scales.Images, d.StudentIn.Len())}
	unit := q.folded.Units[d.Unit]
	for _, l := range q.folded.Layers[unit.First : unit.Last+1] {
		delete(s.Acts, l.Name)
	}
	for i := unit.First; i <= unit.Last; i++ {
		name := q.folded.Layers[i].Name
		if q.bits[name].Output == 0 {
			continue
		}
		if s.Acts[name], err = q.activationScale(ctx, s, w, d, in, i); err != nil {
			return s, q.fail(StepActivationScales, d.Unit, fmt.Errorf("%s: %w", name, err))
		}
		q.tell(StepActivationScales, d.Unit, i-unit.First+1, unit.Last-unit.First+1, Loss{})
	}
	return s, nil
}

// firstImages are the first n of a cache.
type firstImages struct {
	*Cache
	n int
}

// Len returns n.
func (f firstImages) Len() int { return f.n }

// activationScale searches the quantiser for the output of layer i of d's unit, on inputs in.
func (q *Quantizer) activationScale(ctx context.Context, s Student, w models.Weights, d *UnitData, in firstImages, i int) (ActQuant, error) {
	unit, name := q.folded.Units[d.Unit], q.folded.Layers[i].Name
	out, err := newRunner(q.b, q.c.Machine.Workers, q.folded).run(ctx, func(xs []*Node) []*Node {
		return []*Node{q.folded.Forward(xs[0], unit.First, i, studentHooks(xs[0].Graph(), w, s))}
	}, in)
	if err != nil {
		return ActQuant{}, err
	}
	x := out[0].flat
	if q.c.Scales.Metric != PD {
		return searchActivation(ctx, x, q.bits[name].Output, q.c.Scales)
	}
	cs, err := bestZeros(ctx, x, q.bits[name].Output, q.c.Scales)
	if err != nil {
		return ActQuant{}, err
	}
	return q.searchByPD(ctx, s, w, d, in, name, cs)
}

// searchByPD returns the one of cs for the output of the layer called name that changes the
// network's predictions least, the first of equals: on the inputs in of d's unit, with what s
// quantises, and with the rest of the network in full precision.
func (q *Quantizer) searchByPD(ctx context.Context, s Student, w models.Weights, d *UnitData, in firstImages, name string, cs []candidate) (ActQuant, error) {
	a := ActQuant{Bits: q.bits[name].Output}
	logits, err := d.Logits.tensor(0, in.n)
	if err != nil {
		return a, err
	}
	defer free(logits)
	inputs, err := in.tensor(0, in.n)
	if err != nil {
		return a, err
	}
	defer free(inputs)
	unit := q.folded.Units[d.Unit]
	exec, err := NewExec(q.b, func(in, logits, scale, zero *Node) *Node {
		h := studentHooks(in.Graph(), w, s)
		others := h.After
		h.After = func(l models.Layer, y *Node) *Node {
			if l.Name == name {
				return quantizeBy(y, scale, zero, a.Bits)
			}
			return others(l, y)
		}
		y := q.folded.Forward(in, unit.First, unit.Last, h)
		rest := q.folded.Forward(y, unit.Last+1, len(q.folded.Layers)-1, models.Hooks{Param: constants(in.Graph(), q.weights)})
		return PredictionDifference(logits, rest, q.c.Loss.Temperature)
	})
	if err != nil {
		return a, err
	}
	defer exec.Finalize()
	least := math.Inf(1)
	for _, c := range cs {
		if err := ctx.Err(); err != nil {
			return a, err
		}
		out, err := exec.Call1(inputs, logits, c.scale, c.zero)
		if err != nil {
			return a, err
		}
		pd := float64(tensors.ToScalar[float32](out))
		free(out)
		if pd < least {
			a.Scale, a.Zero, least = c.scale, c.zero, pd
		}
	}
	if math.IsInf(least, 1) {
		return a, errors.New("the predictions with this output quantised are not numbers")
	}
	return a, nil
}
