package pdq

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// The schedule is the vector of all numbers that change from step to step. It has these after Adam's corrections.
const (
	rateAlpha = scheduleOwn + iota // learning rates
	rateScale
	roundBeta // β
	roundOn   // factor of the terms with Rounding: 0 during the warm-up, then 1
	scheduleLen
)

// schedule returns the schedule of step t, counted from 0. After Rounding.Steps, only Adam's corrections change.
func (r *Rounder) schedule(t int) []float32 {
	c := r.q.c.Rounding
	v := append(adamCorrections(t), make([]float32, scheduleLen-scheduleOwn)...)
	v[rateAlpha] = float32(c.LearningRate)
	v[rateScale] = float32(c.ScaleLearningRate * (1 + math.Cos(math.Pi*float64(min(t, c.Steps))/float64(c.Steps))) / 2)
	v[roundBeta] = float32(c.BetaStart)
	// The reference counts steps from 1 here.
	if warm := c.Warmup * float64(c.Steps); float64(t+1) >= warm {
		v[roundOn] = 1
		progress := (float64(t+1) - warm) / (float64(c.Steps) - warm)
		v[roundBeta] = float32(c.BetaEnd + (c.BetaStart-c.BetaEnd)*max(0, 1-progress))
	}
	return v
}

// The kinds of steps.
const (
	wholeStep = iota // all terms
	unitStep         // without those that read the student's logits
)

// lossGraphs returns the graphs of the terms with Outputs for each kind of step.
func (r *Rounder) lossGraphs() []lossGraph {
	kind := func(logits bool) lossGraph {
		return func(read nodes, part []*Node) (losses, watched *Node) { return r.losses(read, part, logits) }
	}
	return []lossGraph{wholeStep: kind(true), unitStep: kind(false)}
}

// advance computes step t, counted from 0, with batch, but doesn't change the variables. relative has the weights of
// the terms with Outputs. A negative t is a measurement without the terms with Rounding.
func (r *Rounder) advance(t int, batch []int, relative []float32) (stepResult, error) {
	schedule, kind := r.schedule(max(t, 0)), unitStep
	if t < 0 {
		schedule[roundOn] = 0
	}
	if r.predicts(t) {
		kind = wholeStep
	}
	factors, weights := r.factors(t, batch), slices.Clone(relative)
	for i, f := range factors {
		weights[i] *= f
	}
	taken, err := r.opt.advance(kind, schedule, func(lo, hi int) ([]*tensors.Tensor, error) {
		part, err := r.part(t, batch, lo, hi)
		return append(part, tensors.FromValue(weights)), err
	})
	for i, f := range factors {
		if err == nil {
			taken.report[i] /= f // the terms with their own weights
		}
	}
	return taken, err
}

// factors returns the factors by which step t multiplies the weights of the terms with Outputs. They are 1, but for
// terms that read the student's logits with Loss.Every or Loss.Reuse.
//
// With Loss.Every k, the factor is k in one of k steps, so that the gradients of k steps have the same sum. But Adam
// divides by the root of the mean square, which is √k times as large: where the term outweighs the others, it moves the
// variables √k times less.
func (r *Rounder) factors(t int, batch []int) []float32 {
	logits := 1.0
	if t >= 0 {
		logits = float64(max(r.q.c.Loss.Every, 1)) // for the steps without these terms
	}
	if r.kept != nil { // the mean is over images with kept gradients, too
		logits *= float64(r.predictions()) / float64(r.counted(batch))
	}
	factors := slices.Repeat([]float32{1}, len(r.outputs))
	for i, term := range r.outputs {
		if term.Logits {
			factors[i] = float32(logits)
		}
	}
	return factors
}

// needsLogits says whether a term reads the student's logits.
func (r *Rounder) needsLogits() bool {
	return slices.ContainsFunc(r.outputs, func(t Term) bool { return t.Logits })
}

// losses is the graph of the terms with Outputs on a part of the batch, without those that read the student's logits
// unless logits is set. read has the soft weights and activation scales; part has the tensors of Rounder.part, then the
// weights of the terms. It returns what this part adds to the means over the batch, 0 for terms left out, and with
// Loss.Reuse the unit's output for the images whose logits are read, for its gradient.
func (r *Rounder) losses(read nodes, part []*Node, logits bool) (losses, watched *Node) {
	in, target, teacher, masks, weight := part[0], part[1], part[2], part[3:len(part)-1], part[len(part)-1]
	g, images, predicted := in.Graph(), target.Shape().Dim(0), teacher.Shape().Dim(0)
	unit := r.q.folded.Units[r.d.Unit]
	y := r.q.folded.Forward(in, unit.First, unit.Last, r.trainingHooks(g, read, masks))
	first := 0 // of the images whose logits are read: in the second pass, if there is one
	if in.Shape().Dim(0) > images {
		first = images
	}
	if logits && r.kept != nil && predicted < images {
		y = withGradients(y, first+predicted, part[len(part)-2])
	}
	v := Outputs{Student: imageRange(y, 0, images), Teacher: target,
		Channels: channelAxis(r.q.folded, unit, y.Rank()), TeacherLogits: teacher}
	if logits {
		undropped := imageRange(y, first, first+predicted)
		if r.kept != nil {
			undropped = IdentityWithCustomGradient(undropped, func(_, v *Node) *Node { return v }) // nothing else reads it
			watched = undropped
		}
		v.StudentLogits = r.q.folded.Forward(undropped, unit.Last+1, len(r.q.folded.Layers)-1,
			models.Hooks{Param: exec.Constants(g, r.q.weights)})
	}
	var terms []*Node
	for _, t := range r.outputs {
		share := float64(images) / float64(r.opt.size)
		switch {
		case t.Logits && !logits:
			terms = append(terms, Scalar(g, dtypes.Float32, 0))
			continue
		case t.Logits:
			share = float64(predicted) / float64(r.predictions())
		}
		terms = append(terms, MulScalar(t.Outputs(v), share))
	}
	return Mul(Stack(terms, 0), weight), watched
}

