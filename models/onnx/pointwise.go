package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// importPointwise returns the importer of a function without parameters.
func importPointwise(f models.Func) func(im *importer, n *node) error {
	return func(im *importer, n *node) error { return im.unary(n, models.Pointwise{Func: f}) }
}

// importParametric returns the importer of a function with attributes, and their defaults. b may be "".
func importParametric(f models.Func, a string, aElse float64, b string, bElse float64) func(*importer, *node) error {
	return func(im *importer, n *node) error {
		return im.unary(n, models.Pointwise{Func: f, A: n.float(a, aElse), B: n.float(b, bElse)})
	}
}

func importReLU(im *importer, n *node) error { return im.unary(n, models.ReLU{}) }

// importClip imports Clip. Its bounds are attributes before opset 11.
func importClip(im *importer, n *node) error {
	low, high, err := n.bounds()
	if err != nil {
		return err
	}
	unbounded := high >= math.MaxFloat32
	switch {
	case low == 0 && high == 6:
		return im.unary(n, models.ReLU6{})
	case low == 0 && unbounded:
		return im.unary(n, models.ReLU{})
	case low > high:
		return fmt.Errorf("clips to the range from %g to %g", low, high)
	}
	op := models.Pointwise{Func: models.FuncClip, A: max(low, -math.MaxFloat32), B: min(high, math.MaxFloat32)}
	return im.unary(n, op)
}

// importGelu imports Gelu.
func importGelu(im *importer, n *node) error {
	f := models.FuncGELU
	if n.text("approximate", "none") == "tanh" {
		f = models.FuncGELUTanh
	}
	return im.unary(n, models.Pointwise{Func: f})
}

// importPReLU imports PRelu.
func importPReLU(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	slope, err := n.weight(1)
	if err != nil {
		return err
	}
	if n.opset < 7 && len(slope.dims) == 1 && slope.dims[0] > 1 { // one slope per channel
		to := slices.Repeat([]int{1}, max(1, len(x.dims)-1))
		to[0] = slope.dims[0]
		if slope, err = slope.sized(to); err != nil {
			return err
		}
	}
	dims, err := x.beside(slope)
	if err != nil {
		return err
	}
	layer := im.add(n, n.name(slope), models.PReLU{Slope: dims}, x.layer)
	im.param(layer, "weight", slope.floats, dims...)
	x.layer = layer
	im.set(n, 0, x)
	return nil
}

// importSwish imports Swish (opset 24): x·sigmoid(αx).
func importSwish(im *importer, n *node) error {
	if a := n.float("alpha", 1); a != 1 {
		return fmt.Errorf("has alpha %g; only 1 is read", a)
	}
	return im.unary(n, models.Pointwise{Func: models.FuncSiLU})
}

// importBinary returns the importer of a function of two tensors, one of which may be a constant.
func importBinary(f models.BinaryFunc) func(im *importer, n *node) error {
	return func(im *importer, n *node) error {
		if len(n.in) != 2 || !n.given(0) || !n.given(1) {
			return errors.New("has not two inputs")
		}
		if n.opset < 7 && n.integer("broadcast", 0) != 0 {
			if err := n.align(); err != nil {
				return err
			}
		}
		x, y := n.in[0], n.in[1]
		switch {
		case y.layer == "":
			return im.withConstant(n, f, x, y.known, false)
		case x.layer == "":
			return im.withConstant(n, f, y, x.known, true)
		}
		return im.combine(n, f, x, y)
	}
}

// align makes input 1 broadcast as NumPy has it, where an attribute says its first axis (before opset 7).
func (n *node) align() error {
	axis := n.integer("axis", n.in[0].rank()-n.in[1].rank())
	c := n.in[1].known
	if c == nil || axis < 0 || axis+len(c.dims) > n.in[0].rank() {
		return fmt.Errorf("broadcasts its second input from axis %d on", axis)
	}
	after := n.in[0].rank() - axis - len(c.dims)
	moved := *c
	moved.dims = slices.Concat(c.dims, slices.Repeat([]int{1}, after))
	n.in[1].known = &moved
	return nil
}

