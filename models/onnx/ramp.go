package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// ramp is a tensor of integers that differ from image to image: image·slope + offset. PyTorch's new exporter makes such
// indices of as_strided, which its own copies of tensors are.
type ramp struct {
	offsets *constant // with a size of 1 in the axis of the images
	axis    int       // of the images
	slope   int64
}

// ramped says whether a node makes a ramp or reads one.
func ramped(n *node) bool {
	if n.GetOpType() == "Range" && len(n.in) == 3 && n.in[1].known != nil && len(n.in[1].known.ints) == 1 {
		return n.in[1].known.ints[0].images
	}
	return slices.ContainsFunc(n.in, func(v value) bool { return v.ramp != nil })
}

// takeRamp imports a node that makes a ramp or reads one.
func (im *importer) takeRamp(n *node) error {
	switch n.GetOpType() {
	case "Range":
		return im.makeRamp(n)
	case "Cast", "Identity":
		im.set(n, 0, n.in[0])
		return nil
	case "Unsqueeze":
		return im.unsqueezeRamp(n)
	case "Add", "Mul":
		return im.shiftRamp(n)
	case "Gather":
		if len(n.in) == 2 && n.in[0].layer != "" && n.in[1].ramp != nil {
			return im.gatherRamp(n, n.in[0], n.in[1].ramp)
		}
	}
	return errors.New("computes with positions that differ between images; export it with a fixed batch of 1")
}

func (im *importer) makeRamp(n *node) error {
	start, err := n.in[0].known.scalarFloat()
	if err != nil {
		return err
	}
	step, err := n.in[2].known.scalarFloat()
	if err != nil {
		return err
	}
	if n.in[1].known.ints[0].n != 1 || step == 0 {
		return errors.New("counts a multiple of the number of images")
	}
	im.set(n, 0, value{ramp: &ramp{offsets: intsOf(int(start)), slope: int64(step)}})
	return nil
}

func (im *importer) unsqueezeRamp(n *node) error {
	axes, err := n.axes("axes", 1)
	if err != nil {
		return err
	}
	r := *n.in[0].ramp
	dims, from := inserted(r.offsets.dims, axes)
	if dims == nil {
		return fmt.Errorf("adds axes %v to shape %v", axes, r.offsets.dims)
	}
	r.axis = slices.Index(from, r.axis)
	r.offsets, err = r.offsets.sized(dims)
	im.set(n, 0, value{ramp: &r})
	return err
}

// shiftRamp adds a constant to a ramp, or multiplies it by one.
func (im *importer) shiftRamp(n *node) error {
	if len(n.in) != 2 {
		return errors.New("has not two inputs")
	}
	x, c := n.in[0].ramp, n.in[1].known
	if x == nil {
		x, c = n.in[1].ramp, n.in[0].known
	}
	if x == nil || c == nil || c.isFloat() {
		return errors.New("combines positions that differ between images")
	}
	r := *x
	var err error
	if n.GetOpType() == "Mul" {
		if size(c.dims) != 1 || c.ints[0].images {
			return errors.New("multiplies positions that differ between images by more than one number")
		}
		r.slope *= c.ints[0].n
		r.offsets, err = combined(r.offsets, c, nil, times)
	} else {
		r.offsets, err = combined(r.offsets, c, nil, sum(1))
	}
	if err != nil {
		return err
	}
	if r.axis += len(r.offsets.dims) - len(x.offsets.dims); r.offsets.dims[r.axis] != 1 {
		return errors.New("adds what differs between images to positions")
	}
	im.set(n, 0, value{ramp: &r})
	return nil
}

// gatherRamp takes positions of each image's part of an axis that has images.
func (im *importer) gatherRamp(n *node, x value, r *ramp) error {
	indices, err := r.offsets.plain()
	if err != nil {
		return err
	}
	per := x.dims[x.axis]
	if n.integer("axis", 0) != x.axis || max(x.outer, 1) != 1 || int64(per) != r.slope || slices.Min(indices) < 0 ||
		slices.Max(indices) >= per {
		return fmt.Errorf("takes positions across images; %w", errAcross)
	}
	out := value{dims: slices.Replace(slices.Clone(x.dims), x.axis, x.axis+1, r.offsets.dims...), axis: x.axis + r.axis}
	flat := x
	if x.leads() { // one position for each image
		flat.layer = im.add(n, x.layer+".reshape", models.Reshaping{To: slices.Clone(x.dims)}, x.layer)
	}
	have := slices.Clone(x.dims)
	have[x.axis] = len(indices)
	out.layer = im.add(n, n.name(nil), models.Gathering{Axis: x.axis, Indices: indices}, flat.layer)
	im.set(n, 0, im.relaid(n, out, have))
	return nil
}
