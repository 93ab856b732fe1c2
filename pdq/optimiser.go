package pdq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// variable is a tensor that an optimisation trains by Adam.
type variable struct {
	name      string  // for messages: "rounding variables of layer1.0.conv1"
	rate      int     // index of its learning rate in the schedule
	divisor   float64 // its learning rate is divided by this; 0: it isn't
	low, high float64 // bounds of its values; ±Inf: none
	fixed     bool    // whether its value stays as it is

	// derive is the graph from the value, and the values of with, to the tensor that the forward pass reads in place of
	// the value; nil: it reads the value.
	derive func(values nodes) *Node
	with   []*variable

	value, mean, square *tensors.Tensor // the value and Adam's two moments
	made                *tensors.Tensor // the result of derive; nil: there is none
}

// newVariable returns a variable without bounds that starts at value.
func newVariable(name string, value *tensors.Tensor, rate int) *variable {
	zeros := func() *tensors.Tensor { return tensors.FromShape(value.Shape()) }
	return &variable{name: name, rate: rate, low: math.Inf(-1), high: math.Inf(1),
		value: value, mean: zeros(), square: zeros()}
}

// rows returns the dimensions of the weight w [O,...] as a matrix [O,n]. Variables of weights have this shape: ONNX
// Runtime combines [O,I,1,1] with a scalar or with [O,1,1,1] element by element, at some 100 ns each.
func rows(w *tensors.Tensor) []int { return []int{w.Shape().Dim(0), w.Size() / w.Shape().Dim(0)} }

// column returns one number for each of a weight's rows as a constant [O,1].
func column(g *Graph, numbers []float32) *Node {
	return ConstTensor(g, tensors.FromFlatDataAndDimensions(numbers, len(numbers), 1))
}

// nodes are the variables' tensors in a graph.
type nodes map[*variable]*Node

// optimiser trains variables jointly by steps of Adam. Rounding and fine-tuning use it.
type optimiser struct {
	b    compute.Backend
	vars []*variable
	size int // images of a batch
	done int // steps taken

	closed bool

	losses []lossGraph // one for each kind of step
	// penalty is the graph of another loss, a scalar that depends only on the variables' values; nil: there is none.
	penalty func(values nodes, schedule *Node) *Node

	graphs []exec.StepGraphs // one for each kind of step
}

// lossGraph is the graph of the losses of a part of a batch. read has the tensors that the forward pass reads, part
// those of the part's images. losses is a vector. The batch's losses are the sum of these over its parts. A step also
// returns the gradients of the losses for watched, part by part; nil: there are none.
type lossGraph func(read nodes, part []*Node) (losses, watched *Node)

// start compiles the graphs of a step, whose batch is cut into parts. Set all other fields before.
func (o *optimiser) start(workers, parts int) (err error) {
	for _, losses := range o.losses {
		graphs, err := exec.NewStepGraphs(o.b, workers, parts,
			func(args []*Node) []*Node { return o.whole(losses, args) },
			func(args []*Node) []*Node { return o.gradients(losses, args) }, o.apply)
		o.graphs = append(o.graphs, graphs)
		if err != nil {
			return err
		}
	}
	made, err := o.deriveAll(o.state())
	for i, v := range o.derived() {
		if err == nil {
			v.made = made[i]
		}
	}
	return err
}

// derived lists the variables that have derive.
func (o *optimiser) derived() []*variable {
	return slices.DeleteFunc(slices.Clone(o.vars), func(v *variable) bool { return v.derive == nil })
}

// idle says whether no step would change anything.
func (o *optimiser) idle() bool {
	return !slices.ContainsFunc(o.vars, func(v *variable) bool { return !v.fixed })
}

// sources lists the variables whose values derive takes.
func (v *variable) sources() []*variable { return append([]*variable{v}, v.with...) }

// constant says whether the result of derive never changes.
func (v *variable) constant() bool {
	return !slices.ContainsFunc(v.sources(), func(w *variable) bool { return !w.fixed })
}

// state returns all tensors that a step replaces: value and moments of each variable, then the results of derive.
func (o *optimiser) state() []*tensors.Tensor {
	var all []*tensors.Tensor
	for _, v := range o.vars {
		all = append(all, v.value, v.mean, v.square)
	}
	for _, v := range o.derived() {
		if v.made != nil {
			all = append(all, v.made)
		}
	}
	return all
}

// replace frees the state and replaces it with next, which is ordered as state orders it.
func (o *optimiser) replace(next []*tensors.Tensor) {
	exec.Free(o.state()...)
	for i, v := range o.vars {
		v.value, v.mean, v.square = next[3*i], next[3*i+1], next[3*i+2]
	}
	for i, v := range o.derived() {
		v.made = next[3*len(o.vars)+i]
	}
}

// read returns, for each variable, the tensor that the forward pass reads.
func (o *optimiser) read() []*tensors.Tensor {
	var all []*tensors.Tensor
	for _, v := range o.vars {
		if v.derive != nil {
			all = append(all, v.made)
		} else {
			all = append(all, v.value)
		}
	}
	return all
}

