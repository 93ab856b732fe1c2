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

// NaN and infinity are looked for where they can come in: in weights, in the units' inputs and outputs, and in the loss
// and gradients of each step.

// finiteWeights returns an error if a weight isn't finite.
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

// sumOfMagnitudes returns Σ|x|, which is finite only if all of x is.
func sumOfMagnitudes(x *Node) *Node { return ReduceAllSum(Abs(x)) }

// firstNonFinite names the first tensor of the next step's forward pass that isn't finite: an input of the unit, or the
// output of a layer. It returns "" if there is none.
func (r *Rounder) firstNonFinite() string {
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

// sumsOfOutputs is the graph of a forward pass from the unit on. It returns sumOfMagnitudes of each layer's output, and
// sets names to the layers' names. Its arguments are those of optimiser.gradients.
func (r *Rounder) sumsOfOutputs(args []*Node, names *[]string) (sums []*Node) {
	n := len(r.opt.vars)
	read, in, masks := r.opt.bind(args[:n]), args[n], args[n+3:]
	unit, last := r.q.folded.Units[r.d.Unit], len(r.q.folded.Layers)-1
	*names = nil
	watched := func(h models.Hooks) models.Hooks {
		after := h.After
		h.After = func(l models.Layer, y *Node) *Node {
			if after != nil {
				y = after(l, y)
			}
			*names, sums = append(*names, l.Name), append(sums, sumOfMagnitudes(y))
			return y
		}
		return h
	}
	y := r.q.folded.Forward(in, unit.First, unit.Last, watched(r.trainingHooks(in.Graph(), read, masks)))
	if r.needsLogits() && unit.Last < last {
		r.q.folded.Forward(y, unit.Last+1, last, watched(models.Hooks{Param: exec.Constants(in.Graph(), r.q.weights)}))
	}
	return sums
}
