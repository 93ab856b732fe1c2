package pdq

import (
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// WeightScales returns s with a searched quantiser, rounding to nearest, for every weight:
// per output channel, the range and zero point with the least mean |w-w_q|^Power.
//
// Design: the same search serves activations (ActivationScales), per tensor.
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
		flat, err := tensors.CopyFlatData[float32](q.weights[l.Name+".weight"])
		if err != nil {
			return s, q.fail(StepWeightScales, -1, err)
		}
		s.Weights[l.Name] = searchWeight(flat, l.Out, bits, q.c.Scales)
		q.tell(StepWeightScales, -1, i+1, len(layers), Loss{})
	}
	return s, nil
}

// ActivationScales returns s with a searched quantiser for every activation of the unit d
// is of, on at most Scales.Images of the student's inputs. They are searched in the order
// of the layers, each with the ones before it quantising.
func (q *Quantizer) ActivationScales(ctx context.Context, s Student, d *UnitData) (Student, error) {
	s = s.clone()
	w, err := q.studentWeights(s)
	if err != nil {
		return s, q.fail(StepActivationScales, d.Unit, err)
	}
	in, err := rows(d.StudentIn, 0, min(q.c.Scales.Images, d.StudentIn.Shape().Dim(0)))
	if err != nil {
		return s, q.fail(StepActivationScales, d.Unit, err)
	}
	unit := q.folded.Units[d.Unit]
	for i := unit.First; i <= unit.Last; i++ {
		name := q.folded.Layers[i].Name
		bits := q.bits[name].Output
		if bits == 0 {
			continue
		}
		delete(s.Acts, name)
		out, err := overImages(ctx, q.b, func(xs []*Node) []*Node {
			return []*Node{q.folded.Forward(xs[0], unit.First, i, studentHooks(xs[0].Graph(), w, s))}
		}, nil, in)
		if err != nil {
			return s, q.fail(StepActivationScales, d.Unit, err)
		}
		err = tensors.ConstFlatData(out[0], func(flat []float32) { s.Acts[name] = searchActivation(flat, bits, q.c.Scales) })
		if err != nil {
			return s, q.fail(StepActivationScales, d.Unit, err)
		}
		q.tell(StepActivationScales, d.Unit, i-unit.First+1, unit.Last-unit.First+1, Loss{})
	}
	return s, nil
}
