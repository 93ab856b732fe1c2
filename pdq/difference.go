package pdq

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// UnitDifference compares the student's output of a unit with the teacher's.
type UnitDifference struct {
	Unit     string
	SNR      float64             // of the teacher's output to what the student's is off by, decibels
	Channels []ChannelDifference // the worst first: those that the most noise is in
}

// ChannelDifference is one channel's part.
type ChannelDifference struct {
	Channel int
	SNR     float64 // decibels
	Share   float64 // of the unit's noise, in [0,1]
}

// Differences compares all units on the first of the calibration images, at most so many. What s
// doesn't quantise is in full precision.
func (q *Quantizer) Differences(ctx context.Context, s Student, images int) ([]UnitDifference, error) {
	w, err := q.studentWeights(s)
	if err != nil {
		return nil, err
	}
	x := q.firstImages(images)
	defer free(x)
	out, err := overImages(ctx, q.b, q.c.Machine.Workers, func(xs []*Node) []*Node {
		g := xs[0].Graph()
		student := unitOutputs(q.folded, xs[0], studentHooks(g, w, s))
		var sums []*Node
		for u, t := range unitOutputs(q.folded, xs[0], models.Hooks{Param: constants(g, q.weights)}) {
			sums = append(sums, perChannelSum(Square(t)), perChannelSum(Square(Sub(student[u], t))))
		}
		return sums
	}, q.between(StepObserve, -1), x)
	if err != nil {
		return nil, err
	}
	defer free(out...)
	var all []UnitDifference
	for u, unit := range q.folded.Units {
		signal, err := columnSums(out[2*u])
		if err != nil {
			return nil, err
		}
		noise, err := columnSums(out[2*u+1])
		if err != nil {
			return nil, err
		}
		all = append(all, newDifference(unit.Name, signal, noise))
	}
	return all, nil
}

// newDifference is the difference with signal and noise by channel.
func newDifference(unit string, signal, noise []float64) UnitDifference {
	var sum, off float64
	for c := range signal {
		sum, off = sum+signal[c], off+noise[c]
	}
	d := UnitDifference{Unit: unit, SNR: Decibels(sum, off)}
	for c := range signal {
		share := 0.0
		if off > 0 {
			share = noise[c] / off
		}
		d.Channels = append(d.Channels, ChannelDifference{c, Decibels(signal[c], noise[c]), share})
	}
	slices.SortStableFunc(d.Channels, func(a, b ChannelDifference) int { return cmp.Compare(b.Share, a.Share) })
	return d
}

// unitOutputs returns the outputs of all units of n for images x.
func unitOutputs(n *models.Network, x *Node, h models.Hooks) []*Node {
	outs := make([]*Node, len(n.Units))
	after := h.After
	h.After = func(l models.Layer, y *Node) *Node {
		if after != nil {
			y = after(l, y)
		}
		i := n.Index(l.Name)
		for u, unit := range n.Units {
			if unit.Last == i {
				outs[u] = y
			}
		}
		return y
	}
	n.Forward(x, 0, len(n.Layers)-1, h)
	return outs
}

// perChannelSum sums x [N,C,...] to [N,C].
func perChannelSum(x *Node) *Node {
	return ReduceSum(Reshape(x, x.Shape().Dim(0), x.Shape().Dim(1), -1), 2)
}

// columnSums sums t [N,C] over N.
func columnSums(t *tensors.Tensor) ([]float64, error) {
	flat, err := tensors.CopyFlatData[float32](t)
	sums := make([]float64, t.Shape().Dim(1))
	for i, v := range flat {
		sums[i%len(sums)] += float64(v)
	}
	return sums, err
}

// Sensitivity says how much one quantiser alone changes the predictions.
type Sensitivity struct {
	Layer   string
	Output  bool // the quantiser is of the layer's output, else of its weight
	Bits    int
	PD      float64 // prediction difference at Loss.Temperature, all else in full precision
	Changed float64 // fraction of images that are classified otherwise, in [0,1]
}

