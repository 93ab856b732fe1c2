package pdq

import (
	"context"
	"errors"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// WeightScales returns s with a quantiser for every weight, which rounds to nearest. For each output channel, it
// searches the range and the zero point with the least mean |w-w_q|^Power.
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

// ActivationScales returns s with a searched quantiser for every quantised activation of d's unit, on at most
// Scales.Images of the student's inputs. It goes through the layers in their order, with those before quantised.
// Quantisers that s already has for these activations are replaced.
func (q *Quantizer) ActivationScales(ctx context.Context, s Student, d *UnitData) (Student, error) {
	s = s.clone()
	if err := q.canUse(d, "StudentIn"); err != nil {
		return s, q.fail(StepActivationScales, -1, err)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		return s, q.fail(StepActivationScales, d.Unit, err)
	}
	in := exec.FirstImages{Cache: d.StudentIn, N: min(q.c.Scales.Images, d.StudentIn.Len())}
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

// activationScale searches the quantiser for the output of layer i, which is in d's unit, on the inputs in.
func (q *Quantizer) activationScale(ctx context.Context, s Student, w models.Weights, d *UnitData,
	in exec.FirstImages, i int) (ActQuant, error) {
	unit, name := q.folded.Units[d.Unit], q.folded.Layers[i].Name
	out, err := q.quietRunner().Run(ctx, func(xs []*Node) []*Node {
		return []*Node{q.folded.Forward(xs[0], unit.First, i, s.Hooks(xs[0].Graph(), w))}
	}, in)
	if err != nil {
		return ActQuant{}, err
	}
	x := out[0].Flat()
	if q.c.Scales.Metric != PD {
		return searchActivation(ctx, x, q.bits[name].Output, q.c.Scales)
	}
	cs, err := RangeCandidates(ctx, x, q.bits[name].Output, q.c.Scales)
	if err != nil {
		return ActQuant{}, err
	}
	return q.searchByPD(ctx, s, w, d, in, name, cs)
}

// searchByPD returns the quantiser among cs that changes the network's predictions least, the first of equals. It is
// for the output of the layer called name; in has inputs of d's unit. The tensors that s quantises are quantised; the
// rest of the network is in full precision.
func (q *Quantizer) searchByPD(ctx context.Context, s Student, w models.Weights, d *UnitData, in exec.FirstImages,
	name string, cs []ActQuant) (ActQuant, error) {
	a := ActQuant{Bits: q.bits[name].Output}
	logits, err := d.Logits.Tensor(0, in.N)
	if err != nil {
		return a, err
	}
	defer exec.Free(logits)
	inputs, err := in.Tensor(0, in.N)
	if err != nil {
		return a, err
	}
	defer exec.Free(inputs)
	unit := q.folded.Units[d.Unit]
	compiled, err := NewExec(q.b, func(in, logits, scale, zero *Node) *Node {
		h := s.Hooks(in.Graph(), w)
		others := h.After
		h.After = func(l models.Layer, y *Node) *Node {
			if l.Name == name {
				return RoundToLevels(y, scale, zero, a.Bits)
			}
			return others(l, y)
		}
		y := q.folded.Forward(in, unit.First, unit.Last, h)
		full := models.Hooks{Param: exec.Constants(in.Graph(), q.weights)}
		student := q.folded.Forward(y, unit.Last+1, len(q.folded.Layers)-1, full)
		return PredictionDifference(logits, student, q.c.Loss.Temperature)
	})
	if err != nil {
		return a, err
	}
	defer compiled.Finalize()
	least := math.Inf(1)
	for _, c := range cs {
		if err := ctx.Err(); err != nil {
			return a, err
		}
		out, err := compiled.Call1(inputs, logits, c.Scale, c.Zero)
		if err != nil {
			return a, err
		}
		pd := float64(tensors.ToScalar[float32](out))
		exec.Free(out)
		if pd < least {
			a, least = c, pd
		}
	}
	if math.IsInf(least, 1) {
		return a, errors.New("the predictions with this output quantised aren't numbers")
	}
	return a, nil
}
