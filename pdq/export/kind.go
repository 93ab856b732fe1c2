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
		b.conv(l, in, op)
	case models.Linear:
		b.node("Gemm", l.Name, append(in, b.params(l, "weight", "bias")...), integer("transB", 1))
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

// conv adds a convolution. In the packed form the bias is added after it. Otherwise ONNX Runtime would take integer
// arithmetic, which has no types of 2 bits, so that version 1.30 couldn't load the model.
func (b *builder) conv(l models.Layer, in []string, op models.Conv) {
	in = append(in, b.params(l, "weight")...)
	attributes := append(window(op.Window), integer("group", op.Groups))
	switch {
	case !op.Bias:
		b.node("Conv", l.Name, in, attributes...)
	case b.form == Packed:
		product := l.Name + ".product"
		b.node("Conv", product, in, attributes...)
		b.node("Add", l.Name, []string{product, b.param(l, "bias", op.Out, 1, 1)})
	default:
		b.node("Conv", l.Name, append(in, b.params(l, "bias")...), attributes...)
	}
}

// clip adds y = min(max(x, lo), hi). In the packed form it isn't a Clip: ONNX Runtime 1.30 can't load a model with a
// Clip before a QuantizeLinear to 2 or 4 bits.
func (b *builder) clip(y, x string, lo, hi float32) {
	low := b.constant(floatTensor(y+".min", nil, []float32{lo}))
	high := b.constant(floatTensor(y+".max", nil, []float32{hi}))
	if b.form != Packed {
		b.node("Clip", y, []string{x, low, high})
		return
	}
	b.node("Max", y+".low", []string{x, low})
	b.node("Min", y, []string{y + ".low", high})
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
