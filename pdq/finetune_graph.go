package pdq

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// The schedule has these learning rates after Adam's corrections.
const (
	ratePlaces = scheduleOwn + iota
	rateScales
	rateBiases
)

// bias returns the bias that the layer called name has before training, and its root mean square, in units of which it
// is trained.
func (t *fineTuner) bias(name string) (values []float32, size float32) {
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

// schedule returns Adam's corrections and the learning rates of the next step.
func (t *fineTuner) schedule() []float32 {
	c, n := t.q.c.FineTune, float64(t.opt.done+1)
	decay := (1 + math.Cos(math.Pi*float64(t.opt.done)/float64(c.Steps))) / 2
	if warm := c.Warmup * float64(c.Steps); n < warm {
		decay *= n / warm
	}
	return append(adamCorrections(t.opt.done),
		float32(c.LearningRate*decay), float32(c.ScaleLearningRate*decay), float32(c.BiasLearningRate*decay))
}

// outermost returns the number of the highest level; the lowest is 0.
func outermost(bits int) float64 { return math.Ldexp(1, bits) - 1 }

// losses is the graph of the losses of features and predictions [2], as a part of the batch adds them to those of the
// batch. part holds the part's images.
func (t *fineTuner) losses(read nodes, part []*Node) (losses, watched *Node) {
	x := part[0]
	teacherFeatures, teacher := t.forward(x, models.Hooks{Param: exec.Constants(x.Graph(), t.q.weights)})
	features, student := t.forward(x, t.hooks(x.Graph(), read))
	pd := PredictionDifference(StopGradient(teacher), student, t.q.c.Loss.Temperature)
	featureLoss := Scalar(x.Graph(), dtypes.Float32, 0)
	if w := t.q.c.FineTune.Features; w > 0 {
		featureLoss = MulScalar(FeatureLoss(features, StopGradient(teacherFeatures)), w)
	}
	return MulScalar(Stack([]*Node{featureLoss, pd}, 0), float64(x.Shape().Dim(0))/float64(t.opt.size)), nil
}

// forward returns the features, which are the last unit's input, and the logits.
func (t *fineTuner) forward(x *Node, h models.Hooks) (features, logits *Node) {
	n := t.q.folded
	head := n.Units[len(n.Units)-1]
	features = n.Forward(x, 0, head.First-1, h)
	return features, n.Forward(features, head.First, head.Last, h)
}

// deriveWeight makes each step derive the layer's quantised weight from its variables, as a matrix of rows. Anew in
// each part of a batch, that would take an eighth of the time that EfficientNet-Lite0 takes for one image.
func (t *fineTuner) deriveWeight(l tunedLayer) {
	wq, edges := t.s.Weights[l.name], t.q.c.FineTune.WeightEdges
	l.places.with = []*variable{l.scales}
	l.places.derive = func(values nodes) *Node {
		places := values[l.places]
		g := places.Graph()
		level := levelRange(0, wq.Bits, edges).quantize(places, Scalar(g, dtypes.Float32, 1))
		return Mul(Sub(level, column(g, wq.Zero)), Mul(column(g, wq.Scale), Exp(values[l.scales])))
	}
}

// hooks returns the hooks of the student's forward pass, given what it reads.
func (t *fineTuner) hooks(g *Graph, read nodes) models.Hooks {
	fixed := exec.Constants(g, t.q.withBiases(t.s))
	weights, scales := map[string]*Node{}, map[string]*Node{}
	for _, l := range t.layers {
		weights[l.name+".weight"] = Reshape(read[l.places], t.q.weights[l.name+".weight"].Shape().Dimensions...)
		if l.biases != nil {
			was, size := t.bias(l.name)
			start := ConstTensor(g, tensors.FromFlatDataAndDimensions(was, len(was)))
			weights[l.name+".bias"] = Add(start, MulScalar(read[l.biases], float64(size)))
		}
	}
	for _, v := range t.acts {
		scales[v.layer] = MulScalar(Exp(read[v.variable]), float64(t.s.Acts[v.layer].Scale))
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
				return t.s.Acts[l.Name].levels(l, t.q.c.FineTune.ActEdges).quantize(y, scale)
			}
			return y
		},
	}
}