// combine appends a function of two layers.
func (im *importer) combine(n *node, f models.BinaryFunc, x, y value) error {
	if err := paired(x, y); err != nil {
		return err
	}
	dims, err := broadcast(x.dims, y.dims)
	if err != nil {
		return err
	}
	out := value{dims: dims, axis: x.axis + len(dims) - len(x.dims), outer: x.outer}
	var op models.Op = models.Binary{Func: f}
	if f == models.BinaryAdd && slices.Equal(x.dims, y.dims) {
		op = models.Sum{}
	}
	out.layer = im.add(n, n.name(nil), op, x.layer, y.layer)
	im.set(n, 0, out)
	return nil
}

// withConstant appends a function of a layer and a constant; flip says that the constant comes first.
func (im *importer) withConstant(n *node, f models.BinaryFunc, x value, c *constant, flip bool) error {
	c, err := cast(c, true)
	if err != nil {
		return err
	}
	if size(c.dims) == 1 && len(c.dims) <= len(x.dims) {
		if op, ok := scalarOp(f, float64(c.floats[0]), flip); ok {
			if op == (models.Pointwise{Func: models.FuncAffine, A: 1}) {
				im.set(n, 0, x)
				return nil
			}
			x.layer = im.add(n, n.name(nil), op, x.layer)
			im.set(n, 0, x)
			return nil
		}
	}
	shape, err := x.beside(c)
	if err != nil {
		return err
	}
	dims, err := broadcast(x.dims, c.dims)
	if err != nil {
		return err
	}
	out := value{dims: dims, axis: x.axis, outer: x.outer}
	out.layer = im.add(n, n.name(nil), models.WithConstant{Func: f, Dims: shape, Flip: flip}, x.layer)
	im.param(out.layer, "value", c.floats, shape...)
	im.set(n, 0, out)
	return nil
}

// scalarOp returns the function of a layer and one number, if it is one of a single layer's.
func scalarOp(f models.BinaryFunc, c float64, flip bool) (models.Pointwise, bool) {
	affine := func(a, b float64) (models.Pointwise, bool) {
		return models.Pointwise{Func: models.FuncAffine, A: a, B: b}, true
	}
	switch {
	case f == models.BinaryAdd:
		return affine(1, c)
	case f == models.BinaryMul:
		return affine(c, 0)
	case f == models.BinarySub && flip:
		return affine(-1, c)
	case f == models.BinarySub:
		return affine(1, -c)
	case f == models.BinaryDiv && !flip && c != 0:
		return affine(1/c, 0)
	case f == models.BinaryPow && !flip:
		return models.Pointwise{Func: models.FuncPow, A: c}, true
	}
	return models.Pointwise{}, false
}

// importVariadic returns the importer of Sum, Max, Min and Mean: a function of any number of tensors.
func importVariadic(f models.BinaryFunc, mean bool) func(im *importer, n *node) error {
	return func(im *importer, n *node) error {
		var in, constants []value // the order doesn't matter
		for i := range n.in {
			if n.computed(i) {
				in = append(in, n.in[i])
			} else if n.given(i) {
				constants = append(constants, n.in[i])
			}
		}
		if len(in) == 0 || n.GetOutput()[0] == "" {
			return errors.New("has no input that depends on the images, or no output")
		}
		x := in[0]
		for _, y := range slices.Concat(in[1:], constants) {
			pair := *n
			pair.in = []value{x, y}
			if err := importBinary(f)(im, &pair); err != nil {
				return err
			}
			x = im.values[n.GetOutput()[0]]
		}
		if mean {
			x.layer = im.add(n, n.name(nil), models.Pointwise{Func: models.FuncAffine, A: 1 / float64(len(n.in))}, x.layer)
		}
		im.set(n, 0, x)
		return nil
	}
}
