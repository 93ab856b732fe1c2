package pdq

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/models"
)

// ReconstructionLoss returns the squared error of a unit's output as a scalar: the sum over channels, the mean over
// images and positions. y and target are [N,C,H,W] or [N,C], with 1 as the axis of the channels; or of transformers,
// [N,L,C], with 2.
//
// Reference: lp_loss in quant/quant_layer.py, p=2.
func ReconstructionLoss(y, target *Node, channels int) *Node {
	perPosition := float64(y.Shape().Size() / y.Shape().Dim(channels))
	return DivScalar(ReduceAllSum(Square(Sub(y, target))), perPosition)
}

// PredictionDifference returns the scalar
//
//	KL(softmax(teacher/T) ‖ softmax(student/T))
//
// which is the mean over the batch. Both are logits [N,classes]. It is not symmetric: it weights classes by the
// teacher's prediction. As in the reference, there is no factor T².
//
// PD-Quant, section 3.2; reference: LossFunction in quant/block_recon.py.
func PredictionDifference(teacher, student *Node, t float64) *Node {
	return DivScalar(ReduceAllSum(differenceTerms(teacher, student, t)), float64(teacher.Shape().Dim(0)))
}

// differenceTerms returns terms [N,classes], whose sum over the classes is an image's prediction difference.
func differenceTerms(teacher, student *Node, t float64) *Node {
	p := LogSoftmax(DivScalar(teacher, t), -1)
	q := LogSoftmax(DivScalar(student, t), -1)
	return Mul(Exp(p), Sub(p, q))
}

// FeatureLoss returns the scalar
//
//	Σ(y - target)² / Σ target²
//
// where sums are over an image's features; it is the mean over images. y and target are [N,C,H,W] or [N,C].
//
// The idea of keeping the features before the classifier is from QFT (arXiv 2212.02634).
func FeatureLoss(y, target *Node) *Node {
	perImage := func(x *Node) *Node { return ReduceSum(Reshape(Square(x), x.Shape().Dim(0), -1), 1) }
	const least = 1e-6 // for images whose features are all 0
	return ReduceAllMean(Div(perImage(Sub(y, target)), MaxScalar(perImage(target), least)))
}

// RoundingLoss returns the scalar Σ(1 - |2h(α)-1|^β), which is 0 when every h(α) is 0 or 1. beta is a scalar without
// gradient. (AdaRound, section 4)
func RoundingLoss(alpha, beta *Node) *Node {
	u := AddScalar(MulScalar(RectifiedSigmoid(alpha, Pass), 2), -1)
	size := MaxScalar(Abs(u), 1e-30)
	power := Exp(Mul(beta, Log(size))) // ONNX Runtime's Pow takes eight times as long
	return ReduceAllSum(models.WithGradient(OneMinus(power), []*Node{u}, []func(v *Node) *Node{func(v *Node) *Node {
		slope := Mul(Div(power, size), Sign(u)) // |u|^(β-1)·sign(u), and 0 at 0
		return Neg(Mul(v, Mul(slope, beta)))
	}}))
}

// adam is one step of Adam (β 0.9 and 0.999, ε 1e-8, as torch.optim.Adam) on p, whose moments m and v have its shape.
// rate, c1 and c2 are scalars: the learning rate, and 1/(1-0.9^t) and 1/(1-0.999^t) at step t, counted from 1.
func adam(p, grad, m, v, rate, c1, c2 *Node) (p2, m2, v2 *Node) {
	m2 = Add(MulScalar(m, 0.9), MulScalar(grad, 0.1))
	v2 = Add(MulScalar(v, 0.999), MulScalar(Square(grad), 0.001))
	step := Div(Mul(m2, Mul(rate, c1)), AddScalar(Sqrt(Mul(v2, c2)), 1e-8))
	return Sub(p, step), m2, v2
}

// scalar returns element i of the vector v [K] as a float32 scalar.
func scalar(v *Node, i int) *Node {
	return ConvertDType(Reshape(Slice(v, AxisRange(i, i+1))), dtypes.Float32)
}
