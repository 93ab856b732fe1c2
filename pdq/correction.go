package pdq

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Correct returns d with the teacher's input to the unit corrected towards the statistics of the unit's batch
// normalisations (distribution correction, DC). The target is the output of the teacher's unit for the corrected input.
// The input x starts at x0, the teacher's. Adam minimises, for each image,
//
//	Σ_BN [Σ_C (m-μ)² + Σ_C (d-σ)²] + Weight·mean_HW Σ_C (x-x0)²
//
// m and d are the mean and the unbiased deviation over H·W of the normalisation's input, μ and σ the running ones; 1e-6
// is added under both roots. A 1x1 map has no deviation term. Unlike in the reference, the data of a unit without batch
// normalisation is returned unchanged. The result shares all other tensors with d: it replaces d, and freeing it frees
// both.
//
// PD-Quant, section 3.4; reference: quant/distribution_correction.py.
func (q *Quantizer) Correct(ctx context.Context, d *UnitData) (*UnitData, error) {
	if err := q.canUse(d, "TeacherIn"); err != nil {
		return nil, q.fail(StepCorrect, -1, err)
	}
	unit := q.p.Network.Units[d.Unit]
	if q.c.Correction.Steps == 0 || !hasNorm(q.p.Network, unit) {
		return d, nil
	}
	n := d.TeacherIn.Len()
	corrected, err := q.newCache(d.Unit)(d.TeacherIn.Dims())
	if err != nil {
		return nil, q.fail(StepCorrect, d.Unit, err)
	}
	size, _ := q.correctionChunk(n)
	step, err := exec.NewShared(q.b, q.correctionStep(unit))
	if err != nil {
		return nil, q.fail(StepCorrect, d.Unit, err)
	}
	defer step.Finalize()
	var mu sync.Mutex // guards done and q.tell
	done, chunks := 0, (n+size-1)/size
	tell := func(steps int, loss float64) {
		mu.Lock()
		defer mu.Unlock()
		done += steps
		q.tell(StepCorrect, d.Unit, done, chunks*q.c.Correction.Steps, Loss{Correction: loss})
	}
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err = q.c.Machine.crew().Each(chunks, func(k int, device compute.DeviceNum) error {
		x := correctedChunk{step: step, device: device, first: k * size, n: min(size, n-k*size)}
		defer x.free()
		if err := x.cut(d.TeacherIn, q.correctionPieces(d.Unit, x.n)); err != nil {
			return err
		}
		if err := q.correctChunk(within, &x, tell); err != nil {
			cancel(err) // the other chunks under way, which would take as long for nothing
			return err
		}
		return x.put(corrected)
	})
	if err != nil {
		corrected.Free()
		if ctx.Err() == nil { // a chunk that was cancelled may have ended before the one that failed
			err = cmp.Or(context.Cause(within), err)
		}
		return nil, q.fail(StepCorrect, d.Unit, err)
	}
	out := *d
	out.CorrectedIn = corrected
	run := q.quietRunner()
	run.NewCache = q.newCache(d.Unit)
	run.Finite = []string{"the teacher's output for the corrected input"}
	target, err := run.Run(ctx, func(xs []*Node) []*Node {
		h := models.Hooks{Param: exec.Constants(xs[0].Graph(), q.p.Weights)}
		return []*Node{q.p.Network.Forward(xs[0], unit.First, unit.Last, h)}
	}, corrected)
	if err != nil {
		corrected.Free()
		return nil, q.fail(StepCorrect, d.Unit, err)
	}
	out.Target = target[0]
	return &out, nil
}

// correctionChunk returns how many of n images are corrected together, in whole groups, and how many such chunks at the
// same time.
func (q *Quantizer) correctionChunk(n int) (size, workers int) {
	group, workers := min(q.c.Correction.Group, n), max(q.c.Machine.Workers, 1)
	perWorker := (n + workers - 1) / workers
	return min(max(exec.ChunkSize(q.folded)/group, 1), (perWorker+group-1)/group) * group, workers
}

func hasNorm(n *models.Network, u models.Unit) bool {
	for _, l := range n.Layers[u.First : u.Last+1] {
		if _, ok := l.Op.(models.BatchNorm); ok {
			return true
		}
	}
	return false
}

// correctedChunk holds n images from first on while they are corrected, in pieces that are computed one after the
// other.
type correctedChunk struct {
	step     *exec.Shared
	device   compute.DeviceNum // that computes it
	first, n int
	pieces   []correctedPiece
}

// correctedPiece has, for some images, the unit's inputs x0 [k,C,H,W], the corrected ones, and Adam's moments.
type correctedPiece struct{ x0, x, m, v *tensors.Tensor }

