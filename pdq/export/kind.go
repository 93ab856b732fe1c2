package export

import (
	"math"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/models"
)

// kind adds what l computes of in as nodes of ONNX. The last one's result has the layer's name. A new kind of layer is
// one more case.
func (b *builder) kind(l models.Layer, in []string) error {
	switch op := l.Op.(type) {
	case models.Conv:
		attributes := append(window(op.Window), integer("group", op.Groups))
		if op.Bias {
			b.weighted(l, "Conv", in, attributes, op.Out, 1, 1)
		} else {
			b.weighted(l, "Conv", in, attributes)
		}
	case models.Linear:
		b.weighted(l, "Gemm", in, []*protos.AttributeProto{integer("transB", 1)}, op.Out)
	case models.BatchNorm:
		b.node("BatchNormalization", l.Name,
			append(in, b.params(l, "weight", "bias", "running_mean", "running_var")...), float("epsilon", op.Eps))
	case models.ReLU:
		b.node("Relu", l.Name, in)
	case models.ReLU6:
		b.clip(l.Name, in[0], 0, 6)
	case models.Sum:
		b.node("Add", l.Name, in)
	case models.PadShortcut:
		b.padShortcut(l.Name, in[0], op)
	case models.MaxPooling:
		b.node("MaxPool", l.Name, in, window(op.Window)...)
	case models.GlobalAvgPooling:
		b.node("GlobalAveragePool", l.Name+".mean", in)
		b.node("Flatten", l.Name, []string{l.Name + ".mean"})
	default:
		return noKind(op)
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

// padShortcut takes every Stride-th pixel, and pads the channels.
func (b *builder) padShortcut(y, x string, op models.PadShortcut) {
	if st := int64(op.Stride); st > 1 {
		picked := y + ".picked"
		b.node("Slice", picked, []string{x, b.constant(intTensor(y+".starts", 0, 0)),
			b.constant(intTensor(y+".ends", math.MaxInt64, math.MaxInt64)), b.constant(intTensor(y+".axes", 2, 3)),
			b.constant(intTensor(y+".steps", st, st))})
		x = picked
	}
	extra := int64(op.Out - op.In)
	b.node("Pad", y, []string{x, b.constant(intTensor(y+".pads", 0, extra/2, 0, 0, 0, extra-extra/2, 0, 0))})
}

// window returns the attributes of a window.
func window(w models.Window) []*protos.AttributeProto {
	return []*protos.AttributeProto{ints("kernel_shape", w.Kernel[:]...), ints("strides", w.Stride[:]...),
		ints("dilations", w.Dilation[:]...), ints("pads", w.Pad.Top, w.Pad.Left, w.Pad.Bottom, w.Pad.Right)}
}
