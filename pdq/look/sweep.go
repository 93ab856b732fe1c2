package look

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
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
	"github.com/pdquant/pdquant/pdq/internal/power"
)

// SweepPoint is one range in a sweep, and its errors by each metric.
type SweepPoint struct {
	Fraction    float64 // of the values' full range
	Scale, Zero float64 // of the quantiser; for a weight, whose channels have their own, the first channel's
	MSE         float64 // mean |x-x_q|²
	Lp          float64 // mean |x-x_q|^Power
	Cosine      float64 // 1 - cosine similarity of x and x_q
	PD          float64 // prediction difference at Loss.Temperature, with later layers in full precision
}

// SweepOutput measures ranges that are k/points of the full one, k = 1..points, for the output of layer, on the first
// calibration images. Layers before are quantised as s quantises them, layers after are in full precision. Zero points
// are those with the least Lp. It is an error if points isn't in 1..1000.
func SweepOutput(ctx context.Context, q *pdq.Quantizer, s pdq.Student, layer string, images, points int) (
	[]SweepPoint, error) {
	if err := checkPoints(points); err != nil {
		return nil, err
	}
	x, _, err := output(ctx, q, s, layer, images)
	if err != nil {
		return nil, err
	}
	bits := bitsOf(q, layer).Output
	if bits == 0 {
		return nil, fmt.Errorf("look: the output of %s isn't quantised", layer)
	}
	c := q.Config().Scales
	c.Candidates = points
	cs, err := pdq.RangeCandidates(ctx, thinned(x, 1<<16), bits, c)
	if err != nil {
		return nil, err
	}
	sw, err := newSweep(q, s, layer, images)
	if err != nil {
		return nil, err
	}
	for k, a := range cs {
		sw.add(len(cs), [][]float32{x}, []pdq.ActQuant{a})
		sw.args = append(sw.args, []*tensors.Tensor{tensors.FromScalar(cs[k].Scale), tensors.FromScalar(cs[k].Zero)})
	}
	return sw.points, sw.measurePD(ctx, func(h models.Hooks, args []*Node) models.Hooks {
		others := h.After
		h.After = func(l models.Layer, y *Node) *Node {
			if l.Name == layer {
				return pdq.RoundToLevels(y, args[0], args[1], bits)
			}
			return others(l, y)
		}
		return h
	})
}

// SweepWeight is SweepOutput for the weight of layer, rounded to nearest. At point k, each channel has k/points of its
// full range.
func SweepWeight(ctx context.Context, q *pdq.Quantizer, s pdq.Student, layer string, images, points int) (
	[]SweepPoint, error) {
	if err := errors.Join(atLeastOne(images, "images"), checkPoints(points)); err != nil {
		return nil, err
	}
	_, weights := q.Folded()
	bits, weight := bitsOf(q, layer).Weight, weights[layer+".weight"]
	if bits == 0 {
		return nil, fmt.Errorf("look: %s has no quantised weight", layer)
	}
	flat, err := tensors.CopyFlatData[float32](weight)
	if err != nil {
		return nil, err
	}
	c := q.Config().Scales
	c.Candidates = points
	channels := slices.Collect(slices.Chunk(flat, len(flat)/weight.Shape().Dim(0)))
	tried := make([][]pdq.ActQuant, points) // by point and channel
	for _, x := range channels {
		cs, err := pdq.RangeCandidates(ctx, x, bits, c)
		if err != nil {
			return nil, err
		}
		for k := range tried {
			tried[k] = append(tried[k], cs[k])
		}
	}
	sw, err := newSweep(q, s, layer, images)
	if err != nil {
		return nil, err
	}
	for _, cs := range tried {
		sw.add(points, channels, cs)
		wq := pdq.WeightQuant{Bits: bits}
		for _, a := range cs {
			wq.Scale, wq.Zero = append(wq.Scale, a.Scale), append(wq.Zero, a.Zero)
		}
		quantised, err := wq.Dequantize(weight)
		if err != nil {
			return nil, err
		}
		sw.args = append(sw.args, []*tensors.Tensor{quantised})
	}
	return sw.points, sw.measurePD(ctx, func(h models.Hooks, args []*Node) models.Hooks {
		others := h.Param
		h.Param = func(param string) *Node {
			if param == layer+".weight" {
				return args[0]
			}
			return others(param)
		}
		return h
	})
}

// bitsOf returns the widths of layer, which are 0 if it has no quantised tensors.
func bitsOf(q *pdq.Quantizer, layer string) pdq.LayerBits {
	for _, lb := range q.Plan() {
		if lb.Layer == layer {
			return lb
		}
	}
	return pdq.LayerBits{}
}

// sweep is a sweep of one layer.
type sweep struct {
	q      *pdq.Quantizer
	s      pdq.Student
	n      *models.Network // batch normalisation folded
	layer  int
	unit   models.Unit // of layer
	images exec.Normalised
	lp     *power.Table
	points []SweepPoint
	args   [][]*tensors.Tensor // the graph's arguments for each point
}

