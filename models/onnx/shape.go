package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// setReshaped sets output 0 to x in the sizes of out.
func (im *importer) setReshaped(n *node, x, out value) {
	if !slices.Equal(out.shape(), x.shape()) {
		out.layer = im.add(n, n.name(nil), models.Reshaping{To: slices.Clone(out.shape())}, x.layer)
	}
	im.set(n, 0, out)
}

// importReshape imports Reshape.
func importReshape(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	c, err := n.constant(1)
	if err != nil {
		return err
	}
	var to []number
	switch {
	case n.has("shape"):
		to = intsOf(n.integers("shape")...).ints
	case c != nil && !c.isFloat():
		to = c.ints
	default:
		return errors.New("has no sizes")
	}
	out, err := x.reshaped(to, n.integer("allowzero", 0) != 0, im.batch)
	if err != nil {
		return err
	}
	im.setReshaped(n, x, out)
	return nil
}

// flattened returns the axis of a Flatten of a tensor of so many axes: the first of the output's second.
func (n *node) flattened(rank int) (int, error) {
	axis := n.integer("axis", 1)
	if axis == rank {
		return axis, nil // the second has one position
	}
	return within(axis, rank)
}

// importFlatten imports Flatten.
func importFlatten(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	axis, err := n.flattened(len(x.dims))
	if err != nil {
		return err
	}
	sizes := x.numbers(im.batch)
	to := []number{{n: 1}, {n: 1}}
	for i, s := range sizes {
		k := 0
		if i >= axis {
			k = 1
		}
		to[k] = number{to[k].n * s.n, to[k].images || s.images}
	}
	out, err := x.reshaped(to, true, im.batch)
	if err != nil {
		return err
	}
	im.setReshaped(n, x, out)
	return nil
}

// importSqueeze imports Squeeze.
func importSqueeze(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	axes, err := n.axes("axes", 1)
	if err != nil {
		return err
	}
	gone, err := allWithin(axes, len(x.dims))
	if err != nil {
		return err
	}
	for _, a := range gone {
		if a == x.axis || x.dims[a] != 1 {
			return fmt.Errorf("removes axis %d of shape %v", a, x.dims)
		}
	}
	var dims []int
	axis := 0
	for i, d := range x.dims {
		if i == x.axis {
			axis = len(dims)
		}
		if axes == nil && d == 1 && i != x.axis || slices.Contains(gone, i) {
			continue
		}
		dims = append(dims, d)
	}
	im.setReshaped(n, x, value{layer: x.layer, dims: dims, axis: axis, outer: x.outer})
	return nil
}

// importUnsqueeze imports Unsqueeze.
func importUnsqueeze(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	axes, err := n.axes("axes", 1)
	if err != nil {
		return err
	}
	dims, from := inserted(x.dims, axes)
	if dims == nil {
		return fmt.Errorf("adds axes %v to shape %v", axes, x.dims)
	}
	im.setReshaped(n, x, value{layer: x.layer, dims: dims, axis: slices.Index(from, x.axis), outer: x.outer})
	return nil
}

// inserted returns dims with axes of size 1 added, and for each axis the one that it was, or -1. It returns nil if the
// axes make no sense.
func inserted(dims, axes []int) (out, from []int) {
	rank := len(dims) + len(axes)
	var added []int
	for _, a := range axes {
		a, err := within(a, rank)
		if err != nil || slices.Contains(added, a) {
			return nil, nil
		}
		added = append(added, a)
	}
	out = []int{}
	for i, k := 0, 0; i < rank; i++ {
		if slices.Contains(added, i) {
			out, from = append(out, 1), append(from, -1)
			continue
		}
		out, from = append(out, dims[k]), append(from, k)
		k++
	}
	return out, from
}

// importTranspose imports Transpose.
func importTranspose(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	perm, err := n.permutation(len(x.dims))
	if err != nil {
		return err
	}
	out := value{layer: x.layer, dims: make([]int, len(perm)), axis: slices.Index(perm, x.axis), outer: x.outer}
	for i, p := range perm {
		out.dims[i] = x.dims[p]
	}
	own, have := perm, out.dims
	switch {
	case x.leads() && out.axis == 0:
		own = make([]int, len(perm)-1)
		for i, p := range perm[1:] {
			own[i] = p - 1
		}
		have = out.dims[1:]
	case x.leads():
		x.layer = im.add(n, x.layer+".reshape", models.Reshaping{To: slices.Clone(x.dims)}, x.layer)
	}
	if !slices.IsSorted(own) {
		x.layer = im.add(n, n.name(nil), models.Transposing{Perm: slices.Clone(own)}, x.layer)
	}
	out.layer = x.layer
	im.set(n, 0, im.relaid(n, out, have))
	return nil
}

