package pdq

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
)

// termWeights are the weights of the loss's terms.
type termWeights struct{ reconstruction, pd float32 }

// balanceBatches are drawn to measure the gradients of both terms.
const balanceBatches = 8

// PDWeight returns the weight of the PD term: Loss.PD, or, with Loss.Balanced, what that is for this unit.
func (r *Rounder) PDWeight() float64 { return float64(r.weight.pd) }

// balance sets the weights of the terms. With Loss.Balanced it measures their gradients for the rounding variables at the
// unit's start, in batches that no step draws: at the weight Loss.PD times the ratio of the sums of their sizes, the PD
// term's gradients are Loss.PD times as large as the reconstruction's.
//
// Not in the paper, whose weight is one number for all units. How large a unit's squared error is depends on its
// channels, their scale and the bits; how large PD's gradient is, on how certain the teacher is of its predictions.
func (r *Rounder) balance() error {
	r.weight = termWeights{1, float32(r.q.c.Loss.PD)}
	if !r.layout.pd || !r.q.c.Loss.Balanced {
		return nil
	}
	var reconstruction, pd float64
	for k := range balanceBatches {
		one, err := r.gradientSize(-1-k, termWeights{reconstruction: 1})
		if err != nil {
			return err
		}
		other, err := r.gradientSize(-1-k, termWeights{pd: 1})
		if err != nil {
			return err
		}
		reconstruction, pd = reconstruction+one, pd+other
	}
	if pd > 0 {
		r.weight.pd *= float32(reconstruction / pd)
	}
	return nil
}

// gradientSize returns the sum of the sizes of the gradients that step t would take with those weights: for the
// rounding variables, or where these aren't trained, for the activation scales.
func (r *Rounder) gradientSize(t int, w termWeights) (float64, error) {
	out, err := r.advance(t, w)
	defer free(out...)
	if err != nil {
		return 0, err
	}
	report, err := tensors.CopyFlatData[float32](out[len(out)-1])
	if err != nil {
		return 0, err
	}
	if k := nonFinite(report); k >= 0 {
		return 0, fmt.Errorf("the loss or a gradient isn't finite before the first step; look for extreme weights")
	}
	sizes, n := report[3:], len(r.layout.weights) // behind the losses
	if n > 0 && r.q.c.Rounding.LearningRate > 0 {
		sizes = sizes[:n]
	} else {
		sizes = sizes[n:]
	}
	var sum float64
	for _, size := range sizes {
		sum += float64(size)
	}
	return sum, nil
}
