// Package look shows what quantisation does inside a network: to weights, outputs and predictions, and at which scales.
// It changes nothing. The shell and notebooks make figures and tables of its results.
//
// An argument called images is the largest number of calibration images to use, from the first on.
package look

import (
	"fmt"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// atLeastOne returns an error if n, the number of what, is below 1.
func atLeastOne(n int, what string) error {
	if n < 1 {
		return fmt.Errorf("look: %d %s; give at least one", n, what)
	}
	return nil
}

// mostPoints is the largest number of points in a sweep. A quantised copy of a weight is held for each.
const mostPoints = 1000

// checkPoints returns an error if a sweep can't have n points.
func checkPoints(n int) error {
	if n < 1 || n > mostPoints {
		return fmt.Errorf("look: a sweep of %d points; give 1 to %d", n, mostPoints)
	}
	return nil
}

// runner returns a runner of graphs over images that doesn't report progress.
func runner(q *pdq.Quantizer) exec.Runner {
	n, _ := q.Folded()
	m := q.Config().Machine
	return exec.NewRunner(q.Backend(), exec.Crew{Workers: m.Workers, Devices: m.Devices}, n)
}

// report reports progress.
func report(q *pdq.Quantizer, done, total int) {
	if q.Progress != nil {
		q.Progress(pdq.Event{Step: pdq.StepInspect, Done: done, Total: total})
	}
}

// firstImages returns the first n calibration images, or all if there are fewer.
func firstImages(q *pdq.Quantizer, n int) exec.Normalised {
	images := q.Problem().Calibration
	return exec.Normalised{Images: images.Slice(0, min(n, images.Len()))}
}

// before returns the part of s that quantises layers of n before the i-th.
func before(s pdq.Student, n *models.Network, i int) pdq.Student {
	part := pdq.Student{Weights: map[string]pdq.WeightQuant{}, Acts: map[string]pdq.ActQuant{}}
	for _, l := range n.Layers[:i] {
		if w, ok := s.Weights[l.Name]; ok {
			part.Weights[l.Name] = w
		}
		if a, ok := s.Acts[l.Name]; ok {
			part.Acts[l.Name] = a
		}
	}
	return part
}