// bind assigns the nodes ns to the variables in their order.
func (o *optimiser) bind(ns []*Node) nodes {
	bound := nodes{}
	for i, v := range o.vars {
		bound[v] = ns[i]
	}
	return bound
}

// steps takes n steps and returns the loss of the last one. After an error, the variables are as before the failed
// step.
func (o *optimiser) steps(ctx context.Context, n int, step func() (Loss, error), tell func(Loss)) (l Loss, err error) {
	if err := o.inUse(); err != nil {
		return l, err
	}
	for range n {
		if err := ctx.Err(); err != nil {
			return l, err
		}
		if l, err = step(); err != nil {
			return l, fmt.Errorf("step %d: %w", o.done+1, err)
		}
		o.done++
		tell(l)
	}
	return l, nil
}

// stepResult is what a step computes.
type stepResult struct {
	next    []*tensors.Tensor // the next state
	report  []float32         // see apply
	watched []*tensors.Tensor // gradients, part by part, see lossGraph
}

// free frees the tensors of a result.
func (s stepResult) free() { exec.Free(slices.Concat(s.next, s.watched)...) }

// advance computes a step of a kind, which is an index of losses, but doesn't change the variables. part makes the
// tensors that losses takes for images lo to hi-1 of the batch.
func (o *optimiser) advance(kind int, schedule []float32, part func(lo, hi int) ([]*tensors.Tensor, error)) (
	s stepResult, err error) {
	out, watched, err := o.graphs[kind].Step(o.b, o.state(), o.read(), schedule, o.size, part)
	if err != nil {
		return s, err
	}
	n := len(out) - 1
	defer exec.Free(out[n])
	s.next, s.watched = out[:n], watched
	if s.report, err = tensors.CopyFlatData[float32](out[n]); err != nil {
		s.free()
	}
	return s, err
}

// whole is the graph of one step for a whole batch. Its arguments are state, schedule, and the tensors of the batch. It
// returns the results of apply, then the gradients for what losses watches.
func (o *optimiser) whole(losses lossGraph, args []*Node) []*Node {
	n := 3 * len(o.vars)
	var read []*Node
	for i, v := range o.vars {
		if v.derive != nil {
			read, n = append(read, args[n]), n+1
		} else {
			read = append(read, args[3*i])
		}
	}
	grads := o.gradients(losses, slices.Concat(read, args[n+1:]))
	sums := len(o.vars) + 1
	return append(o.apply(slices.Concat(args[:n+1], grads[:sums])), grads[sums:]...)
}

// gradients is the graph of the gradients on a part of a batch. Its arguments are the tensors of read, then those of
// the part. It returns the gradients for the tensors of read, the losses, and the gradients for what losses watches.
func (o *optimiser) gradients(losses lossGraph, args []*Node) []*Node {
	read, part := args[:len(o.vars)], args[len(o.vars):]
	values, watched := losses(o.bind(read), part)
	of := slices.Clone(read)
	if watched != nil {
		of = append(of, watched)
	}
	return slices.Insert(Gradient(ReduceAllSum(values), of...), len(read), values)
}

// apply is the graph that ends a step. Its arguments are state, schedule, and the results of gradients for each part of
// the batch. It returns the next state and the report, a vector: the losses, the penalty if there is one, and the sum
// of magnitudes of each variable's gradient.
func (o *optimiser) apply(args []*Node) []*Node {
	made := 3 * len(o.vars)
	n := made + len(o.derived())
	schedule, grads := args[n], sumParts(args[n+1:], len(o.vars)+1)
	values := make([]*Node, len(o.vars))
	for i := range o.vars {
		values[i] = args[3*i]
	}
	before := o.bind(values)
	report := []*Node{grads[len(o.vars)]}
	penalty := Scalar(schedule.Graph(), schedule.DType(), 0)
	if o.penalty != nil {
		penalty = o.penalty(before, schedule)
		report = append(report, Reshape(penalty, 1))
	}
	o.chain(penalty, before, grads)
	var next []*Node
	for i, v := range o.vars {
		next = append(next, v.adam(args[3*i], grads[i], args[3*i+1], args[3*i+2], schedule)...)
		report = append(report, Reshape(sumOfMagnitudes(grads[i]), 1))
	}
	for i := range o.vars {
		values[i] = next[3*i]
	}
	after := o.bind(values)
	for i, v := range o.derived() {
		if v.constant() {
			next = append(next, args[made+i])
		} else {
			next = append(next, v.derive(after))
		}
	}
	return append(next, Concatenate(report, 0))
}

