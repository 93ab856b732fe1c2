package pdq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// SweepPoint tells what a scale costs by each metric.
type SweepPoint struct {
	Fraction    float64 // of the range that the values fill
	Scale, Zero float64 // of an output; of a weight, each channel has its own: the first one's
	MSE         float64 // mean |x-x_q|²
	Lp          float64 // mean |x-x_q|^Power
	Cosine      float64 // 1 - cosine similarity of x and x_q
	PD          float64 // prediction difference at Loss.Temperature, what follows in full precision
}

// SweepOutput tries ranges k/points of the full one, k = 1..points, for the output of the layer
// called name. What comes before it is quantised as s does, what follows is in full precision. Zero
// points are those of the least Lp. It takes the first of the calibration images, at most so many.
func (q *Quantizer) SweepOutput(ctx context.Context, s Student, name string, images, points int) ([]SweepPoint, error) {
	if err := some(points, "points"); err != nil {
		return nil, err
	}
	x, _, err := q.output(ctx, s, name, images)
	if err != nil {
		return nil, err
	}
	bits := q.bits[name].Output
	if bits == 0 {
		return nil, fmt.Errorf("pdq: the output of %s isn't quantised", name)
	}
	c := q.c.Scales
	c.Candidates = points
	cs, err := bestZeros(ctx, thinned(x, 1<<16), bits, c)
	if err != nil {
		return nil, err
	}
	sweep := make([]SweepPoint, points)
	for k := range sweep {
		sweep[k] = SweepPoint{Fraction: float64(k+1) / float64(points), Scale: float64(cs[k].scale), Zero: float64(cs[k].zero)}
		sweep[k].measure([][]float32{x}, []candidate{cs[k]}, bits, c.Power)
	}
	i := q.folded.Index(name)
	w, err := q.studentWeights(s.before(q.folded, i))
	if err != nil {
		return nil, err
	}
	unit := q.folded.Units[q.unitOf(i)]
	return sweep, q.sweepPD(ctx, sweep, images, s, i, func(k int) []*tensors.Tensor {
		return []*tensors.Tensor{tensors.FromScalar(cs[k].scale), tensors.FromScalar(cs[k].zero)}
	}, func(in *Node, args []*Node) *Node {
		h := studentHooks(in.Graph(), w, s.before(q.folded, i))
		before := h.After
		h.After = func(l models.Layer, y *Node) *Node {
			if l.Name == name {
				return quantizeBy(y, args[0], args[1], bits)
			}
			return before(l, y)
		}
		return q.folded.Forward(in, unit.First, len(q.folded.Layers)-1, h)
	})
}

// quantizeBy is FakeQuantize with a zero point of the graph, without gradient.
func quantizeBy(y, scale, zero *Node, bits int) *Node {
	level := ClipScalar(Add(Round(Div(y, scale)), zero), 0, float64(int(1)<<bits-1))
	return Mul(Sub(level, zero), scale)
}

// SweepWeight is SweepOutput for the weight of the layer called name, k/points of each channel's
// range for all channels at once, rounded to nearest.
func (q *Quantizer) SweepWeight(ctx context.Context, s Student, name string, images, points int) ([]SweepPoint, error) {
	if err := errors.Join(some(images, "images"), some(points, "points")); err != nil {
		return nil, err
	}
	bits, weight := q.bits[name].Weight, q.weights[name+".weight"]
	if bits == 0 {
		return nil, fmt.Errorf("pdq: %s has no weight that is quantised", name)
	}
	flat, err := tensors.CopyFlatData[float32](weight)
	if err != nil {
		return nil, err
	}
	c := q.c.Scales
	c.Candidates = points
	channels := make([][]float32, weight.Shape().Dim(0))
	tried := make([][]candidate, points) // by point and channel
	for o := range channels {
		channels[o] = flat[o*len(flat)/len(channels) : (o+1)*len(flat)/len(channels)]
		cs, err := bestZeros(ctx, channels[o], bits, c)
		if err != nil {
			return nil, err
		}
		for k := range tried {
			tried[k] = append(tried[k], cs[k])
		}
	}
	sweep, quantised := make([]SweepPoint, points), make([]*tensors.Tensor, points)
	for k := range sweep {
		sweep[k] = SweepPoint{Fraction: float64(k+1) / float64(points), Scale: float64(tried[k][0].scale), Zero: float64(tried[k][0].zero)}
		sweep[k].measure(channels, tried[k], bits, c.Power)
		wq := WeightQuant{Bits: bits}
		for _, t := range tried[k] {
			wq.Scale, wq.Zero = append(wq.Scale, t.scale), append(wq.Zero, t.zero)
		}
		if quantised[k], err = wq.Dequantize(weight); err != nil {
			return nil, err
		}
	}
	i := q.folded.Index(name)
	w, err := q.studentWeights(s.before(q.folded, i))
	if err != nil {
		return nil, err
	}
	unit := q.folded.Units[q.unitOf(i)]
	return sweep, q.sweepPD(ctx, sweep, images, s, i, func(k int) []*tensors.Tensor { return quantised[k : k+1] }, func(in *Node, args []*Node) *Node {
		h := studentHooks(in.Graph(), w, s.before(q.folded, i))
		others := h.Param
		h.Param = func(param string) *Node {
			if param == name+".weight" {
				return args[0]
			}
			return others(param)
		}
		return q.folded.Forward(in, unit.First, len(q.folded.Layers)-1, h)
	})
}

