package look

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sync"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Sensitivity says how much one quantiser changes the predictions while everything else is in full precision.
type Sensitivity struct {
	Layer   string
	Output  bool // whether the quantiser is that of the layer's output or of its weight
	Bits    int
	PD      float64 // prediction difference at Loss.Temperature
	Changed float64 // fraction of images that are classified differently, in [0,1]
}

// Sensitivities measures each quantiser of s on the first calibration images. The most sensitive come first.
func Sensitivities(ctx context.Context, q *pdq.Quantizer, s pdq.Student, images int) ([]Sensitivity, error) {
	if err := atLeastOne(images, "images"); err != nil {
		return nil, err
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		return nil, err
	}
	inputs, err := unitInputs(ctx, q, images)
	if err != nil {
		return nil, err
	}
	defer exec.FreeCaches(inputs...)
	n, full := q.Folded()
	teacher := inputs[len(inputs)-1].Flat()
	var mu sync.Mutex // guards all and done, and calls of report
	var all []Sensitivity
	done := 0
	err = exec.Parallel(len(n.Units), q.Config().Machine.Workers, func(u int) error {
		unit := unitQuantisers{q: q, s: s, n: n, full: full, quantised: w, unit: n.Units[u]}
		in, err := inputs[u].Tensor(0, inputs[u].Len())
		if err != nil {
			return err
		}
		defer exec.Free(in)
		found, err := unit.measure(ctx, in, teacher)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, found...)
		done++
		report(q, done, len(n.Units))
		return err
	})
	slices.SortFunc(all, func(a, b Sensitivity) int {
		return cmp.Or(cmp.Compare(b.PD, a.PD), cmp.Compare(n.Index(a.Layer), n.Index(b.Layer)))
	})
	return all, err
}

// unitInputs returns each unit's input in full precision for the first calibration images, and the logits after them.
// The caller frees them.
func unitInputs(ctx context.Context, q *pdq.Quantizer, images int) ([]*exec.Cache, error) {
	n, weights := q.Folded()
	return runner(q).Run(ctx, func(xs []*Node) []*Node {
		h := models.Hooks{Param: exec.Constants(xs[0].Graph(), weights)}
		var ins []*Node
		x, first := xs[0], 0
		for _, unit := range n.Units {
			x = n.Forward(x, first, unit.First-1, h)
			if first == unit.First { // nothing was computed
				x = Identity(x)
			}
			ins, first = append(ins, x), unit.First
		}
		return append(ins, n.Forward(x, first, len(n.Layers)-1, h))
	}, firstImages(q, images))
}

// unitQuantisers measures the quantisers of one unit, one at a time.
type unitQuantisers struct {
	q               *pdq.Quantizer
	s               pdq.Student
	n               *models.Network // batch normalisation folded
	full, quantised models.Weights  // of n, in full precision and as the student has them
	unit            models.Unit
}

func (u unitQuantisers) layers() []models.Layer { return u.n.Layers[u.unit.First : u.unit.Last+1] }

// weights lists the names of the unit's layers whose weights are quantised.
func (u unitQuantisers) weights() []string {
	var names []string
	for _, l := range u.layers() {
		if _, ok := u.s.Weights[l.Name]; ok {
			names = append(names, l.Name)
		}
	}
	return names
}

// list returns the unit's quantisers, to be measured.
func (u unitQuantisers) list() []Sensitivity {
	var all []Sensitivity
	for _, l := range u.layers() {
		if w, ok := u.s.Weights[l.Name]; ok {
			all = append(all, Sensitivity{Layer: l.Name, Bits: w.Bits})
		}
		if act, ok := u.s.Acts[l.Name]; ok {
			all = append(all, Sensitivity{Layer: l.Name, Output: true, Bits: act.Bits})
		}
	}
	return all
}

// measure returns the sensitivities of the unit's quantisers, given the unit's inputs and the teacher's logits.
func (u unitQuantisers) measure(ctx context.Context, in *tensors.Tensor, teacher []float32) ([]Sensitivity, error) {
	compiled, err := NewExec(u.q.Backend(), func(xs []*Node) []*Node { return []*Node{u.logits(xs)} })
	if err != nil {
		return nil, err
	}
	defer compiled.Finalize()
	all := u.list()
	for k := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		switches, weights := u.arguments(all[k])
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
		all[k].PD, all[k].Changed = predictionChange(teacher, student, u.n.Classes, u.q.Config().Loss.Temperature)
	}
	return all, nil
}

// arguments returns the switches and weights for which logits has no other quantiser than x.
func (u unitQuantisers) arguments(x Sensitivity) (switches []float32, weights []*tensors.Tensor) {
	switches = make([]float32, len(u.n.Layers))
	if x.Output {
		switches[u.n.Index(x.Layer)] = 1
	}
	for _, name := range u.weights() {
		t := u.full[name+".weight"]
		if !x.Output && x.Layer == name {
			t = u.quantised[name+".weight"]
		}
		weights = append(weights, t)
	}
	return switches, weights
}

// logits is the graph of the network from the unit on. Its arguments are the unit's inputs, switches [layers], which
// are 1 where an output is quantised, and the unit's weights.
func (u unitQuantisers) logits(xs []*Node) *Node {
	in, switches, weights := xs[0], xs[1], xs[2:]
	own := map[string]*Node{}
	for i, name := range u.weights() {
		own[name+".weight"] = weights[i]
	}
	student := u.s.Hooks(in.Graph(), u.full)
	return u.n.Forward(in, u.unit.First, len(u.n.Layers)-1, models.Hooks{
		Param: func(name string) *Node {
			if w, ok := own[name]; ok {
				return w
			}
			return student.Param(name)
		},
		After: func(l models.Layer, y *Node) *Node {
			_, ok := u.s.Acts[l.Name]
			i := u.n.Index(l.Name)
			if !ok || i > u.unit.Last {
				return y
			}
			on := Reshape(Slice(switches, AxisRange(i, i+1)))
			return Add(y, Mul(on, Sub(student.After(l, y), y)))
		},
	})
}

// predictionChange returns pdq.PredictionDifference of logits [N,classes], and the fraction of images whose largest
// logit is another one.
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

// largest returns the index of the largest value of x, the first of equals.
func largest(x []float32) int { return slices.Index(x, slices.Max(x)) }
