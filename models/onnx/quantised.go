package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/models"
)

// levels says that a value is the levels of a layer's output, as integers: QuantizeLinear makes them, and
// DequantizeLinear makes numbers of them.
type levels struct {
	scale     float64
	zero      float64 // zero point
	low, high float64 // the outermost levels
}

// quantised says whether a node reads or makes levels.
func quantised(n *node) bool {
	return n.GetOpType() == "QuantizeLinear" || slices.ContainsFunc(n.in, func(v value) bool { return v.levels != nil })
}

// takeLevels imports a node that reads or makes levels.
func (im *importer) takeLevels(n *node) error {
	switch n.GetOpType() {
	case "QuantizeLinear":
		return im.quantise(n)
	case "Clip":
		return im.clipLevels(n)
	case "DequantizeLinear":
		return im.dequantise(n)
	case "Identity":
		im.set(n, 0, n.in[0])
		return nil
	}
	return errors.New("computes with quantised integers; only Clip and DequantizeLinear read them")
}

// quantise imports QuantizeLinear of a layer's output, with one scale.
func (im *importer) quantise(n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	scale, err := n.weight(1)
	if err != nil {
		return err
	}
	zero, err := n.constant(2)
	if err != nil {
		return err
	}
	l := levels{high: 255}
	if l.scale, err = scale.scalarFloat(); err != nil {
		return err
	}
	if zero != nil {
		if l.zero, err = zero.scalarFloat(); err != nil {
			return err
		}
		bits := widths()[zero.kind]
		if isFloat(zero.kind) || zero.kind == protos.TensorProto_BOOL || bits == 0 || bits > 16 {
			return fmt.Errorf("has a zero point of type %v", zero.kind)
		}
		l.high = float64(int(1)<<bits - 1)
		if isSigned(zero.kind) {
			l.low, l.high = -float64(int(1)<<(bits-1)), float64(int(1)<<(bits-1)-1)
		}
	}
	x.levels = &l
	im.set(n, 0, x)
	return nil
}

// clipLevels imports a Clip of levels.
func (im *importer) clipLevels(n *node) error {
	x := n.in[0]
	if x.levels == nil {
		return errors.New("clips to quantised bounds")
	}
	low, high, err := n.bounds()
	if err != nil {
		return err
	}
	l := *x.levels
	l.low, l.high = max(l.low, low), min(l.high, high)
	x.levels = &l
	im.set(n, 0, x)
	return nil
}

// dequantise appends the quantiser of a layer's output.
func (im *importer) dequantise(n *node) error {
	x := n.in[0]
	if x.levels == nil {
		return errors.New("has a scale that is quantised")
	}
	l := *x.levels
	scale, err := n.scalar("", 1, 0)
	if err != nil {
		return err
	}
	zero, err := n.scalar("", 2, 0)
	if err != nil {
		return err
	}
	if scale != l.scale || zero != l.zero {
		return fmt.Errorf("has scale %g and zero point %g; those of the QuantizeLinear before it are %g and %g", scale, zero,
			l.scale, l.zero)
	}
	op := models.Levels{Scale: l.scale, Low: l.low - l.zero, High: l.high - l.zero}
	if err := op.Check(); err != nil {
		return err
	}
	x.levels = nil
	x.layer = im.add(n, n.name(nil), op, x.layer)
	im.set(n, 0, x)
	return nil
}

// importRound imports Round, as levels without end.
func importRound(im *importer, n *node) error {
	return im.unary(n, models.Levels{Scale: 1, Low: -math.MaxFloat32, High: math.MaxFloat32})
}

// foldDequantizeLinear computes a weight from its levels, with a scale for the tensor or for each position of an axis.
func foldDequantizeLinear(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(2)
	if err != nil {
		return nil, err
	}
	if len(in) < 3 {
		in = append(in, nil)
	}
	x, err := cast(in[0], true)
	if err != nil {
		return nil, err
	}
	zeros := make([]float32, size(in[1].dims))
	if in[2] != nil {
		z, err := cast(in[2], true)
		if err != nil {
			return nil, err
		}
		if zeros = z.floats; len(zeros) != size(in[1].dims) {
			return nil, fmt.Errorf("has %d scales and %d zero points", size(in[1].dims), len(zeros))
		}
	}
	scales := in[1].floats
	inner := size(x.dims)
	if len(scales) != 1 {
		axis, err := within(n.integer("axis", 1), len(x.dims))
		if err != nil {
			return nil, err
		}
		if len(in[1].dims) != 1 || len(scales) != x.dims[axis] || n.integer("block_size", 0) != 0 {
			return nil, fmt.Errorf("has scales of shape %v for shape %v, which aren't read: one for the tensor, or one for "+
				"each position of an axis", in[1].dims, x.dims)
		}
		inner = size(x.dims[axis+1:])
	}
	out := &constant{dims: x.dims, floats: make([]float32, len(x.floats))}
	for i, v := range x.floats {
		k := i / max(inner, 1) % len(scales)
		out.floats[i] = (v - zeros[k]) * scales[k]
	}
	if len(n.GetOutput()) > 0 {
		out.name = n.GetOutput()[0]
	}
	return out, nil
}