// importConcat imports Concat.
func importConcat(im *importer, n *node) error {
	var first *value
	for i := range n.in {
		if n.computed(i) {
			first = &n.in[i]
			break
		}
	}
	if first == nil {
		return errors.New("has no inputs")
	}
	own, err := first.own(n.integer("axis", 0))
	if err != nil {
		return err
	}
	axis, _ := within(n.integer("axis", 0), len(first.dims)) // own has checked it
	out := value{dims: slices.Clone(first.dims), axis: first.axis, outer: first.outer}
	out.dims[axis] = 0
	var layers []string
	for _, x := range n.in {
		if x.layer == "" {
			if x, err = im.constantLayer(n, x.known, *first); err != nil {
				return err
			}
		}
		if len(x.dims) != len(out.dims) || x.axis != out.axis || paired(x, *first) != nil {
			return fmt.Errorf("joins shapes %v and %v", first.dims, x.dims)
		}
		out.dims[axis] += x.dims[axis]
		layers = append(layers, x.layer)
	}
	if len(layers) == 1 {
		im.set(n, 0, *first)
		return nil
	}
	out.layer = im.add(n, n.name(nil), models.Concat{Axis: own, Count: len(layers)}, layers...)
	im.set(n, 0, out)
	return nil
}

// constantLayer returns a layer for c, which is the same for all images of like.
func (im *importer) constantLayer(n *node, c *constant, like value) (value, error) {
	if c == nil {
		return value{}, errors.New("lacks an input")
	}
	if !c.isFloat() {
		return value{}, fmt.Errorf("%s is of integers", c.title())
	}
	v := value{dims: slices.Clone(c.dims), axis: like.axis - len(like.dims) + len(c.dims)}
	if v.axis < 0 || v.dims[v.axis] != 1 || len(c.dims) == len(like.dims) && like.dims[like.axis] != 1 {
		return value{}, fmt.Errorf("combines shape %v with a constant of shape %v", like.dims, c.dims)
	}
	v.layer = im.constantOf(n, c, v.shape())
	return v, nil
}

// constantOf appends a layer with the values of c in sizes dims.
func (im *importer) constantOf(n *node, c *constant, dims []int) string {
	name := c.name
	if name == "" {
		name = n.name(nil) + ".constant"
	}
	layer := im.add(n, name, models.Constant{Dims: slices.Clone(dims)})
	im.param(layer, "value", c.floats, dims...)
	return layer
}

// importExpand imports Expand of what the images give, and of constants to the number of images.
func importExpand(im *importer, n *node) error {
	to, err := n.needed(1)
	if err != nil {
		return err
	}
	if to.isFloat() || !n.given(0) {
		return errors.New("has no sizes, or nothing to expand")
	}
	x := n.in[0]
	if x.layer == "" {
		return im.expandConstant(n, x.known, to.ints)
	}
	want := make([]int, len(to.ints))
	for i, t := range to.ints {
		want[i] = int(t.n)
		at := i - len(to.ints) + len(x.dims)
		if at == x.axis {
			if want[i] = x.dims[x.axis]; !t.images && t.n != 1 && int(t.n) != x.dims[x.axis]*max(im.batch, 1) {
				return fmt.Errorf("repeats the images: %v to %v", x.dims, want)
			}
		}
	}
	dims, err := broadcast(x.dims, want)
	if err != nil {
		return err
	}
	out := value{layer: x.layer, dims: dims, axis: x.axis + len(dims) - len(x.dims), outer: x.outer}
	if !slices.Equal(out.dims, x.dims) {
		if out.axis != x.axis && x.leads() {
			return fmt.Errorf("adds axes before the images: %v to %v", x.dims, dims)
		}
		out.layer = im.add(n, n.name(nil), models.Expand{To: slices.Clone(out.shape())}, x.layer)
	}
	im.set(n, 0, out)
	return nil
}

// expandConstant sets output 0 to c with the images as one axis, such as a class token.
func (im *importer) expandConstant(n *node, c *constant, to []number) error {
	axis := slices.IndexFunc(to, func(t number) bool { return t.images })
	if axis < 0 {
		full, err := expanded(c, to)
		im.set(n, 0, value{known: full})
		return err
	}
	plain := slices.Clone(to)
	plain[axis].images = false
	full, err := expanded(c, plain)
	if err != nil {
		return err
	}
	v := value{dims: full.dims, axis: axis}
	if plain[axis].n != 1 || len(full.dims) != len(to) || full.dims[axis] != 1 || !c.isFloat() {
		return fmt.Errorf("expands a constant of shape %v to shape %v for each image", c.dims, full.dims)
	}
	full.name = c.name
	v.layer = im.constantOf(n, full, v.shape())
	im.set(n, 0, v)
	return nil
}