// cut fills x with its images' inputs, in so many pieces.
func (x *correctedChunk) cut(inputs *Cache, pieces int) (err error) {
	for i := range pieces {
		var p correctedPiece
		lo, hi := exec.Part(x.n, pieces, i)
		if p.x0, err = inputs.Tensor(x.first+lo, x.first+hi); err != nil {
			return err
		}
		p.m, p.v = tensors.FromShape(p.x0.Shape()), tensors.FromShape(p.x0.Shape())
		p.x, err = p.x0.LocalClone()
		if x.pieces = append(x.pieces, p); err != nil {
			return err
		}
	}
	return nil
}

// put writes the corrected inputs to a cache.
func (x *correctedChunk) put(to *Cache) error {
	at := x.first
	for _, p := range x.pieces {
		if err := to.Put(p.x, at); err != nil {
			return err
		}
		at += p.x.Shape().Dim(0)
	}
	return nil
}

func (x *correctedChunk) free() {
	for _, p := range x.pieces {
		exec.Free(p.x0, p.x, p.m, p.v)
	}
}

// advance takes step t of Adam, counted from 1, with each image's learning rate and its weight in the mean loss of its
// group. It returns each image's loss.
func (x *correctedChunk) advance(t int, rates, share []float32) (losses []float32, err error) {
	bias := []float32{float32(1 / (1 - math.Pow(0.9, float64(t)))), float32(1 / (1 - math.Pow(0.999, float64(t))))}
	for i, p := range x.pieces {
		lo, hi := len(losses), len(losses)+p.x.Shape().Dim(0)
		out, err := x.step.CallOn(x.device, p.x0, p.x, p.m, p.v, rates[lo:hi], share[lo:hi], bias)
		if err != nil {
			return nil, err
		}
		exec.Free(p.x, p.m, p.v)
		x.pieces[i] = correctedPiece{p.x0, out[0], out[1], out[2]}
		own, err := tensors.CopyFlatData[float32](out[3])
		exec.Free(out[3])
		if err != nil {
			return nil, err
		}
		losses = append(losses, own...)
	}
	return losses, nil
}

// correctChunk optimises the inputs in x.
func (q *Quantizer) correctChunk(ctx context.Context, x *correctedChunk, tell func(steps int, loss float64)) error {
	group := min(q.c.Correction.Group, x.n)
	plateaus := make([]plateau, (x.n+group-1)/group)
	for i := range plateaus {
		plateaus[i] = newPlateau(q.c.Correction)
	}
	for t := 1; t <= q.c.Correction.Steps; t++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		rates, share := make([]float32, x.n), make([]float32, x.n)
		for i := range rates {
			g := i / group
			if !plateaus[g].stopped {
				rates[i] = float32(plateaus[g].rate)
			}
			share[i] = 1 / float32(min(group, x.n-g*group))
		}
		losses, err := x.advance(t, rates, share)
		if err != nil {
			return err
		}
		mean, err := stepPlateaus(plateaus, losses, group, x.first)
		if err != nil {
			return fmt.Errorf("step %d: %w", t, err)
		}
		if allStopped(plateaus) {
			tell(q.c.Correction.Steps-t+1, mean) // skipped steps count as done
			break
		}
		tell(1, mean)
	}
	return nil
}

// stepPlateaus gives each group's plateau the mean loss of its images, and returns the mean over all images. first is
// the number of the first image, for messages.
func stepPlateaus(ps []plateau, losses []float32, group, first int) (float64, error) {
	var all float64
	for g := range ps {
		part := losses[g*group : min((g+1)*group, len(losses))]
		var sum float64
		for _, l := range part {
			sum += float64(l)
		}
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			return 0, fmt.Errorf("the loss of images %d to %d is %g; lower Correction.LearningRate",
				first+g*group, first+g*group+len(part)-1, sum)
		}
		ps[g].step(sum / float64(len(part)))
		all += sum / float64(len(losses))
	}
	return all, nil
}

// correctionStep builds one Adam step on inputs x [n,C,H,W] with moments m and v. rates [n] has each image's learning
// rate, share [n] its weight in the mean loss of its group; bias [2] corrects Adam's moments. The step returns x, m, v
// and the losses [n].
func (q *Quantizer) correctionStep(unit models.Unit) func(args []*Node) []*Node {
	return func(args []*Node) []*Node {
		x0, x, m, v, rates, share, bias := args[0], args[1], args[2], args[3], args[4], args[5], args[6]
		loss := addDistance(q.normLoss(unit, x), x, x0, q.c.Correction.Weight)
		grad := Gradient(ReduceAllSum(Mul(loss, share)), x)[0]
		dims := make([]int, x.Rank())
		for i := range dims {
			dims[i] = 1
		}
		dims[0] = x.Shape().Dim(0)
		x2, m2, v2 := adam(x, grad, m, v, Reshape(rates, dims...), scalar(bias, 0), scalar(bias, 1))
		return []*Node{x2, m2, v2, loss}
	}
}