// unitOf returns the index of the unit that layer i is in.
func (q *Quantizer) unitOf(i int) int {
	return slices.IndexFunc(q.folded.Units, func(u models.Unit) bool { return i >= u.First && i <= u.Last })
}

// sweepPD sets each point's PD on the first n images: of the logits that forward gives of what the
// unit of layer i reads, and of the point's arguments, which it frees. What s quantises before
// that unit is quantised.
func (q *Quantizer) sweepPD(ctx context.Context, sweep []SweepPoint, n int, s Student, i int, args func(k int) []*tensors.Tensor, forward func(in *Node, args []*Node) *Node) error {
	first := q.folded.Units[q.unitOf(i)].First
	w, err := q.studentWeights(s)
	if err != nil {
		return err
	}
	images := q.firstImages(n)
	caches, err := q.quietRunner().Run(ctx, func(xs []*Node) []*Node {
		g := xs[0].Graph()
		return []*Node{
			Identity(q.folded.Forward(xs[0], 0, first-1, studentHooks(g, w, s))),
			q.folded.Forward(xs[0], 0, len(q.folded.Layers)-1, models.Hooks{Param: exec.Constants(g, q.weights)}),
		}
	}, images)
	if err != nil {
		return err
	}
	defer exec.FreeCaches(caches...)
	read := make([]*tensors.Tensor, len(caches))
	defer func() { exec.Free(read...) }()
	for i, c := range caches {
		if read[i], err = c.Tensor(0, c.Len()); err != nil {
			return err
		}
	}
	if err := exec.ToDevice(q.b, read); err != nil {
		return err
	}
	compiled, err := exec.NewShared(q.b, func(xs []*Node) []*Node {
		return []*Node{PredictionDifference(xs[1], forward(xs[0], xs[2:]), q.c.Loss.Temperature)}
	})
	if err != nil {
		return err
	}
	defer compiled.Finalize()
	var mu sync.Mutex // guards q.tell
	done := 0
	return exec.Parallel(len(sweep), q.c.Machine.Workers, func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := args(k)
		defer exec.Free(in...)
		out, err := exec.Call(compiled, read, in)
		if err != nil {
			return err
		}
		defer exec.Free(out...)
		sweep[k].PD = float64(tensors.ToScalar[float32](out[0]))
		mu.Lock()
		defer mu.Unlock()
		done++
		q.tell(StepInspect, -1, done, len(sweep), Loss{})
		return nil
	})
}

// measure sets the metrics of the tensor's parts xs, each with a quantiser of its own.
func (p *SweepPoint) measure(xs [][]float32, cs []candidate, bits int, exponent float64) {
	var n, square, lp, xq, xx, qq float64
	power := newPower(exponent)
	for i, x := range xs {
		c := cs[i]
		lo, hi := -c.zero, float32(int(1)<<bits-1)-c.zero
		for _, v := range x {
			vq := roundWithin(v/c.scale, lo, hi) * c.scale
			off := float64(v - vq)
			square += off * off
			lp += power.of(abs(v - vq))
			xq += float64(v) * float64(vq)
			xx += float64(v) * float64(v)
			qq += float64(vq) * float64(vq)
		}
		n += float64(len(x))
	}
	p.MSE, p.Lp, p.Cosine = square/n, lp/n, 1
	if xx > 0 && qq > 0 {
		p.Cosine = 1 - xq/math.Sqrt(xx*qq)
	}
}

// thinned returns at most about n of x, evenly spread, its extremes among them.
func thinned(x []float32, n int) []float32 {
	if len(x) <= n {
		return x
	}
	lo, hi := extremes(x)
	part := []float32{lo, hi}
	for i := 0; i < len(x); i += (len(x) + n - 1) / n {
		part = append(part, x[i])
	}
	return part
}
