package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// value is a tensor of the graph: a constant, or what a layer computes.
//
// A layer's output has the images as its first axis. ONNX may have them as any axis, and merged with others: an axis of
// outer·images·inner positions. dims has outer·inner there, so that the layer's output has the shape [images, dims...].
// The usual case, the first axis with images alone, is left out of the layer's shape.
type value struct {
	known *constant
	ramp  *ramp  // if not known: positions that differ between images
	layer string // else the layer, or models.Image
	dims  []int  // ONNX's sizes, without the images
	axis  int    // the axis that has the images
	outer int    // of that axis; 0 stands for 1

	levels *levels // if not nil: the integers that the layer's output is quantised to
}

// leads says whether the images are simply the first axis.
func (v value) leads() bool { return v.axis == 0 && v.dims[0] == 1 }

// shape returns the shape of the layer's output for one image.
func (v value) shape() []int {
	if v.leads() {
		return v.dims[1:]
	}
	return v.dims
}

// own returns the axis of the layer's shape for an axis of ONNX's, which may be negative. The error says that the axis
// has the images.
func (v value) own(axis int) (int, error) {
	axis, err := within(axis, len(v.dims))
	switch {
	case err != nil:
		return 0, err
	case axis == v.axis:
		return 0, fmt.Errorf("works along axis %d, which has the images; %w", axis, errAcross)
	case v.leads():
		return axis - 1, nil
	}
	return axis, nil
}

// owns is own for several axes, sorted.
func (v value) owns(axes []int) ([]int, error) {
	var own []int
	for _, a := range axes {
		o, err := v.own(a)
		if err != nil {
			return nil, err
		}
		own = append(own, o)
	}
	slices.Sort(own)
	return own, nil
}

// within resolves a negative axis.
func within(axis, rank int) (int, error) {
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("axis %d of a tensor of %d axes", axis, rank)
	}
	if axis < 0 {
		axis += rank
	}
	return axis, nil
}

// allWithin resolves negative axes.
func allWithin(axes []int, rank int) ([]int, error) {
	var resolved []int
	for _, a := range axes {
		a, err := within(a, rank)
		if err != nil {
			return nil, err
		}
		resolved = append(resolved, a)
	}
	return resolved, nil
}

// numbers returns v's sizes as ONNX sees them. batch is the number of images if the file fixes it, else 0.
func (v value) numbers(batch int) []number {
	if v.known != nil {
		return intsOf(v.known.dims...).ints
	}
	n := intsOf(v.dims...).ints
	n[v.axis].images = batch == 0
	if batch > 0 {
		n[v.axis].n *= int64(batch)
	}
	return n
}

// rank returns the number of ONNX's axes.
func (v value) rank() int {
	if v.known != nil {
		return len(v.known.dims)
	}
	return len(v.dims)
}

// reshaped returns the sizes, and the axis of the images, of v after a Reshape to target, whose 0 copies a size
// unless zero is true, and whose -1 is what is left.
func (v value) reshaped(target []number, zero bool, batch int) (value, error) {
	t := slices.Clone(target)
	old := v.numbers(batch)
	left, product, images := -1, int64(1), false
	for i := range t {
		if t[i].n == 0 && !zero {
			if i >= len(old) {
				return v, fmt.Errorf("copies size %d of a tensor of %d axes", i, len(old))
			}
			t[i] = old[i]
		}
		if t[i].n == -1 && !t[i].images {
			left = i
			continue
		}
		if product *= t[i].n; product > maxElements || t[i].n > maxElements {
			return v, errors.New("has sizes of a tensor that is too large")
		}
		images = images || t[i].images
	}
	total := int64(size(v.dims))
	if batch > 0 {
		total *= int64(batch)
	}
	if left >= 0 {
		if product <= 0 || total%product != 0 {
			return v, fmt.Errorf("takes %d elements to sizes whose product is %d", total, product)
		}
		t[left] = number{total / product, batch == 0 && !images}
		images = true
	}
	out, err := v.place(t, batch)
	if err == nil && size(out.dims) != size(v.dims) {
		err = fmt.Errorf("takes a tensor of shape %v to %v; the number of elements must stay", v.dims, out.dims)
	}
	return out, err
}

// place finds the axis of sizes t that has the images. Elements keep their order in a reshape, so that as many
// elements must be before the images as are in v.
func (v value) place(t []number, batch int) (value, error) {
	out := value{layer: v.layer, dims: make([]int, len(t)), axis: -1}
	before, at := size(v.dims[:v.axis])*max(v.outer, 1), 1
	minor := -1 // an axis at whose end the images can be
	for i, x := range t {
		out.dims[i] = int(x.n)
		switch {
		case x.n < 1:
			return v, fmt.Errorf("has the size %d", x.n)
		case x.images && out.axis >= 0:
			return v, errors.New("has the number of images in two axes")
		case x.images:
			if at > before || before%at != 0 || int(x.n)%(before/at) != 0 {
				return v, fmt.Errorf("moves values between images; %w", errAcross)
			}
			out.axis, out.outer = i, before/at
		}
		if at *= int(x.n); at == before && x.n > 1 {
			minor = i
		}
	}
	if out.axis < 0 { // the number of images is fixed: 1, say
		out.placeFixed(before, minor, batch)
	}
	if out.axis < 0 {
		return v, fmt.Errorf("to %v loses the axis of the images; %w", out.dims, errAcross)
	}
	return out, nil
}

// placeFixed finds the axis that has a fixed number of images: best one that has nothing else.
func (v *value) placeFixed(before, minor, batch int) {
	at, major := 1, -1
	for i, d := range v.dims {
		if at == before && batch > 0 && d%batch == 0 && (major < 0 || d == batch) {
			if major = i; d == batch {
				minor = -1
				break
			}
		}
		at *= d
	}
	switch {
	case minor >= 0 && batch == 1:
		v.axis, v.outer = minor, before/size(v.dims[:minor])
	case major >= 0:
		v.axis = major
		v.dims[major] /= batch
	}
}

// paired says whether x and y have the images in the same place, counted from the last axis.
func paired(x, y value) error {
	if x.rank()-x.axis != y.rank()-y.axis || x.dims[x.axis] != y.dims[y.axis] || max(x.outer, 1) != max(y.outer, 1) {
		return fmt.Errorf("combines shapes %v and %v, which have the images in axes %d and %d; %w",
			x.dims, y.dims, x.axis, y.axis, errAcross)
	}
	return nil
}

// beside returns the sizes of constant c where it is combined, with broadcasting, with v's layer.
func (v value) beside(c *constant) ([]int, error) {
	dims := slices.Clone(c.dims)
	if len(dims) > len(v.dims) {
		return nil, fmt.Errorf("combines shape %v with a constant of more axes, %v", v.dims, dims)
	}
	at := v.axis - (len(v.dims) - len(dims)) // of the images in dims
	if at < 0 {
		return dims, nil
	}
	if d := dims[at]; d != 1 && (v.leads() || d != v.dims[v.axis]) {
		return nil, fmt.Errorf("combines shape %v with a constant of shape %v, which differs between images", v.dims, dims)
	}
	if v.leads() {
		dims = dims[1:]
	}
	return dims, nil
}

// broadcast returns the sizes of a combination of tensors of sizes a and b.
func broadcast(a, b []int) ([]int, error) {
	out, err := models.Broadcast(a, b)
	if err != nil {
		return nil, fmt.Errorf("combines shapes %v and %v", a, b)
	}
	return out, nil
}