// chain replaces gradients for the results of derive by gradients for the values they are derived from, and adds the
// penalty's.
func (o *optimiser) chain(penalty *Node, values nodes, grads []*Node) {
	through, direct, behind := penalty, o.bind(grads), map[*variable]bool{}
	for _, v := range o.derived() {
		if !v.constant() {
			through = Add(through, ReduceAllSum(Mul(v.derive(values), StopGradient(direct[v]))))
			delete(direct, v)
			for _, w := range v.sources() {
				behind[w] = true
			}
		}
	}
	var of []*Node
	var at []int
	for i, v := range o.vars {
		if behind[v] {
			of, at = append(of, values[v]), append(at, i)
		}
	}
	if of == nil {
		return
	}
	for k, g := range Gradient(through, of...) {
		if d, ok := direct[o.vars[at[k]]]; ok {
			g = Add(d, g)
		}
		grads[at[k]] = g
	}
}

// adam is the graph of a step of v. It returns the new value and moments.
func (v *variable) adam(value, grad, mean, square, schedule *Node) []*Node {
	if v.fixed {
		return []*Node{value, mean, square}
	}
	rate := scalar(schedule, v.rate)
	if v.divisor != 0 {
		rate = DivScalar(rate, v.divisor)
	}
	value, mean, square = adam(value, grad, mean, square, rate, scalar(schedule, adamFirst), scalar(schedule, adamSecond))
	if !math.IsInf(v.low, -1) {
		value = MaxScalar(value, v.low)
	}
	if !math.IsInf(v.high, 1) {
		value = MinScalar(value, v.high)
	}
	return []*Node{value, mean, square}
}

// The schedule of every optimisation begins with Adam's corrections of the moments.
const (
	adamFirst = iota
	adamSecond
	scheduleOwn // the first number that an optimisation adds
)

// adamCorrections returns Adam's corrections at step t, counted from 0.
func adamCorrections(t int) []float32 {
	n := float64(t + 1)
	return []float32{float32(1 / (1 - math.Pow(0.9, n))), float32(1 / (1 - math.Pow(0.999, n)))}
}

// sumParts adds up lists of n nodes each, which follow each other in ns.
func sumParts(ns []*Node, n int) []*Node {
	sum := slices.Clone(ns[:n])
	for i, x := range ns[n:] {
		sum[i%n] = Add(sum[i%n], x)
	}
	return sum
}

// inUse is an error after close.
func (o *optimiser) inUse() error {
	if o.closed {
		return errors.New("the optimisation was closed; close it after its last use, or start another")
	}
	return nil
}

// close frees graphs and variables. Further calls do nothing.
func (o *optimiser) close() {
	if o.closed {
		return
	}
	o.closed = true
	for _, g := range o.graphs {
		g.Finalize()
	}
	exec.Free(o.state()...)
}

// OptimiserState is the state of an optimisation. It can be restored in an optimisation of the same unit and student
// with the same terms switched on.
type OptimiserState struct {
	Done int // steps taken
	// For each variable, its value and Adam's two moments; rounding variables before activation scales. With Loss.Reuse,
	// then how old each image's gradient is, and the gradients.
	Values [][]float32
}

// snapshot returns the state of o.
func (o *optimiser) snapshot() (OptimiserState, error) {
	s := OptimiserState{Done: o.done}
	if err := o.inUse(); err != nil {
		return s, err
	}
	for _, v := range o.vars {
		for _, t := range []*tensors.Tensor{v.value, v.mean, v.square} {
			x, err := tensors.CopyFlatData[float32](t)
			if err != nil {
				return s, err
			}
			s.Values = append(s.Values, x)
		}
	}
	return s, nil
}

// restore puts o back to state s. If s has other variables, it returns an error and leaves o as it is.
func (o *optimiser) restore(s OptimiserState) error {
	if err := o.inUse(); err != nil {
		return err
	}
	if len(s.Values) != 3*len(o.vars) || s.Done < 0 {
		return fmt.Errorf("the state holds %d variables after %d steps; there are %d variables",
			len(s.Values)/3, s.Done, len(o.vars))
	}
	var next []*tensors.Tensor
	for i, x := range s.Values {
		v := o.vars[i/3]
		if len(x) != v.value.Size() {
			exec.Free(next...)
			return fmt.Errorf("the %s have %d elements in the state; they should have %d", v.name, len(x), v.value.Size())
		}
		next = append(next, tensors.FromFlatDataAndDimensions(slices.Clone(x), v.value.Shape().Dimensions...))
	}
	made, err := o.deriveAll(next)
	if err != nil {
		exec.Free(next...)
		return err
	}
	o.replace(append(next, made...))
	o.done = s.Done
	return nil
}

// deriveAll returns the results of derive for a state, which is ordered as state orders it.
func (o *optimiser) deriveAll(state []*tensors.Tensor) ([]*tensors.Tensor, error) {
	if len(o.derived()) == 0 {
		return nil, nil
	}
	var values []*tensors.Tensor
	for i := range o.vars {
		values = append(values, state[3*i])
	}
	compiled, err := NewExec(o.b, func(values []*Node) []*Node {
		var made []*Node
		bound := o.bind(values)
		for _, v := range o.derived() {
			made = append(made, v.derive(bound))
		}
		return made
	})
	if err != nil {
		return nil, err
	}
	defer compiled.Finalize()
	return exec.Call(compiled, values)
}
