package export

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/models"
)

// kind adds what l computes of in as nodes of ONNX. The last one's result has the layer's name. A new kind of layer is
// one more case.
func (b *builder) kind(l models.Layer, in []string) error {
	y := l.Name
	switch op := l.Op.(type) {
	case models.Conv:
		attributes := append(window(op.Window), integer("group", op.Groups))
		if op.Bias {
			b.weighted(l, "Conv", in, attributes, op.Out, 1, 1)
		} else {
			b.weighted(l, "Conv", in, attributes)
		}
	case models.Linear:
		b.linear(l, in, op)
	case models.MatrixProduct:
		b.node("MatMul", y, b.ranked(l))
	case models.ReLU:
		b.node("Relu", y, in)
	case models.ReLU6:
		b.clip(y, in[0], 0, 6)
	case models.Levels:
		b.scaled("Div", y+".ratio", in[0], op.Scale)
		b.node("Round", y+".nearest", []string{y + ".ratio"})
		b.clip(y+".levels", y+".nearest", float32(op.Low), float32(op.High))
		b.scaled("Mul", y, y+".levels", op.Scale)
	case models.PReLU:
		b.node("PRelu", y, append(in, b.params(l, "weight")...))
	case models.Pointwise:
		return b.pointwise(y, in[0], op)
	case models.Sum:
		b.node("Add", y, in)
	case models.Binary:
		b.node(binaryOperator(op.Func), y, b.ranked(l))
	case models.WithConstant:
		b.withConstant(l, op)
	case models.Constant:
		b.node("Identity", y, []string{b.param(l, "value", append([]int{1}, op.Dims...)...)})
	case models.MaxPooling:
		b.node("MaxPool", y, in, window(op.Window)...)
	case models.AvgPooling:
		return b.averagePool(y, in, op)
	case models.GlobalAvgPooling:
		b.node("GlobalAveragePool", y+".mean", in)
		b.node("Flatten", y, []string{y + ".mean"})
	case models.SoftMax:
		kind := "Softmax"
		if op.Log {
			kind = "LogSoftmax"
		}
		b.node(kind, y, in, integer("axis", op.Axis+1))
	default:
		if !b.norm(l, in) && !b.move(l, in) {
			return fmt.Errorf("layers of the kind %s can't be written; add the kind to package export", op.Kind())
		}
	}
	return nil
}

// weighted adds a node that multiplies in by the weight of l, and one that adds the bias, if dims is its shape.
//
// As an input of the first, ONNX Runtime would round the bias to whole numbers of the input's scale times the weight's,
// which is coarse at 2 to 4 bits, to take integer arithmetic.
func (b *builder) weighted(l models.Layer, op string, in []string, attributes []*protos.AttributeProto, dims ...int) {
	in = append(in, b.params(l, "weight")...)
	if dims == nil {
		b.node(op, l.Name, in, attributes...)
		return
	}
	product := l.Name + ".product"
	b.node(op, product, in, attributes...)
	b.node("Add", l.Name, []string{product, b.param(l, "bias", dims...)})
}

// clip adds y = min(max(x, lo), hi).
func (b *builder) clip(y, x string, lo, hi float32) {
	b.node("Clip", y, []string{x, b.constant(floatTensor(y+".min", nil, []float32{lo})),
		b.constant(floatTensor(y+".max", nil, []float32{hi}))})
}

// linear adds x·Wᵀ + b, for images of any rank.
func (b *builder) linear(l models.Layer, in []string, op models.Linear) {
	if len(b.shapes[l.Inputs[0]]) == 1 {
		b.weighted(l, "Gemm", in, []*protos.AttributeProto{integer("transB", 1)}, op.Out)
		return
	}
	turned, product := l.Name+".turned", l.Name+".product"
	b.node("Transpose", turned, b.params(l, "weight"), ints("perm", 1, 0))
	b.node("MatMul", product, append(in, turned))
	b.node("Add", l.Name, []string{product, b.param(l, "bias", op.Out)})
}

// ranked returns the tensors that l reads, with axes of size 1 after the images so that all have the same rank.
func (b *builder) ranked(l models.Layer) []string {
	rank := 0
	for _, name := range l.Inputs {
		rank = max(rank, len(b.shapes[name]))
	}
	out := make([]string, len(l.Inputs))
	for i, name := range l.Inputs {
		out[i] = b.withRank(l, i, rank, b.shapes[name])
	}
	return out
}

// withRank returns input i of l, whose shape for one image is given, with axes of size 1 after the images.
func (b *builder) withRank(l models.Layer, i, rank int, shape []int) string {
	x := b.read[l.Inputs[i]]
	if len(shape) == rank {
		return x
	}
	to := append(slices.Repeat([]int{1}, rank-len(shape)), shape...)
	return b.reshape(fmt.Sprintf("%s.input%d", l.Name, i+1), x, to)
}

// reshape adds a node that gives each image of x the shape to, and returns its result, y.
func (b *builder) reshape(y, x string, to []int) string {
	shape := append([]int64{0}, int64s(to...)...) // 0: as x has
	b.node("Reshape", y, []string{x, b.constant(intTensor(y+".shape", shape...))})
	return y
}

func binaryOperator(f models.BinaryFunc) string {
	name := f.String()
	return strings.ToUpper(name[:1]) + name[1:]
}

// withConstant adds f(x, value).
func (b *builder) withConstant(l models.Layer, op models.WithConstant) {
	shape := b.shapes[l.Inputs[0]]
	args := []string{b.withRank(l, 0, max(len(shape), len(op.Dims)), shape), b.param(l, "value", op.Dims...)}
	if op.Flip {
		slices.Reverse(args)
	}
	b.node(binaryOperator(op.Func), l.Name, args)
}

// averagePool adds the mean of each window.
func (b *builder) averagePool(y string, in []string, op models.AvgPooling) error {
	w, count := op.Window, 0
	if op.CountPadding && w.Pad != (models.Padding{}) {
		if count = 1; op.Beyond != [2]int{} {
			return errors.New("a mean that counts padding, but not what lies beyond it, can't be written")
		}
	}
	w.Pad.Bottom += op.Beyond[0]
	w.Pad.Right += op.Beyond[1]
	attributes := window(w)
	if w.Dilation == [2]int{1, 1} {
		attributes = slices.DeleteFunc(attributes, func(a *protos.AttributeProto) bool { return a.Name == "dilations" })
	} else {
		b.needs(19)
	}
	b.node("AveragePool", y, in, append(attributes, integer("count_include_pad", count))...)
	return nil
}

// window returns the attributes of a window.
func window(w models.Window) []*protos.AttributeProto {
	return []*protos.AttributeProto{ints("kernel_shape", w.Kernel[:]...), ints("strides", w.Stride[:]...),
		ints("dilations", w.Dilation[:]...), ints("pads", w.Pad.Top, w.Pad.Left, w.Pad.Bottom, w.Pad.Right)}
}
