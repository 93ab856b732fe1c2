package pdq

import (
	"math"

	"github.com/gomlx/gomlx/core/tensors"
)

// Decided counts the rounding variables of a layer that have decided to round up or down.
type Decided struct {
	Layer     string
	Histogram [10]int // of h(α), in tenths from 0 to 1; an α that isn't a number isn't counted
	Undecided int     // variables with h(α) strictly between 0.01 and 0.99
	Flipped   int     // variables that don't round to nearest
	Size      int     // variables in all
}

// Decided returns the counts for each layer of the unit that has rounding variables, in the unit's order.
func (r *Rounder) Decided() ([]Decided, error) {
	var all []Decided
	for _, v := range r.weights {
		alpha, err := tensors.CopyFlatData[float32](v.value)
		if err != nil {
			return nil, r.fail(err)
		}
		w, err := tensors.CopyFlatData[float32](r.q.weights[v.layer+".weight"])
		if err != nil {
			return nil, r.fail(err)
		}
		d, scale := Decided{Layer: v.layer, Size: len(alpha)}, r.s.Weights[v.layer].Scale
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
