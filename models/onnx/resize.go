package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// importSame imports operators that leave the images' tensors as they are. Floats are float32 throughout.
func importSame(im *importer, n *node) error {
	if n.GetOpType() == "CastLike" && !n.computed(0) { // what comes from the images is of floats
		if !n.given(0) {
			return errors.New("has no input")
		}
		c, err := cast(n.in[0].known, true)
		im.set(n, 0, value{known: c})
		return err
	}
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	im.set(n, 0, x)
	return nil
}

// importResize imports Resize, and Upsample, which it replaced.
func importResize(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	scalesAt, sizesAt := 2, 3
	if n.opset < 11 || n.GetOpType() == "Upsample" {
		scalesAt, sizesAt = 1, -1
	}
	var scale []float64
	size := slices.Clone(x.dims)
	if scale, err = n.scales(scalesAt); err != nil {
		return err
	}
	if sizes, err := n.constant(sizesAt); err != nil {
		return err
	} else if sizes != nil {
		given, err := sizes.sizes(x)
		if err != nil {
			return err
		}
		scale = make([]float64, len(given))
		for i, s := range given {
			size[i], scale[i] = s, float64(s)/float64(x.dims[i])
		}
	} else if len(scale) == len(x.dims) {
		for i, s := range scale {
			size[i] = int(math.Floor(float64(x.dims[i]) * s))
		}
	}
	if len(scale) != len(x.dims) || size[x.axis] != x.dims[x.axis] {
		return fmt.Errorf("resizes shape %v by %v", x.dims, scale)
	}
	op := models.Resize{Size: slices.Clone(size), Scale: scale, CubicA: n.float("cubic_coeff_a", -0.75)}
	if x.leads() {
		op.Size, op.Scale = op.Size[1:], op.Scale[1:]
	}
	if err := n.resampling(&op); err != nil {
		return err
	}
	out := value{dims: size, axis: x.axis, outer: x.outer, layer: x.layer}
	if !slices.Equal(size, x.dims) {
		out.layer = im.add(n, n.name(nil), op, x.layer)
	}
	im.set(n, 0, out)
	return nil
}

// resampling reads how a Resize finds values between positions.
func (n *node) resampling(op *models.Resize) error {
	modes := map[string]models.ResizeMode{"nearest": models.ResizeNearestPixel, "linear": models.ResizeLinear,
		"bilinear": models.ResizeLinear, "cubic": models.ResizeCubic}
	coords := map[string]models.ResizeCoord{"half_pixel": models.ResizeHalfPixel, "asymmetric": models.ResizeAsymmetric,
		"pytorch_half_pixel": models.ResizePyTorchHalfPixel, "align_corners": models.ResizeAlignCorners}
	roundings := map[string]models.ResizeNearest{"round_prefer_floor": models.ResizeRoundPreferFloor,
		"round_prefer_ceil": models.ResizeRoundPreferCeil, "floor": models.ResizeFloor, "ceil": models.ResizeCeil}
	coord, nearest := "half_pixel", "round_prefer_floor"
	if n.opset < 11 || n.GetOpType() == "Upsample" { // which these versions had
		coord, nearest = "asymmetric", "floor"
	}
	var ok [3]bool
	op.Mode, ok[0] = modes[n.text("mode", "nearest")]
	op.Coord, ok[1] = coords[n.text("coordinate_transformation_mode", coord)]
	op.Nearest, ok[2] = roundings[n.text("nearest_mode", nearest)]
	if ok != [3]bool{true, true, true} || n.integer("antialias", 0) != 0 || n.integer("exclude_outside", 0) != 0 {
		return fmt.Errorf("resizes by mode %q, coordinates %q, rounding %q, antialias %d, exclude_outside %d, not read",
			n.text("mode", "nearest"), n.text("coordinate_transformation_mode", coord), n.text("nearest_mode", nearest),
			n.integer("antialias", 0), n.integer("exclude_outside", 0))
	}
	return nil
}

// scales returns the factors of a Resize, or nil.
func (n *node) scales(i int) ([]float64, error) {
	var v []float32
	if a := n.attribute("scales"); a != nil {
		v = a.GetFloats()
	} else if c, err := n.constant(i); err != nil {
		return nil, err
	} else if c != nil {
		v = c.floats
	}
	out := make([]float64, len(v))
	for i, s := range v {
		if !(s > 0 && s < 1<<16) {
			return nil, fmt.Errorf("has the scale %g", s)
		}
		out[i] = float64(s)
	}
	return out, nil
}

// sizes returns the sizes in c, one for each axis of x.
func (c *constant) sizes(x value) ([]int, error) {
	if c.isFloat() || len(c.ints) != len(x.dims) {
		return nil, fmt.Errorf("has sizes of shape %v for shape %v", c.dims, x.dims)
	}
	out := make([]int, len(c.ints))
	for i, s := range c.ints {
		out[i] = int(s.n)
		if i == x.axis {
			out[i] = x.dims[i]
		}
		if out[i] < 1 || out[i] > 1<<16 {
			return nil, fmt.Errorf("has the size %d", out[i])
		}
	}
	return out, nil
}

// importConstantOfShape imports ConstantOfShape with the number of images among its sizes.
func importConstantOfShape(im *importer, n *node) error {
	to, err := n.constant(0)
	if err != nil {
		return err
	}
	if to == nil {
		return fmt.Errorf("has no sizes")
	}
	if !slices.ContainsFunc(to.ints, func(t number) bool { return t.images }) {
		c, err := foldConstantOfShape(im, n)
		if err != nil {
			return err
		}
		im.set(n, 0, value{known: c})
		return nil
	}
	return fmt.Errorf("makes a constant for each image")
}