// Sensitivities measures each quantiser of s on the first of the calibration images, at most so
// many. The worst come first.
func (q *Quantizer) Sensitivities(ctx context.Context, s Student, images int) ([]Sensitivity, error) {
	all := q.quantisers(s)
	w, err := q.studentWeights(s)
	if err != nil {
		return nil, err
	}
	var layers []string // whose weights are arguments of the graph
	for _, a := range all {
		if !a.Output {
			layers = append(layers, a.Layer)
		}
	}
	exec, err := NewExec(q.b, func(xs []*Node) []*Node { return []*Node{q.switched(xs, layers, s)} })
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	x := q.firstImages(images)
	defer free(x)
	logits := func(on *Sensitivity) ([]float32, error) {
		switches := make([]float32, len(q.folded.Layers))
		full := make([]*tensors.Tensor, len(layers))
		for i, l := range layers {
			full[i] = q.weights[l+".weight"]
			if on != nil && !on.Output && on.Layer == l {
				full[i] = w[l+".weight"]
			}
		}
		if on != nil && on.Output {
			switches[q.folded.Index(on.Layer)] = 1
		}
		vector := tensors.FromValue(switches)
		defer free(vector)
		out, err := call(exec, []*tensors.Tensor{x, vector}, full)
		if err != nil {
			return nil, err
		}
		defer free(out...)
		return tensors.CopyFlatData[float32](out[0])
	}
	teacher, err := logits(nil)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards q.tell
	done := 0
	err = sideBySide(len(all), q.c.Machine.Workers, func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		student, err := logits(&all[k])
		if err != nil {
			return err
		}
		all[k].PD, all[k].Changed = predictionChange(teacher, student, q.folded.Classes, q.c.Loss.Temperature)
		mu.Lock()
		defer mu.Unlock()
		done++
		q.tell(StepEvaluate, -1, done, len(all), Loss{})
		return nil
	})
	slices.SortStableFunc(all, func(a, b Sensitivity) int { return cmp.Compare(b.PD, a.PD) })
	return all, err
}

// quantisers lists those of s, in the network's order.
func (q *Quantizer) quantisers(s Student) []Sensitivity {
	var all []Sensitivity
	for _, l := range q.folded.Layers {
		if w, ok := s.Weights[l.Name]; ok {
			all = append(all, Sensitivity{Layer: l.Name, Bits: w.Bits})
		}
		if a, ok := s.Acts[l.Name]; ok {
			all = append(all, Sensitivity{Layer: l.Name, Output: true, Bits: a.Bits})
		}
	}
	return all
}

// switched is the graph of the network's logits: of images, switches [layers], 1 where the output
// is quantised as by s, and the weights of layers.
func (q *Quantizer) switched(xs []*Node, layers []string, s Student) *Node {
	x, switches, weights := xs[0], xs[1], xs[2:]
	g := x.Graph()
	fixed := constants(g, q.weights)
	return q.folded.Forward(x, 0, len(q.folded.Layers)-1, models.Hooks{
		Param: func(name string) *Node {
			for i, l := range layers {
				if name == l+".weight" {
					return weights[i]
				}
			}
			return fixed(name)
		},
		After: func(l models.Layer, y *Node) *Node {
			a, ok := s.Acts[l.Name]
			if !ok {
				return y
			}
			on := scalar(switches, q.folded.Index(l.Name))
			return Add(y, Mul(on, Sub(a.levels(l).quantize(y, Const(g, a.Scale)), y)))
		},
	})
}

// predictionChange returns PredictionDifference of logits [N,classes], and the fraction of rows
// whose largest is another.
func predictionChange(teacher, student []float32, classes int, t float64) (pd, changed float64) {
	n := float64(len(teacher) / classes)
	for lo := 0; lo < len(teacher); lo += classes {
		a, b := teacher[lo:lo+classes], student[lo:lo+classes]
		p, q := logSoftmax(a, t), logSoftmax(b, t)
		for c := range p {
			pd += math.Exp(p[c]) * (p[c] - q[c]) / n
		}
		if largest(a) != largest(b) {
			changed += 1 / n
		}
	}
	return pd, changed
}

func logSoftmax(x []float32, t float64) []float64 {
	top := float64(slices.Max(x)) / t
	var sum float64
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)/t - top
		sum += math.Exp(out[i])
	}
	for i := range out {
		out[i] -= math.Log(sum)
	}
	return out
}

// largest returns the index of the largest of x, the first of equals.
func largest(x []float32) int { return slices.Index(x, slices.Max(x)) }
