package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/models"
)

// importDropout imports Dropout, which does nothing once a network is trained.
func importDropout(im *importer, n *node) error {
	training, err := n.scalar("", 2, 0)
	if err != nil {
		return err
	}
	ratio, err := n.scalar("ratio", 1, 0.5)
	if err != nil {
		return err
	}
	if training != 0 && ratio != 0 {
		return errors.New("drops elements at random, as in training; export it in evaluation mode")
	}
	return importSame(im, n)
}

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
	to := protos.TensorProto_DataType(n.integer("to", int(protos.TensorProto_FLOAT)))
	if !isFloat(to) || n.GetOpType() == "CastLike" && n.given(1) && n.in[1].known != nil && !n.in[1].known.isFloat() {
		return errors.New("makes integers of what is computed from the images; only floats are read there")
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
	if p := n.text("keep_aspect_ratio_policy", "stretch"); p != "stretch" {
		return fmt.Errorf("keeps the aspect ratio by policy %q, which isn't read", p)
	}
	axes, err := n.resized(x)
	if err != nil {
		return err
	}
	size := slices.Clone(x.dims)
	scale, err := n.scales(scalesAt)
	if err != nil {
		return err
	}
	scale = spread(scale, axes, slices.Repeat([]float64{1}, len(size)))
	if sizes, err := n.constant(sizesAt); err != nil {
		return err
	} else if sizes != nil {
		given, err := sizes.sizes(x, axes, im.batch)
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

// resized returns the axes that a Resize has sizes or scales for.
func (n *node) resized(x value) ([]int, error) {
	axes := n.integers("axes")
	if axes == nil {
		for i := range x.dims {
			axes = append(axes, i)
		}
	}
	var err error
	for i := range axes {
		if axes[i], err = within(axes[i], len(x.dims)); err != nil {
			return nil, err
		}
	}
	return axes, nil
}

// spread returns all with v in places of axes, or v if it isn't for these axes.
func spread[T any](v []T, axes []int, all []T) []T {
	if len(v) != len(axes) {
		return v
	}
	for i, a := range axes {
		all[a] = v[i]
	}
	return all
}

// sizes returns the sizes in c, for the axes of x.
func (c *constant) sizes(x value, axes []int, batch int) ([]int, error) {
	old := x.numbers(batch)
	if c.isFloat() || len(c.ints) != len(axes) {
		return nil, fmt.Errorf("has sizes of shape %v for shape %v", c.dims, x.dims)
	}
	out := make([]int, len(x.dims))
	for i, s := range spread(c.ints, axes, slices.Clone(old)) {
		out[i] = int(s.n)
		if i == x.axis {
			if out[i] = x.dims[i]; s.n != old[i].n {
				return nil, fmt.Errorf("resizes axis %d, which has the images", i)
			}
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
