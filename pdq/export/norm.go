package export

import (
	"slices"

	"github.com/pdquant/pdquant/models"
)

// norm adds what l computes of in, if it is a normalisation.
func (b *builder) norm(l models.Layer, in []string) bool {
	y := l.Name
	switch op := l.Op.(type) {
	case models.BatchNorm:
		b.node("BatchNormalization", y,
			append(in, b.params(l, "weight", "bias", "running_mean", "running_var")...), float("epsilon", op.Eps))
	case models.ScaleShift:
		b.perChannel(l, in[0], op.Channels)
	case models.LayerNorm:
		b.layerNorm(l, in, op)
	case models.RMSNorm:
		b.rmsNorm(l, in[0], op)
	case models.GroupNorm:
		ones, zeros := slices.Repeat([]float32{1}, op.Groups), make([]float32, op.Groups)
		b.node("InstanceNormalization", y+".normal", []string{b.reshape(y+".groups", in[0], []int{op.Groups, -1}),
			b.constant(floatTensor(y+".ones", []int{op.Groups}, ones)),
			b.constant(floatTensor(y+".zeros", []int{op.Groups}, zeros))}, float("epsilon", op.Eps))
		b.perChannel(l, b.reshape(y+".channels", y+".normal", b.shapes[l.Inputs[0]]), op.Channels)
	case models.LRN:
		b.node("LRN", y, in, float("alpha", op.Alpha), float("beta", op.Beta), float("bias", op.Bias),
			integer("size", op.Size))
	default:
		return false
	}
	return true
}

// perChannel adds x·weight + bias, where both are by channel.
func (b *builder) perChannel(l models.Layer, x string, channels int) {
	dims := slices.Repeat([]int{1}, len(b.shapes[l.Inputs[0]]))
	dims[0] = channels
	scaled := l.Name + ".scaled"
	b.node("Mul", scaled, []string{x, b.param(l, "weight", dims...)})
	b.node("Add", l.Name, []string{scaled, b.param(l, "bias", dims...)})
}

// layerNorm adds a normalisation over the last axes.
func (b *builder) layerNorm(l models.Layer, in []string, op models.LayerNorm) {
	b.needs(17)
	if op.Affine {
		in = append(in, b.params(l, "weight")...)
	} else {
		size := 1
		for _, d := range op.Dims {
			size *= d
		}
		in = append(in, b.constant(floatTensor(l.Name+".ones", op.Dims, slices.Repeat([]float32{1}, size))))
	}
	if op.Bias {
		in = append(in, b.params(l, "bias")...)
	}
	b.node("LayerNormalization", l.Name, in, integer("axis", -len(op.Dims)), float("epsilon", op.Eps))
}

// rmsNorm adds a division by the root mean square over the last axes.
func (b *builder) rmsNorm(l models.Layer, x string, op models.RMSNorm) {
	part := func(name string) string { return l.Name + "." + name }
	count, axes := 1, make([]int64, len(op.Dims))
	for i, d := range op.Dims {
		count *= d
		axes[i] = int64(i - len(op.Dims))
	}
	b.node("Mul", part("square"), []string{x, x})
	b.node("ReduceSum", part("sum"), []string{part("square"), b.constant(intTensor(part("axes"), axes...))},
		integer("keepdims", 1))
	b.scaled("Div", part("mean"), part("sum"), float64(count))
	b.scaled("Add", part("shifted"), part("mean"), op.Eps)
	b.node("Sqrt", part("root"), []string{part("shifted")})
	b.node("Div", part("normal"), []string{x, part("root")})
	b.node("Mul", l.Name, append([]string{part("normal")}, b.params(l, "weight")...))
}
