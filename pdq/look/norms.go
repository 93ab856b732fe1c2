package look

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// NormView compares the running statistics of a batch normalisation with those of its input.
type NormView struct {
	Layer           string
	Mean, Deviation []float64 // running, by channel; correction moves the input's statistics towards them
	Before, After   NormStats // with the teacher's input to the unit, and with the corrected input
}

// NormStats are the statistics of a normalisation's input.
type NormStats struct {
	Mean, Deviation []float64 // over H·W, by channel, averaged over images
	Distance        float64   // Σ_C (m-μ)² + Σ_C (d-σ)², averaged over images, as in the loss of Correct
}

// Norms looks at the batch normalisations of d's unit on the first images of d. Until d is corrected, After is Before.
func Norms(ctx context.Context, q *pdq.Quantizer, d *pdq.UnitData, images int) ([]NormView, error) {
	if err := atLeastOne(images, "images"); err != nil {
		return nil, err
	}
	p := q.Problem()
	if d == nil || d.Unit < 0 || d.Unit >= len(p.Network.Units) || d.TeacherIn == nil || d.CorrectedIn == nil {
		return nil, errors.New("look: the unit's data is incomplete; give what Observe, Correct or Units returns")
	}
	unit := p.Network.Units[d.Unit]
	views, err := normViews(p, unit)
	if err != nil || views == nil {
		return nil, err
	}
	teacher := exec.FirstImages{Cache: d.TeacherIn, N: min(images, d.TeacherIn.Len())}
	before, err := normStats(ctx, q, teacher, unit.First, unit)
	if err != nil {
		return nil, &pdq.UnitError{Step: pdq.StepCorrect, Unit: unit.Name, Err: err}
	}
	after := before
	if d.CorrectedIn != d.TeacherIn {
		corrected := exec.FirstImages{Cache: d.CorrectedIn, N: min(images, d.CorrectedIn.Len())}
		if after, err = normStats(ctx, q, corrected, unit.First, unit); err != nil {
			return nil, &pdq.UnitError{Step: pdq.StepCorrect, Unit: unit.Name, Err: err}
		}
	}
	for i := range views {
		views[i].Before, views[i].After = before[i], after[i]
	}
	return views, nil
}

// TeacherNorms is Norms for unit u, without data of the unit, on the first calibration images. After is Before.
func TeacherNorms(ctx context.Context, q *pdq.Quantizer, u, images int) ([]NormView, error) {
	p := q.Problem()
	if u < 0 || u >= len(p.Network.Units) {
		return nil, fmt.Errorf("look: there is no unit %d; %s has units 0 to %d",
			u, p.Network.Name, len(p.Network.Units)-1)
	}
	if err := atLeastOne(images, "images"); err != nil {
		return nil, err
	}
	unit := p.Network.Units[u]
	views, err := normViews(p, unit)
	if err != nil || views == nil {
		return nil, err
	}
	stats, err := normStats(ctx, q, firstImages(q, images), 0, unit)
	if err != nil {
		return nil, &pdq.UnitError{Step: pdq.StepCorrect, Unit: unit.Name, Err: err}
	}
	for i := range views {
		views[i].Before, views[i].After = stats[i], stats[i]
	}
	return views, nil
}

// normViews returns the unit's normalisations with their running statistics.
func normViews(p pdq.Problem, unit models.Unit) ([]NormView, error) {
	var views []NormView
	for _, l := range p.Network.Layers[unit.First : unit.Last+1] {
		if _, ok := l.Op.(models.BatchNorm); !ok {
			continue
		}
		v := NormView{Layer: l.Name}
		for name, to := range map[string]*[]float64{".running_mean": &v.Mean, ".running_var": &v.Deviation} {
			flat, err := tensors.CopyFlatData[float32](p.Weights[l.Name+name])
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

// normStats returns the statistics of the unit's normalisations, given inputs x of layer first.
func normStats(ctx context.Context, q *pdq.Quantizer, x exec.Images, first int, unit models.Unit) ([]NormStats, error) {
	p := q.Problem()
	out, err := runner(q).Run(ctx, func(xs []*Node) []*Node {
		var stats []*Node
		param := exec.Constants(xs[0].Graph(), p.Weights)
		h := models.Hooks{Param: param}
		h.Norm = func(l models.Layer, bn models.BatchNorm, y *Node) *Node {
			own := l.Scoped(param)
			mean, variance := own("running_mean"), own("running_var")
			if p.Network.Index(l.Name) >= unit.First {
				stats = append(stats, statistics(y, mean, variance)...)
			}
			return bn.Normalize(y, mean, variance, own)
		}
		p.Network.Forward(xs[0], first, unit.Last, h)
		return stats
	}, x)
	if err != nil {
		return nil, err
	}
	defer exec.FreeCaches(out...)
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

// statistics returns the mean and the unbiased deviation of y [N,C,H,W] over H·W, [N,C], and their distance [N,1] from
// the running ones, as in the loss of Correct. A 1x1 map has deviation 0, which isn't in the distance.
func statistics(y, mean, variance *Node) []*Node {
	const eps = 1e-6 // under the roots, as in Correct
	n, c := y.Shape().Dim(0), y.Shape().Dim(1)
	flat := Reshape(y, n, c, -1)
	size := flat.Shape().Dim(2)
	m := ReduceMean(flat, 2)
	distance := ReduceSum(Square(Sub(m, Reshape(mean, 1, c))), 1)
	if size == 1 {
		return []*Node{m, ZerosLike(m), Reshape(distance, n, 1)}
	}
	square := DivScalar(ReduceSum(Square(Sub(flat, Reshape(m, n, c, 1))), 2), float64(size-1))
	wide := Sub(Sqrt(AddScalar(square, eps)), Sqrt(AddScalar(Reshape(variance, 1, c), eps)))
	return []*Node{m, Sqrt(square), Reshape(Add(distance, ReduceSum(Square(wide), 1)), n, 1)}
}
