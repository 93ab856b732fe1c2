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
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

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
	if err := some(images, "images"); err != nil {
		return nil, err
	}
	w, err := q.studentWeights(s)
	if err != nil {
		return nil, err
	}
	inputs, err := q.unitInputs(ctx, images)
	if err != nil {
		return nil, err
	}
	defer exec.FreeCaches(inputs...)
	teacher := inputs[len(inputs)-1].Flat()
	var mu sync.Mutex // guards all and q.tell
	var all []Sensitivity
	done := 0
	err = exec.Parallel(len(q.folded.Units), q.c.Machine.Workers, func(u int) error {
		alone := alone{q: q, s: s, quantised: w, unit: q.folded.Units[u]}
		in, err := inputs[u].Tensor(0, inputs[u].Len())
		if err != nil {
			return err
		}
		defer exec.Free(in)
		found, err := alone.measure(ctx, in, teacher)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, found...)
		done++
		q.tell(StepInspect, -1, done, len(q.folded.Units), Loss{})
		return err
	})
	position := func(x Sensitivity) int { return q.folded.Index(x.Layer) }
	slices.SortFunc(all, func(a, b Sensitivity) int {
		return cmp.Or(cmp.Compare(b.PD, a.PD), cmp.Compare(position(a), position(b)))
	})
	return all, err
}

// unitInputs returns what each unit reads in full precision of the first n calibration images, and
// the logits. The caller frees them.
func (q *Quantizer) unitInputs(ctx context.Context, n int) ([]*Cache, error) {
	return q.quietRunner().Run(ctx, func(xs []*Node) []*Node {
		h := models.Hooks{Param: exec.Constants(xs[0].Graph(), q.weights)}
		var ins []*Node
		x, first := xs[0], 0
		for _, unit := range q.folded.Units {
			x = q.folded.Forward(x, first, unit.First-1, h)
			if first == unit.First { // nothing lies between the units
				x = Identity(x)
			}
			ins, first = append(ins, x), unit.First
		}
		return append(ins, q.folded.Forward(x, first, len(q.folded.Layers)-1, h))
	}, q.firstImages(n))
}

// alone measures the quantisers of one unit, each alone.
type alone struct {
	q         *Quantizer
	s         Student
	quantised models.Weights // as s has them
	unit      models.Unit
}

func (a alone) layers() []models.Layer { return a.q.folded.Layers[a.unit.First : a.unit.Last+1] }

// weights names the layers of the unit whose weight is quantised.
func (a alone) weights() []string {
	var names []string
	for _, l := range a.layers() {
		if _, ok := a.s.Weights[l.Name]; ok {
			names = append(names, l.Name)
		}
	}
	return names
}

// measure returns the sensitivities of the unit's quantisers, for its inputs in and the logits that
// the teacher has for them.
func (a alone) measure(ctx context.Context, in *tensors.Tensor, teacher []float32) ([]Sensitivity, error) {
	compiled, err := NewExec(a.q.b, func(xs []*Node) []*Node { return []*Node{a.logits(xs)} })
	if err != nil {
		return nil, err
	}
	defer compiled.Finalize()
	var all []Sensitivity
	for _, l := range a.layers() {
		if w, ok := a.s.Weights[l.Name]; ok {
			all = append(all, Sensitivity{Layer: l.Name, Bits: w.Bits})
		}
		if act, ok := a.s.Acts[l.Name]; ok {
			all = append(all, Sensitivity{Layer: l.Name, Output: true, Bits: act.Bits})
		}
	}
	for k := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switches := make([]float32, len(a.q.folded.Layers))
		if all[k].Output {
			switches[a.q.folded.Index(all[k].Layer)] = 1
		}
		var weights []*tensors.Tensor
		for _, name := range a.weights() {
			t := a.q.weights[name+".weight"]
			if !all[k].Output && all[k].Layer == name {
				t = a.quantised[name+".weight"]
			}
			weights = append(weights, t)
		}
		vector := tensors.FromValue(switches)
		out, err := exec.Call(compiled, []*tensors.Tensor{in, vector}, weights)
		exec.Free(vector)
		if err != nil {
			return nil, err
		}
		student, err := tensors.CopyFlatData[float32](out[0])
		exec.Free(out...)
		if err != nil {
			return nil, err
		}
		all[k].PD, all[k].Changed = predictionChange(teacher, student, a.q.folded.Classes, a.q.c.Loss.Temperature)
	}
	return all, nil
}

// logits is the graph of the network from the unit on: of its inputs, switches [layers], 1 where the
// unit's output is quantised as by s, and the unit's weights.
func (a alone) logits(xs []*Node) *Node {
	in, switches, weights := xs[0], xs[1], xs[2:]
	g := in.Graph()
	own, fixed := map[string]*Node{}, exec.Constants(g, a.q.weights)
	for i, name := range a.weights() {
		own[name+".weight"] = weights[i]
	}
	return a.q.folded.Forward(in, a.unit.First, len(a.q.folded.Layers)-1, models.Hooks{
		Param: func(name string) *Node {
			if w, ok := own[name]; ok {
				return w
			}
			return fixed(name)
		},
		After: func(l models.Layer, y *Node) *Node {
			act, ok := a.s.Acts[l.Name]
			i := a.q.folded.Index(l.Name)
			if !ok || i > a.unit.Last {
				return y
			}
			on := scalar(switches, i)
			return Add(y, Mul(on, Sub(act.levels(l).quantize(y, Const(g, act.Scale)), y)))
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
