package pdq

import (
	"errors"
	"slices"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// balanceBatches is the number of batches on which balance measures the gradients of both terms.
const balanceBatches = 8

// PDWeight returns the weight of the PD term: Loss.PD or, with Loss.Balanced, the weight measured for the unit. Without
// the term it is 0.
func (r *Rounder) PDWeight() float64 {
	if i := r.outputTerm(termPD); i >= 0 {
		return float64(r.relative[i])
	}
	return 0
}

// outputTerm returns the index of the term called name among the terms of outputs, or -1.
func (r *Rounder) outputTerm(name string) int {
	return slices.IndexFunc(r.outputs, func(t Term) bool { return t.Name == name })
}

// balance sets the weight of the PD term with Loss.Balanced. Before the first step, it measures the gradients of both
// terms for the rounding variables, on batches that no step draws. The weight makes the PD term's gradients Loss.PD
// times as large as the reconstruction's.
//
// The paper has one weight for all units instead. But the squared error of a unit depends on its channels, their scale
// and the bits, and the gradient of PD depends on how certain the teacher is of its predictions.
func (r *Rounder) balance() error {
	pd, reconstruction := r.outputTerm(termPD), r.outputTerm(termReconstruction)
	if pd < 0 || reconstruction < 0 || !r.q.c.Loss.Balanced {
		return nil
	}
	var sums [2]float64
	for k := range balanceBatches {
		for i, term := range []int{reconstruction, pd} {
			only := make([]float32, len(r.outputs))
			only[term] = 1
			size, err := r.gradientSize(-1-k, only)
			if err != nil {
				return err
			}
			sums[i] += size
		}
	}
	if sums[1] > 0 {
		r.relative[pd] *= float32(sums[0] / sums[1])
	}
	return nil
}

// gradientSize returns the sum of the absolute values of step t's gradient, with the weights relative of the terms. The
// gradient is that for the rounding variables or, if they aren't trained, for the activation scales.
func (r *Rounder) gradientSize(t int, relative []float32) (float64, error) {
	taken, err := r.advance(t, r.draw(t), relative)
	if err != nil {
		return 0, err
	}
	taken.free()
	if k := exec.NonFinite(taken.report); k >= 0 {
		return 0, errors.New("the loss or a gradient isn't finite before the first step; look for extreme weights")
	}
	sizes, n := taken.report[len(r.outputs)+1:], len(r.weights) // after the losses
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
