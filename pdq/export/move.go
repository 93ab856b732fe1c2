package export

import (
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/models"
)

// move adds what l computes of in, if it moves, picks or reduces numbers.
func (b *builder) move(l models.Layer, in []string) bool {
	y, shape := l.Name, []int(nil)
	if len(l.Inputs) > 0 {
		shape = b.shapes[l.Inputs[0]]
	}
	switch op := l.Op.(type) {
	case models.PadShortcut:
		b.padShortcut(y, in[0], op)
	case models.PadAxes:
		b.pad(y, in[0], op)
	case models.Reshaping:
		b.reshape(y, in[0], op.To)
	case models.Transposing:
		perm := []int{0}
		for _, axis := range op.Perm {
			perm = append(perm, axis+1)
		}
		b.node("Transpose", y, in, ints("perm", perm...))
	case models.Concat:
		b.node("Concat", y, b.forAllImages(l, in), integer("axis", op.Axis+1))
	case models.Expand:
		x := b.withRank(l, 0, len(op.To), shape)
		b.node("Expand", y, []string{x, b.constant(intTensor(y+".shape", append([]int64{1}, int64s(op.To...)...)...))})
	case models.Tile:
		b.node("Tile", y, []string{in[0],
			b.constant(intTensor(y+".repeats", append([]int64{1}, int64s(op.Repeats...)...)...))})
	case models.Slicing:
		stop := int64(op.Stop)
		if stop < 0 { // before position 0
			stop = math.MinInt64
		}
		b.slice(y, in[0], []int64{int64(op.Start)}, []int64{stop}, []int64{int64(op.Axis + 1)}, []int64{int64(op.Step)})
	case models.Gathering:
		indices := intTensor(y+".indices", int64s(op.Indices...)...)
		if op.Drop {
			indices.Dims = nil
		}
		b.node("Gather", y, []string{in[0], b.constant(indices)}, integer("axis", op.Axis+1))
	case models.Reduce:
		b.reduce(l, in[0], op)
	case models.Resize:
		b.resize(y, in[0], op)
	default:
		return false
	}
	return true
}

// slice adds positions of axes.
func (b *builder) slice(y, x string, starts, ends, axes, steps []int64) {
	b.node("Slice", y, []string{x, b.constant(intTensor(y+".starts", starts...)),
		b.constant(intTensor(y+".ends", ends...)), b.constant(intTensor(y+".axes", axes...)),
		b.constant(intTensor(y+".steps", steps...))})
}

// padShortcut takes every Stride-th pixel, and pads the channels.
func (b *builder) padShortcut(y, x string, op models.PadShortcut) {
	if st := int64(op.Stride); st > 1 {
		picked := y + ".picked"
		b.slice(picked, x, []int64{0, 0}, []int64{math.MaxInt64, math.MaxInt64}, []int64{2, 3}, []int64{st, st})
		x = picked
	}
	extra := int64(op.Out - op.In)
	b.node("Pad", y, []string{x, b.constant(intTensor(y+".pads", 0, extra/2, 0, 0, 0, extra-extra/2, 0, 0))})
}

// pad adds positions around x.
func (b *builder) pad(y, x string, op models.PadAxes) {
	pads := slices.Concat([]int{0}, op.Before, []int{0}, op.After)
	in := []string{x, b.constant(intTensor(y+".pads", int64s(pads...)...))}
	if op.Mode == models.PadWrap {
		b.needs(19)
	}
	if op.Mode == models.PadConstant {
		in = append(in, b.constant(floatTensor(y+".value", nil, []float32{float32(op.Value)})))
	}
	b.node("Pad", y, in, text("mode", op.Mode.String()))
}

// forAllImages returns what l reads, where tensors that are the same for all images are repeated if others aren't.
func (b *builder) forAllImages(l models.Layer, in []string) []string {
	many := slices.IndexFunc(l.Inputs, func(name string) bool { return !b.single[name] })
	if many < 0 {
		return in
	}
	y, out := l.Name, slices.Clone(in)
	counted := false
	for i, name := range l.Inputs {
		if !b.single[name] {
			continue
		}
		if !counted {
			counted = true
			b.node("Shape", y+".dims", []string{in[many]})
			b.slice(y+".images", y+".dims", []int64{0}, []int64{1}, []int64{0}, []int64{1})
		}
		x := y + "." + name
		b.node("Concat", x+".shape", []string{y + ".images", b.constant(intTensor(x+".rest", int64s(b.shapes[name]...)...))},
			integer("axis", 0))
		b.node("Expand", x, []string{in[i], x + ".shape"})
		out[i] = x
	}
	return out
}

// reduce adds one number of those along axes.
func (b *builder) reduce(l models.Layer, x string, op models.Reduce) {
	b.needs(18) // the first whose reductions read the axes
	kind := map[models.ReduceFunc]string{models.ReduceByMean: "ReduceMean", models.ReduceBySum: "ReduceSum",
		models.ReduceByMax: "ReduceMax", models.ReduceByMin: "ReduceMin", models.ReduceByProduct: "ReduceProd",
		models.ReduceByL1: "ReduceL1", models.ReduceByL2: "ReduceL2", models.ReduceBySumSquare: "ReduceSumSquare",
		models.ReduceByLogSumExp: "ReduceLogSumExp"}[op.Func]
	y, keep := l.Name, 0
	if op.Keep {
		keep = 1
	}
	axes := make([]int64, len(op.Axes))
	for i, axis := range op.Axes {
		axes[i] = int64(axis + 1)
	}
	alone := !op.Keep && len(op.Axes) == len(b.shapes[l.Inputs[0]]) // no axis is left, but for the images
	if alone {
		y += ".number"
	}
	b.node(kind, y, []string{x, b.constant(intTensor(y+".axes", axes...))}, integer("keepdims", keep))
	if alone {
		b.reshape(l.Name, y, []int{1})
	}
}

// resize adds x at other sizes.
func (b *builder) resize(y, x string, op models.Resize) {
	b.needs(18) // the first that leaves axes out
	axes, sizes, scales := make([]int, len(op.Size)), "", ""
	for i := range axes {
		axes[i] = i + 1
	}
	if op.Scale == nil {
		sizes = b.constant(intTensor(y+".sizes", int64s(op.Size...)...))
	} else {
		factors := make([]float32, len(op.Scale))
		for i, s := range op.Scale {
			factors[i] = float32(s)
		}
		scales = b.constant(floatTensor(y+".scales", []int{len(factors)}, factors))
	}
	attributes := []*protos.AttributeProto{ints("axes", axes...),
		text("mode", []string{"nearest", "linear", "cubic"}[op.Mode]),
		text("coordinate_transformation_mode",
			[]string{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}[op.Coord]),
		text("nearest_mode", []string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}[op.Nearest]),
		float("cubic_coeff_a", op.CubicA)}
	in := []string{x, "", scales, sizes}
	if sizes == "" {
		in = in[:3]
	}
	b.node("Resize", y, in, attributes...)
}
