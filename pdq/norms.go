package pdq

import (
	"context"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// NormView compares the statistics that a batch normalisation has with those of its input.
type NormView struct {
	Layer           string
	Mean, Deviation []float64 // running, by channel: what correction moves the input's towards
	Before, After   NormStats // with the teacher's input to the unit, and with the corrected one
}

// NormStats are the statistics of a normalisation's input.
type NormStats struct {
	Mean, Deviation []float64 // over H·W, by channel, averaged over images
	Distance        float64   // Σ_C (m-μ)² + Σ_C (d-σ)², averaged over images: its part of Correct's loss
}

// InspectNorms looks at the batch normalisations of d's unit on the first images of d, at most so
// many. Until d is corrected, After is Before.
func (q *Quantizer) InspectNorms(ctx context.Context, d *UnitData, images int) ([]NormView, error) {
	if err := some(images, "images"); err != nil {
		return nil, err
	}
	unit := q.p.Network.Units[d.Unit]
	views, err := q.normViews(unit)
	if err != nil || views == nil {
		return nil, err
	}
	before, err := q.normStats(ctx, firstImages{d.TeacherIn, min(images, d.TeacherIn.Len())}, unit.First, unit)
	if err != nil {
		return nil, q.fail(StepCorrect, d.Unit, err)
	}
	after := before
	if d.CorrectedIn != d.TeacherIn {
		if after, err = q.normStats(ctx, firstImages{d.CorrectedIn, min(images, d.CorrectedIn.Len())}, unit.First, unit); err != nil {
			return nil, q.fail(StepCorrect, d.Unit, err)
		}
	}
	for i := range views {
		views[i].Before, views[i].After = before[i], after[i]
	}
	return views, nil
}

// TeacherNorms is InspectNorms of unit u without its data: on the first of the calibration images,
// at most so many. After is Before.
func (q *Quantizer) TeacherNorms(ctx context.Context, u, images int) ([]NormView, error) {
	if u < 0 || u >= len(q.p.Network.Units) {
		return nil, fmt.Errorf("pdq: there is no unit %d; %s has units 0 to %d", u, q.p.Network.Name, len(q.p.Network.Units)-1)
	}
	if err := some(images, "images"); err != nil {
		return nil, err
	}
	unit := q.p.Network.Units[u]
	views, err := q.normViews(unit)
	if err != nil || views == nil {
		return nil, err
	}
	stats, err := q.normStats(ctx, q.firstImages(images), 0, unit)
	if err != nil {
		return nil, q.fail(StepCorrect, u, err)
	}
	for i := range views {
		views[i].Before, views[i].After = stats[i], stats[i]
	}
	return views, nil
}

// normViews are the unit's normalisations, with their running statistics.
func (q *Quantizer) normViews(unit models.Unit) ([]NormView, error) {
	var views []NormView
	for _, l := range q.p.Network.Layers[unit.First : unit.Last+1] {
		if _, ok := l.Op.(models.BatchNorm); !ok {
			continue
		}
		v := NormView{Layer: l.Name}
		for name, to := range map[string]*[]float64{".running_mean": &v.Mean, ".running_var": &v.Deviation} {
			flat, err := tensors.CopyFlatData[float32](q.p.Weights[l.Name+name])
			if err != nil {
				return nil, err
			}
			for _, x := range flat {
				*to = append(*to, float64(x))
			}
		}
		for c, variance := range v.Deviation {
			v.Deviation[c] = math.Sqrt(variance)
		}
		views = append(views, v)
	}
	return views, nil
}

// normStats returns the statistics of the unit's normalisations for the inputs x of layer first.
func (q *Quantizer) normStats(ctx context.Context, x imageSource, first int, unit models.Unit) ([]NormStats, error) {
	out, err := newRunner(q.b, q.c.Machine.Workers, q.folded).run(ctx, func(xs []*Node) []*Node {
		var stats []*Node
		param := constants(xs[0].Graph(), q.p.Weights)
		h := models.Hooks{Param: param}
		h.Norm = func(l models.Layer, bn models.BatchNorm, y *Node) *Node {
			own := l.Scoped(param)
			mean, variance := Reshape(own("running_mean"), 1, bn.Channels), Reshape(own("running_var"), 1, bn.Channels)
			if i := q.p.Network.Index(l.Name); i >= unit.First {
				m, d := imageStatistics(y)
				stats = append(stats, m, d, Reshape(statisticsDistance(y, mean, variance), -1, 1))
			}
			return bn.Normalize(y, Reshape(mean, bn.Channels), Reshape(variance, bn.Channels), own)
		}
		q.p.Network.Forward(xs[0], first, unit.Last, h)
		return stats
	}, x)
	if err != nil {
		return nil, err
	}
	defer freeCaches(out...)
	var all []NormStats
	for part := range slices.Chunk(out, 3) {
		var s NormStats
		var distance []float64
		for i, to := range []*[]float64{&s.Mean, &s.Deviation, &distance} {
			*to = columnSums(part[i])
			for c := range *to {
				(*to)[c] /= float64(x.Len())
			}
		}
		s.Distance = distance[0]
		all = append(all, s)
	}
	return all, nil
}

// imageStatistics returns the mean and the unbiased deviation of y [N,C,H,W] over H·W, [N,C]. A 1x1
// map has no deviation: it is 0.
func imageStatistics(y *Node) (m, d *Node) {
	n, c := y.Shape().Dim(0), y.Shape().Dim(1)
	flat := Reshape(y, n, c, -1)
	size := flat.Shape().Dim(2)
	m = ReduceMean(flat, 2)
	if size == 1 {
		return m, ZerosLike(m)
	}
	return m, Sqrt(DivScalar(ReduceSum(Square(Sub(flat, Reshape(m, n, c, 1))), 2), float64(size-1)))
}