// addDistance returns loss [n] plus weight·mean_HW Σ_C (x-x0)².
func addDistance(loss, x, x0 *Node, weight float64) *Node {
	if weight == 0 {
		return loss
	}
	n := x.Shape().Dim(0)
	positions := float64(x.Shape().Size() / n / x.Shape().Dim(1))
	distance := ReduceSum(Reshape(Square(Sub(x, x0)), n, -1), 1)
	return Add(loss, MulScalar(distance, weight/positions))
}

// normLoss returns, for each image, the distance of its statistics from those of the unit's batch normalisations: [n].
func (q *Quantizer) normLoss(unit models.Unit, x *Node) *Node {
	var loss *Node
	param := exec.Constants(x.Graph(), q.p.Weights)
	h := models.Hooks{Param: param}
	h.Norm = func(l models.Layer, bn models.BatchNorm, y *Node) *Node {
		own := l.Scoped(param)
		mean, variance := Reshape(own("running_mean"), 1, bn.Channels), Reshape(own("running_var"), 1, bn.Channels)
		term := statisticsDistance(y, mean, variance)
		if loss == nil {
			loss = term
		} else {
			loss = Add(loss, term)
		}
		return bn.Normalize(y, Reshape(mean, bn.Channels), Reshape(variance, bn.Channels), own)
	}
	q.p.Network.Forward(x, unit.First, unit.Last, h)
	return loss
}

// statisticsDistance returns, for each image of y [N,C,H,W], the distance of its statistics from mean and variance
// [1,C]: Σ_C (m-μ)² + Σ_C (d-σ)², [N]. The gradient for y is written out, because it is short in the centred y, which
// is computed anyway:
//
//	2(m-μ)/P + 2(d-σ)/(d·(P-1))·(y-m),  P = H·W
func statisticsDistance(y, mean, variance *Node) *Node {
	const eps = 1e-6
	n, c := y.Shape().Dim(0), y.Shape().Dim(1)
	size := y.Shape().Size() / n / c
	flat := Reshape(y, n, c, size)
	m := ReduceMean(flat, 2)
	off := Sub(m, mean)
	if size == 1 {
		return ReduceSum(Square(off), 1)
	}
	centred := Sub(flat, Reshape(m, n, c, 1))
	d := Sqrt(AddScalar(DivScalar(ReduceSum(Square(centred), 2), float64(size-1)), eps))
	wide := Sub(d, Sqrt(AddScalar(variance, eps)))
	distance := Add(ReduceSum(Square(off), 1), ReduceSum(Square(wide), 1))
	return models.WithGradient(distance, []*Node{y}, []func(v *Node) *Node{func(v *Node) *Node {
		v = Reshape(v, n, 1)
		shift := Mul(v, MulScalar(off, 2/float64(size)))
		slope := Mul(v, Div(MulScalar(wide, 2/float64(size-1)), d))
		return Reshape(Add(Mul(centred, Reshape(slope, n, c, 1)), Reshape(shift, n, c, 1)), y.Shape().Dimensions...)
	}})
}

// plateau cuts a learning rate to a tenth after more than patience steps in a row without progress, which is a loss
// below the best by 1e-4 of it: torch.optim.lr_scheduler.ReduceLROnPlateau.
//
// It stops when ten steps have lowered the loss by less than the fraction tolerance. If that is 0, it never stops.
type plateau struct {
	rate, min float64
	patience  int
	best      float64
	bad       int // steps without progress

	tolerance float64
	steps     int
	mark      float64 // the loss when steps was last a multiple of ten
	stopped   bool
}

func newPlateau(c CorrectionConfig) plateau {
	return plateau{rate: c.LearningRate, min: c.MinRate, patience: c.Patience, tolerance: c.Tolerance,
		best: math.Inf(1), mark: math.Inf(1)}
}

func allStopped(ps []plateau) bool {
	return !slices.ContainsFunc(ps, func(p plateau) bool { return !p.stopped })
}

func (p *plateau) step(loss float64) {
	if p.steps++; p.steps%10 == 0 {
		p.stopped = p.stopped || loss > p.mark*(1-p.tolerance) && p.tolerance > 0
		p.mark = loss
	}
	if loss < p.best*(1-1e-4) {
		p.best, p.bad = loss, 0
		return
	}
	p.bad++
	if p.bad > p.patience {
		p.rate, p.bad = max(p.rate/10, p.min), 0
	}
}
