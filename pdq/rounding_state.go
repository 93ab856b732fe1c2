package pdq

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// RounderState is all that steps change of an optimisation, be it a unit's or the fine-tuning, as a value: what is kept before
// a step can be returned to. It fits one of the same unit, student and switched-on terms.
type RounderState struct {
	Done   int         // steps taken
	Values [][]float32 // per variable: its value and Adam's two moments; of a unit, rounding variables α before activation scales
}

// stateOf returns the state that tensors hold after so many steps.
func stateOf(done int, ts []*tensors.Tensor) (RounderState, error) {
	s := RounderState{Done: done, Values: make([][]float32, len(ts))}
	for i, t := range ts {
		var err error
		if s.Values[i], err = tensors.CopyFlatData[float32](t); err != nil {
			return s, err
		}
	}
	return s, nil
}

// tensors returns new tensors with the numbers of s, with the shapes of those others. It is an error if s is of other
// variables.
func (s RounderState) tensors(like []*tensors.Tensor) ([]*tensors.Tensor, error) {
	if len(s.Values) != len(like) || s.Done < 0 {
		return nil, fmt.Errorf("the state holds %d variables after %d steps; there are %d", len(s.Values), s.Done, len(like))
	}
	for i, t := range like {
		if len(s.Values[i]) != t.Size() {
			return nil, fmt.Errorf("variable %d of the state has %d elements; it should have %d", i, len(s.Values[i]), t.Size())
		}
	}
	ts := make([]*tensors.Tensor, len(like))
	for i, t := range like {
		ts[i] = tensors.FromFlatDataAndDimensions(slices.Clone(s.Values[i]), t.Shape().Dimensions...)
	}
	return ts, nil
}

// State returns where r is.
func (r *Rounder) State() (RounderState, error) {
	s, err := stateOf(r.done, r.state)
	return s, r.fail(err)
}

// Restore returns r to s: the steps that follow are those that followed there. It is an error if
// s is of other variables.
func (r *Rounder) Restore(s RounderState) error {
	state, err := s.tensors(r.state)
	if err != nil {
		return r.fail(err)
	}
	soft, err := r.softened(state)
	if err != nil {
		free(state...)
		return r.fail(err)
	}
	free(r.state...)
	free(r.soft...)
	r.state, r.soft, r.done = state, soft, s.Done
	return nil
}

func (r *Rounder) taken() int { return r.done }

// Decided says how far a layer's rounding variables have come.
type Decided struct {
	Layer     string
	Histogram [10]int // of h(α), in tenths from 0 to 1; α that isn't a number is in none
	Undecided int     // h(α) strictly between 0.01 and 0.99
	Flipped   int     // rounds other than to nearest
	Size      int
}

// Decided returns this for each of the unit's layers with rounding variables, in their order.
func (r *Rounder) Decided() ([]Decided, error) {
	var all []Decided
	for i, name := range r.layout.weights {
		alpha, err := tensors.CopyFlatData[float32](r.state[3*i])
		if err != nil {
			return nil, r.fail(err)
		}
		w, err := tensors.CopyFlatData[float32](r.q.weights[name+".weight"])
		if err != nil {
			return nil, r.fail(err)
		}
		d, scale := Decided{Layer: name, Size: len(alpha)}, r.s.Weights[name].Scale
		for k, a := range alpha {
			h := min(max(1.2/(1+math.Exp(-float64(a)))-0.1, 0), 1)
			if math.IsNaN(h) {
				continue
			}
			d.Histogram[min(int(10*h), 9)]++
			if h > 0.01 && h < 0.99 {
				d.Undecided++
			}
			u := float64(w[k] / scale[k/(len(w)/len(scale))])
			if (a >= 0) != (math.RoundToEven(u) > math.Floor(u)) {
				d.Flipped++
			}
		}
		all = append(all, d)
	}
	return all, nil
}