// withGradients returns y [N,...], whose images from first on get the gradients added that are given [n,...]. That is
// the gradient of a loss that is linear in y; its value isn't added to any loss.
func withGradients(y *Node, first int, gradients *Node) *Node {
	before := y.Shape().Clone()
	before.Dimensions[0] = first
	added := Concatenate([]*Node{Zeros(y.Graph(), before), gradients}, 0)
	return IdentityWithCustomGradient(y, func(_, v *Node) *Node { return Add(v, added) })
}

// imageRange returns images lo to hi-1 of x [N,...].
func imageRange(x *Node, lo, hi int) *Node {
	if lo == 0 && hi == x.Shape().Dim(0) {
		return x
	}
	return SliceAxis(x, 0, AxisRange(lo, hi))
}

// channelAxis returns the axis that has the channels of a unit's output, which has rank axes: that of its last weight.
func channelAxis(n *models.Network, u models.Unit, rank int) int {
	for i := u.Last; i >= u.First; i-- {
		switch role := n.Layers[i].Op.Role(); {
		case role.Weight && role.Last:
			return rank - 1
		case role.Weight:
			return 1
		}
	}
	return 1
}

// penalty is the graph of the terms with Rounding.
func (r *Rounder) penalty(values nodes, schedule *Node) *Node {
	all := Scalar(schedule.Graph(), dtypes.Float32, 0)
	for _, t := range r.rounding {
		sum := Scalar(schedule.Graph(), dtypes.Float32, 0)
		for _, v := range r.weights {
			sum = Add(sum, t.Rounding(values[v.variable], scalar(schedule, roundBeta)))
		}
		all = Add(all, MulScalar(sum, t.Weight))
	}
	return Mul(all, scalar(schedule, roundOn))
}

// trainingHooks returns the hooks of the unit's forward pass with the soft weights and activation scales in training.
// Where a mask is false, the activation isn't quantised.
func (r *Rounder) trainingHooks(g *Graph, read nodes, masks []*Node) models.Hooks {
	fixed := exec.Constants(g, r.biased)
	soft, scales, keep := map[string]*Node{}, map[string]*Node{}, map[string]*Node{}
	for _, v := range r.weights {
		soft[v.layer+".weight"] = read[v.variable]
	}
	for i, v := range r.acts {
		scales[v.layer] = read[v.variable]
		if r.drops() {
			keep[v.layer] = ConvertDType(masks[i], dtypes.Float32)
		}
	}
	return models.Hooks{
		Param: func(name string) *Node {
			if w, ok := soft[name]; ok {
				return w
			}
			return fixed(name)
		},
		After: func(l models.Layer, y *Node) *Node {
			scale, ok := scales[l.Name]
			if !ok {
				return y
			}
			levels := r.s.Acts[l.Name].levels(l, r.q.c.Rounding.ActEdges)
			if k, ok := keep[l.Name]; ok {
				return levels.dropQuantize(y, scale, k)
			}
			return levels.quantize(y, scale)
		},
	}
}

// softWeight is the graph of the weight of the layer called name, given its rounding variables alpha. If their learning
// rate is 0, the weight is rounded to nearest.
func (r *Rounder) softWeight(name string, alpha *Node) *Node {
	g := alpha.Graph()
	q, w := r.s.Weights[name], r.q.weights[name+".weight"]
	if r.q.c.Rounding.LearningRate == 0 {
		t, err := q.Dequantize(w)
		if err != nil {
			panic(err)
		}
		return ConstTensor(g, t)
	}
	flat := tensors.MustCopyFlatData[float32](w)
	per := len(flat) / len(q.Scale)
	for i, x := range flat {
		flat[i] = float32(math.Floor(float64(x/q.Scale[i/per]))) + q.Zero[i/per]
	}
	base := ConstTensor(g, tensors.FromFlatDataAndDimensions(flat, rows(w)...))
	soft := SoftRound(base, alpha, column(g, q.Scale), column(g, q.Zero), q.Bits, r.q.c.Rounding.WeightEdges)
	return Reshape(soft, w.Shape().Dimensions...)
}