func newSweep(q *pdq.Quantizer, s pdq.Student, layer string, images int) (*sweep, error) {
	n, _ := q.Folded()
	i := n.Index(layer)
	u := slices.IndexFunc(n.Units, func(u models.Unit) bool { return i >= u.First && i <= u.Last })
	if u < 0 {
		return nil, fmt.Errorf("look: %s isn't in a unit", layer)
	}
	return &sweep{q: q, s: s, n: n, layer: i, unit: n.Units[u], images: firstImages(q, images),
		lp: power.New(q.Config().Scales.Power)}, nil
}

// add appends a point of a sweep with n points. The tensor has the parts xs, and the point a quantiser for each in cs.
func (sw *sweep) add(n int, xs [][]float32, cs []pdq.ActQuant) {
	p := SweepPoint{Fraction: float64(len(sw.points)+1) / float64(n),
		Scale: float64(cs[0].Scale), Zero: float64(cs[0].Zero)}
	p.measure(xs, cs, sw.lp)
	sw.points = append(sw.points, p)
}

// measurePD sets the prediction difference of each point. with changes the student's hooks for a point's arguments.
// Layers before the swept one are quantised as s quantises them, layers after are in full precision.
func (sw *sweep) measurePD(ctx context.Context, with func(h models.Hooks, args []*Node) models.Hooks) error {
	defer func() { exec.Free(slices.Concat(sw.args...)...) }()
	part := before(sw.s, sw.n, sw.layer)
	w, err := sw.q.StudentWeights(part)
	if err != nil {
		return err
	}
	read, err := sw.unitInputAndLogits(ctx)
	defer exec.Free(read...)
	if err != nil {
		return err
	}
	c := sw.q.Config()
	compiled, err := exec.NewShared(sw.q.Backend(), func(xs []*Node) []*Node {
		h := with(part.Hooks(xs[0].Graph(), w), xs[2:])
		logits := sw.n.Forward(xs[0], sw.unit.First, len(sw.n.Layers)-1, h)
		return []*Node{pdq.PredictionDifference(xs[1], logits, c.Loss.Temperature)}
	})
	if err != nil {
		return err
	}
	defer compiled.Finalize()
	var mu sync.Mutex // guards done, and calls of report
	done := 0
	return exec.Parallel(len(sw.points), c.Machine.Workers, func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		out, err := exec.Call(compiled, read, sw.args[k])
		if err != nil {
			return err
		}
		defer exec.Free(out...)
		sw.points[k].PD = float64(tensors.ToScalar[float32](out[0]))
		mu.Lock()
		defer mu.Unlock()
		done++
		report(sw.q, done, len(sw.points))
		return nil
	})
}

// unitInputAndLogits returns, on the device, the input of the student's unit, and the teacher's logits.
func (sw *sweep) unitInputAndLogits(ctx context.Context) ([]*tensors.Tensor, error) {
	w, err := sw.q.StudentWeights(sw.s)
	if err != nil {
		return nil, err
	}
	_, weights := sw.q.Folded()
	caches, err := runner(sw.q).Run(ctx, func(xs []*Node) []*Node {
		g := xs[0].Graph()
		return []*Node{
			Identity(sw.n.Forward(xs[0], 0, sw.unit.First-1, sw.s.Hooks(g, w))),
			sw.n.Forward(xs[0], 0, len(sw.n.Layers)-1, models.Hooks{Param: exec.Constants(g, weights)}),
		}
	}, sw.images)
	if err != nil {
		return nil, err
	}
	defer exec.FreeCaches(caches...)
	var read []*tensors.Tensor
	for _, c := range caches {
		t, err := c.Tensor(0, c.Len())
		if err != nil {
			return read, err
		}
		read = append(read, t)
	}
	return read, exec.ToDevice(sw.q.Backend(), read)
}

// measure sets all metrics but PD for the tensor with parts xs, each with its quantiser in cs.
func (p *SweepPoint) measure(xs [][]float32, cs []pdq.ActQuant, lp *power.Table) {
	var n, square, sum, xq, xx, qq float64
	for i, x := range xs {
		for _, v := range x {
			vq := cs[i].Quantize(v)
			off := float64(v - vq)
			square += off * off
			sum += lp.Of(float32(math.Abs(off)))
			xq += float64(v) * float64(vq)
			xx += float64(v) * float64(v)
			qq += float64(vq) * float64(vq)
		}
		n += float64(len(x))
	}
	p.MSE, p.Lp, p.Cosine = square/n, sum/n, 1
	if xx > 0 && qq > 0 {
		p.Cosine = 1 - xq/math.Sqrt(xx*qq)
	}
}

// thinned returns about n values of x, evenly spread, and the extremes. If x has at most n values, it returns x.
func thinned(x []float32, n int) []float32 {
	if len(x) <= n {
		return x
	}
	part := []float32{slices.Min(x), slices.Max(x)}
	for i := 0; i < len(x); i += (len(x) + n - 1) / n {
		part = append(part, x[i])
	}
	return part
}
