package pdq

import (
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// variable describes the i-th variable.
func (t *tuner) variable(i int) string {
	switch n := len(t.weights); {
	case i < n:
		return "levels of " + t.weights[i]
	case i < 2*n:
		return "weight scales of " + t.weights[i-n]
	case i < 2*n+len(t.acts):
		return "scale of " + t.acts[i-2*n] + "'s output"
	default:
		return "bias of " + t.biases[i-2*n-len(t.acts)]
	}
}

// bias is that of the layer called name before it is trained, and its root mean square, in which it is trained.
func (t *tuner) bias(name string) (values []float32, size float32) {
	values = t.s.Weights[name].Bias
	if values == nil {
		values = tensors.MustCopyFlatData[float32](t.q.weights[name+".bias"])
	}
	sum := 0.0
	for _, b := range values {
		sum += float64(b) * float64(b)
	}
	return values, float32(math.Sqrt(sum / float64(len(values))))
}

// schedule returns the numbers of the next step: the three learning rates, and Adam's corrections.
func (t *tuner) schedule() []float32 {
	c, n := t.q.c.FineTune, float64(t.done+1)
	share := (1 + math.Cos(math.Pi*float64(t.done)/float64(c.Steps))) / 2
	if warm := c.Warmup * float64(c.Steps); n < warm {
		share *= n / warm
	}
	return []float32{float32(c.LearningRate * share), float32(c.ScaleLearningRate * share), float32(c.BiasLearningRate * share),
		float32(1 / (1 - math.Pow(0.9, n))), float32(1 / (1 - math.Pow(0.999, n)))}
}

// rate is the learning rate of the i-th variable, and whether it is trained at all.
func (t *tuner) rate(schedule *Node, i int) (rate *Node, trained bool) {
	c, n := t.q.c.FineTune, len(t.weights)
	switch {
	case i < n:
		return scalar(schedule, 0), c.LearningRate > 0
	case i < 2*n:
		return DivScalar(scalar(schedule, 1), outermost(t.s.Weights[t.weights[i-n]].Bits)), c.ScaleLearningRate > 0
	case i < 2*n+len(t.acts):
		return DivScalar(scalar(schedule, 1), outermost(t.s.Acts[t.acts[i-2*n]].Bits)), c.ScaleLearningRate > 0
	default:
		return scalar(schedule, 2), true
	}
}

// outermost is how many levels above the lowest the highest is.
func outermost(bits int) float64 { return float64(int(1)<<bits - 1) }

// whole is the graph of one step: of state, schedule and images.
func (t *tuner) whole(args []*Node) []*Node {
	n := len(t.state)
	return t.apply(slices.Concat(args[:n+1], t.gradients(slices.Concat(values(args[:n]), args[n+1:]))))
}

// gradients is the graph of a part of the batch: of the variables' values and images. It returns their gradients,
// and the losses of features and prediction [2], as this part adds to those of the batch.
func (t *tuner) gradients(args []*Node) []*Node {
	vars, x := args[:len(args)-1], args[len(args)-1]
	teacherFeatures, teacher := t.forward(x, models.Hooks{Param: constants(x.Graph(), t.q.weights)})
	features, student := t.forward(x, t.hooks(x.Graph(), vars))
	pd := PredictionDifference(StopGradient(teacher), student, t.q.c.Loss.Temperature)
	kept := Scalar(x.Graph(), dtypes.Float32, 0)
	if w := t.q.c.FineTune.Features; w > 0 {
		kept = MulScalar(FeatureLoss(features, StopGradient(teacherFeatures)), w)
	}
	losses := MulScalar(Stack([]*Node{kept, pd}, 0), float64(x.Shape().Dim(0))/float64(t.size()))
	return append(Gradient(ReduceAllSum(losses), vars...), losses)
}

// forward returns what the last unit reads, and the logits.
func (t *tuner) forward(x *Node, h models.Hooks) (features, logits *Node) {
	n := t.q.folded
	head := n.Units[len(n.Units)-1]
	features = n.Forward(x, 0, head.First-1, h)
	return features, n.Forward(features, head.First, head.Last, h)
}

// hooks are those of the student's forward pass.
func (t *tuner) hooks(g *Graph, vars []*Node) models.Hooks {
	fixed, n := constants(g, t.q.weights), len(t.weights)
	weights, scales := map[string]*Node{}, map[string]*Node{}
	for i, name := range t.weights {
		wq := t.s.Weights[name]
		dims := channelDims(t.q.weights[name+".weight"])
		scale := ConstTensor(g, tensors.FromFlatDataAndDimensions(wq.Scale, dims...))
		zero := ConstTensor(g, tensors.FromFlatDataAndDimensions(wq.Zero, dims...))
		level := levelRange(0, wq.Bits).quantize(vars[i], Scalar(g, dtypes.Float32, 1))
		weights[name+".weight"] = Mul(Sub(level, zero), Mul(scale, Exp(vars[n+i])))
	}
	for i, name := range t.biases {
		was, size := t.bias(name)
		added := vars[2*n+len(t.acts)+i]
		weights[name+".bias"] = Add(ConstTensor(g, tensors.FromFlatDataAndDimensions(was, len(was))), MulScalar(added, float64(size)))
	}
	for i, name := range t.acts {
		scales[name] = MulScalar(Exp(vars[2*n+i]), float64(t.s.Acts[name].Scale))
	}
	return models.Hooks{
		Param: func(name string) *Node {
			if w, ok := weights[name]; ok {
				return w
			}
			return fixed(name)
		},
		After: func(l models.Layer, y *Node) *Node {
			if scale, ok := scales[l.Name]; ok {
				return t.s.Acts[l.Name].levels(l).quantize(y, scale)
			}
			return y
		},
	}
}

// apply is the graph that ends a step: of state, schedule, and what gradients returned for each part of the batch. It
// returns the state after one step of Adam and a vector: both losses, and for each variable the sum of its gradient's sizes.
func (t *tuner) apply(args []*Node) []*Node {
	n := len(t.state)
	schedule, grads := args[n], sumParts(args[n+1:], n/3+1)
	var next []*Node
	report := []*Node{grads[n/3]}
	for i, p := range values(args[:n]) {
		rate, trained := t.rate(schedule, i)
		report = append(report, Reshape(sumOfSizes(grads[i]), 1))
		if !trained {
			next = append(next, args[3*i:3*i+3]...)
			continue
		}
		p, m, v := adam(p, grads[i], args[3*i+1], args[3*i+2], rate, scalar(schedule, 3), scalar(schedule, 4))
		if i < len(t.weights) { // beyond the outermost levels there is nothing to come back from
			p = MinScalar(MaxScalar(p, -0.45), outermost(t.s.Weights[t.weights[i]].Bits)+0.45)
		}
		next = append(next, p, m, v)
	}
	return append(next, Concatenate(report, 0))
}
