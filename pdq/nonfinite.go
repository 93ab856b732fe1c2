package pdq

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Values that are NaN or infinite are looked for where they could come in: in weights, in what units see, and in the
// loss and gradients of each step.

// finiteWeights reports a weight that isn't a number.
func finiteWeights(w models.Weights) error {
	for _, name := range slices.Sorted(maps.Keys(w)) {
		var found error
		err := tensors.ConstFlatData(w[name], func(flat []float32) {
			if k := exec.NonFinite(flat); k >= 0 {
				found = fmt.Errorf("value %d of %s is %g", k, name, flat[k])
			}
		})
		if err := errors.Join(err, found); err != nil {
			return err
		}
	}
	return nil
}

// sumOfSizes is a scalar that is finite just if all of x is.
func sumOfSizes(x *Node) *Node { return ReduceAllSum(Abs(x)) }

// culprit names the first tensor that isn't finite in the next step's forward pass: the unit's inputs, or a layer's
// output; "": none is found.
func (r *Rounder) culprit() string {
	batch := r.draw(r.opt.done)
	part, err := r.part(r.opt.done, batch, 0, len(batch))
	defer exec.Free(part...)
	if err != nil {
		return ""
	}
	for i, what := range []string{"the unit's input", "the target", "the teacher's logits"} {
		if err := exec.FiniteRows(part[i], what, 0); err != nil {
			return what
		}
	}
	var names []string
	compiled, err := NewExec(r.q.b, func(args []*Node) []*Node { return r.sumsOfOutputs(args, &names) })
	if err != nil {
		return ""
	}
	defer compiled.Finalize()
	sums, err := exec.Call(compiled, r.opt.read(), part)
	defer exec.Free(sums...)
	if err != nil {
		return ""
	}
	for i, s := range sums {
		if x := tensors.ToScalar[float32](s); x-x != 0 {
			return "the output of " + names[i]
		}
	}
	return ""
}

// sumsOfOutputs is the graph of a forward pass that returns sumOfSizes of each layer's output, from the unit on,
// and their names; its arguments are those of gradients.
func (r *Rounder) sumsOfOutputs(args []*Node, names *[]string) (sums []*Node) {
	n := len(r.opt.vars)
	read, in, masks := r.opt.bind(args[:n]), args[n], args[n+3:]
	unit, last := r.q.folded.Units[r.d.Unit], len(r.q.folded.Layers)-1
	*names = nil
	look := func(h models.Hooks) models.Hooks {
		after := h.After
		h.After = func(l models.Layer, y *Node) *Node {
			if after != nil {
				y = after(l, y)
			}
			*names, sums = append(*names, l.Name), append(sums, sumOfSizes(y))
			return y
		}
		return h
	}
	y := r.q.folded.Forward(in, unit.First, unit.Last, look(r.trainingHooks(in.Graph(), read, masks)))
	if r.logits() && unit.Last < last {
		r.q.folded.Forward(y, unit.Last+1, last, look(models.Hooks{Param: exec.Constants(in.Graph(), r.q.weights)}))
	}
	return sums
}
