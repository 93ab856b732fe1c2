package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute-onnx/support/protos"
)

// The functions here compute constants from constants: mostly shapes, and weights that an exporter left as they were.

// picked returns a tensor of sizes dims whose element i is from's element at(i).
func picked(from *constant, dims []int, at func(i int) int) *constant {
	out := &constant{dims: dims}
	if n := size(dims); from.isFloat() {
		out.floats = make([]float32, n)
		for i := range out.floats {
			out.floats[i] = from.floats[at(i)]
		}
	} else {
		out.ints = make([]number, n)
		for i := range out.ints {
			out.ints[i] = from.ints[at(i)]
		}
	}
	return out
}

// strides returns how far apart neighbours along each axis are.
func strides(dims []int) []int {
	s := make([]int, len(dims))
	step := 1
	for i := len(dims) - 1; i >= 0; i-- {
		s[i] = step
		step *= dims[i]
	}
	return s
}

// position returns the index into a tensor with the given strides, for element i of one of sizes dims.
func position(i int, dims, steps []int) int {
	at := 0
	for a := len(dims) - 1; a >= 0; a-- {
		at += i % dims[a] * steps[a]
		i /= dims[a]
	}
	return at
}

// transposed returns c with its axes reordered.
func transposed(c *constant, perm []int) *constant {
	old := strides(c.dims)
	dims, steps := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		dims[i], steps[i] = c.dims[p], old[p]
	}
	out := picked(c, dims, func(i int) int { return position(i, dims, steps) })
	out.name = c.name
	return out
}

// expanded returns c broadcast to sizes that don't depend on the number of images.
func expanded(c *constant, to []number) (*constant, error) {
	want := make([]int, len(to))
	for i, t := range to {
		if t.images || t.n < 0 || t.n > maxElements {
			return nil, errors.New("expands a constant to sizes that aren't fixed")
		}
		want[i] = int(t.n)
	}
	dims, err := broadcast(c.dims, want)
	if err != nil {
		return nil, err
	}
	if err := c.affordable(dims); err != nil {
		return nil, err
	}
	if slices.Equal(dims, c.dims) {
		return c, nil
	}
	steps := make([]int, len(dims))
	for i, s := range strides(c.dims) {
		if k := i + len(dims) - len(c.dims); c.dims[i] > 1 {
			steps[k] = s
		}
	}
	return picked(c, dims, func(i int) int { return position(i, dims, steps) }), nil
}

// maxComputed is the most elements of a constant that an operator computes: 512 MiB of floats, room for VGG-19's.
const maxComputed = 1 << 27

// affordable reports sizes that no constant of a classifier has. Integers take more memory than floats, and are few.
func (c *constant) affordable(dims []int) error {
	n, most := 1, maxComputed
	if !c.isFloat() {
		most /= 16
	}
	for _, d := range dims {
		if d < 0 || d > most || n*max(d, 1) > most {
			return fmt.Errorf("computes a constant of shape %v; it is too large", dims)
		}
		n *= max(d, 1)
	}
	return nil
}

// arguments returns all inputs, which are constants.
func (n *node) arguments(least int) ([]*constant, error) {
	if len(n.in) < least {
		return nil, fmt.Errorf("has %d inputs; %d are wanted", len(n.in), least)
	}
	all := make([]*constant, len(n.in))
	for i, v := range n.in {
		if all[i] = v.known; i < least && all[i] == nil {
			return nil, fmt.Errorf("input %d is missing", i)
		}
	}
	return all, nil
}

func foldConstant(im *importer, n *node) (*constant, error) {
	switch {
	case n.has("value"):
		return decode(n.attribute("value").GetT(), im.root)
	case n.has("value_int"):
		return &constant{ints: []number{{n: n.attribute("value_int").GetI()}}}, nil
	case n.has("value_ints"):
		return intsOf(n.integers("value_ints")...), nil
	case n.has("value_float"):
		return &constant{floats: []float32{n.attribute("value_float").GetF()}}, nil
	case n.has("value_floats"):
		v := n.attribute("value_floats").GetFloats()
		return &constant{dims: []int{len(v)}, floats: slices.Clone(v)}, nil
	}
	return nil, errors.New("has no value that is read")
}

func foldConstantOfShape(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	c := &constant{floats: []float32{0}}
	if n.has("value") {
		if c, err = decode(n.attribute("value").GetT(), nil); err != nil {
			return nil, err
		}
	}
	if size(c.dims) != 1 {
		return nil, fmt.Errorf("has a value of shape %v", c.dims)
	}
	c.dims = nil
	return expanded(c, in[0].ints)
}

func foldRange(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(3)
	if err != nil {
		return nil, err
	}
	var v [3]float64
	for i := range v {
		if v[i], err = in[i].scalarFloat(); err != nil {
			return nil, err
		}
	}
	count := max(0, int(math.Ceil((v[1]-v[0])/v[2])))
	if v[2] == 0 || in[0].affordable([]int{count}) != nil {
		return nil, fmt.Errorf("goes from %g to %g in steps of %g", v[0], v[1], v[2])
	}
	out := &constant{dims: []int{count}}
	for i := range count {
		if x := v[0] + float64(i)*v[2]; in[0].isFloat() {
			out.floats = append(out.floats, float32(x))
		} else {
			out.ints = append(out.ints, number{n: int64(x)})
		}
	}
	return out, nil
}

// foldIdentity is for operators that leave a constant as it is.
func foldIdentity(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	return in[0], nil
}

func foldCast(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	if n.GetOpType() == "CastLike" {
		if len(in) < 2 || in[1] == nil {
			return nil, errors.New("has no input that gives the type")
		}
		return cast(in[0], in[1].isFloat())
	}
	kind := protos.TensorProto_DataType(n.integer("to", 0))
	bits, known := widths()[kind]
	switch {
	case !known:
		return nil, fmt.Errorf("casts to type %v, which isn't read", kind)
	case isFloat(kind):
		return cast(in[0], true)
	case kind == protos.TensorProto_BOOL:
		return truths(in[0]), nil
	}
	c, err := cast(in[0], false)
	if err != nil || bits == 64 {
		return c, err
	}
	out := picked(c, c.dims, func(i int) int { return i })
	for i := range out.ints {
		out.ints[i].n = wrapped(out.ints[i].n, bits, isSigned(kind))
	}
	return out, nil
}

// truths returns whether each element of c isn't 0. The number of images never is.
func truths(c *constant) *constant {
	out := &constant{dims: c.dims, ints: make([]number, size(c.dims))}
	for i, x := range c.floats {
		out.ints[i].n = truth(x != 0)
	}
	for i, x := range c.ints {
		out.ints[i].n = truth(x.n != 0)
	}
	return out
}

// wrapped returns x as an integer of so many bits.
func wrapped(x int64, bits int, signed bool) int64 {
	x &= 1<<bits - 1
	if signed && x >= 1<<(bits-1) {
		x -= 1 << bits
	}
	return x
}

// isFloat says whether tensors of the type are read as floats.
func isFloat(kind protos.TensorProto_DataType) bool {
	switch kind {
	case protos.TensorProto_FLOAT, protos.TensorProto_DOUBLE, protos.TensorProto_FLOAT16, protos.TensorProto_BFLOAT16:
		return true
	}
	return false
}

// isSigned says whether a type of integers has negative ones.
func isSigned(kind protos.TensorProto_DataType) bool {
	switch kind {
	case protos.TensorProto_INT2, protos.TensorProto_INT4, protos.TensorProto_INT8, protos.TensorProto_INT16,
		protos.TensorProto_INT32, protos.TensorProto_INT64:
		return true
	}
	return false
}

// cast returns c as floats or as integers.
func cast(c *constant, float bool) (*constant, error) {
	if c.isFloat() == float {
		return c, nil
	}
	out := &constant{dims: c.dims}
	if !float {
		out.ints = make([]number, len(c.floats))
		for i, x := range c.floats {
			out.ints[i].n = int64(x)
		}
		return out, nil
	}
	out.floats = make([]float32, len(c.ints))
	for i, x := range c.ints {
		if x.images {
			return nil, errors.New("makes a float of the number of images")
		}
		out.floats[i] = float32(x.n)
	}
	return out, nil
}

// importShape imports Shape, which is a constant up to the number of images.
func importShape(im *importer, n *node) error {
	if !n.given(0) {
		return errors.New("has no input")
	}
	sizes := n.in[0].numbers(im.batch)
	start, end := clamp(n.integer("start", 0), len(sizes)), clamp(n.integer("end", len(sizes)), len(sizes))
	part := append([]number{}, sizes[start:max(start, end)]...)
	im.set(n, 0, value{known: &constant{dims: []int{len(part)}, ints: part}})
	return nil
}

// clamp resolves a negative position, and moves positions beyond the ends to them.
func clamp(p, size int) int {
	if p < 0 {
		p += size
	}
	return min(max(p, 0), size)
}

func foldSize(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	return &constant{ints: []number{{n: int64(size(in[0].dims))}}}, nil
}

func foldConcat(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(len(n.in))
	if err != nil {
		return nil, err
	}
	axis, err := within(n.integer("axis", 0), len(in[0].dims))
	if err != nil {
		return nil, err
	}
	out := &constant{dims: slices.Clone(in[0].dims)}
	out.dims[axis] = 0
	for _, c := range in {
		if len(c.dims) != len(out.dims) || c.isFloat() != in[0].isFloat() {
			return nil, fmt.Errorf("joins shapes %v and %v", in[0].dims, c.dims)
		}
		out.dims[axis] += c.dims[axis]
	}
	if !in[0].isFloat() {
		out.ints = []number{}
	}
	for outer := range size(out.dims[:axis]) {
		for _, c := range in {
			run := size(c.dims[axis:])
			if len(c.floats)+len(c.ints) != size(out.dims[:axis])*run {
				return nil, fmt.Errorf("joins shapes %v and %v", in[0].dims, c.dims)
			}
			if c.isFloat() {
				out.floats = append(out.floats, c.floats[outer*run:(outer+1)*run]...)
			} else {
				out.ints = append(out.ints, c.ints[outer*run:(outer+1)*run]...)
			}
		}
	}
	return out, nil
}

func foldSlice(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	c := in[0]
	cuts, err := n.cuts(c.dims)
	if err != nil {
		return nil, err
	}
	for _, k := range cuts {
		dims, steps, from := slices.Clone(c.dims), strides(c.dims), 0
		dims[k.axis] = k.count()
		from = k.start * steps[k.axis]
		steps[k.axis] *= k.step
		c = picked(c, dims, func(i int) int { return from + position(i, dims, steps) })
	}
	return c, nil
}

func foldGather(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(2)
	if err != nil {
		return nil, err
	}
	c := in[0]
	axis, err := within(n.integer("axis", 0), len(c.dims))
	if err != nil {
		return nil, err
	}
	indices, err := in[1].positions(axis, c.dims)
	if err != nil {
		return nil, err
	}
	dims := slices.Replace(slices.Clone(c.dims), axis, axis+1, in[1].dims...)
	if err := c.affordable(dims); err != nil {
		return nil, err
	}
	inner := size(c.dims[axis+1:])
	return picked(c, dims, func(i int) int {
		k := i / inner % max(len(indices), 1)
		outer := i / (inner * len(indices))
		return (outer*c.dims[axis]+indices[k])*inner + i%inner
	}), nil
}

// foldScatterND computes ScatterND: a copy of the first input, with slices replaced.
func foldScatterND(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(3)
	if err != nil {
		return nil, err
	}
	c, updates := in[0], in[2]
	at, err := in[1].plain()
	if err != nil {
		return nil, err
	}
	if len(in[1].dims) == 0 || c.isFloat() != updates.isFloat() || n.text("reduction", "none") != "none" {
		return nil, fmt.Errorf("replaces parts of shape %v at positions of shape %v", c.dims, in[1].dims)
	}
	depth := in[1].dims[len(in[1].dims)-1]
	if depth > len(c.dims) || depth < 1 || size(updates.dims)*depth != len(at)*size(c.dims[depth:]) {
		return nil, fmt.Errorf("replaces parts of shape %v by shape %v", c.dims, updates.dims)
	}
	out := picked(c, c.dims, func(i int) int { return i })
	steps, run := strides(c.dims), size(c.dims[depth:])
	for i := range len(at) / depth {
		to := 0
		for k, p := range at[i*depth : (i+1)*depth] {
			if p, err = within(p, c.dims[k]); err != nil {
				return nil, err
			}
			to += p * steps[k]
		}
		if c.isFloat() {
			copy(out.floats[to:to+run], updates.floats[i*run:(i+1)*run])
		} else {
			copy(out.ints[to:to+run], updates.ints[i*run:(i+1)*run])
		}
	}
	return out, nil
}

func foldTranspose(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	perm, err := n.permutation(len(in[0].dims))
	if err != nil {
		return nil, err
	}
	return transposed(in[0], perm), nil
}

// sized returns c with other sizes.
func (c *constant) sized(dims []int) (*constant, error) {
	if size(dims) != size(c.dims) {
		return nil, fmt.Errorf("takes shape %v to %v", c.dims, dims)
	}
	out := *c
	out.dims = dims
	return &out, nil
}

func foldReshape(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	to := n.integers("shape")
	if len(in) > 1 && in[1] != nil {
		if to, err = in[1].plain(); err != nil {
			return nil, err
		}
	}
	dims, left, product := slices.Clone(to), -1, 1
	for i, d := range dims {
		switch {
		case d == -1:
			left = i
			continue
		case d == 0 && n.integer("allowzero", 0) == 0 && i < len(in[0].dims):
			dims[i] = in[0].dims[i]
		}
		product *= dims[i]
	}
	if left >= 0 && product > 0 {
		dims[left] = size(in[0].dims) / product
	}
	return in[0].sized(dims)
}

func foldFlatten(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	axis, err := n.flattened(len(in[0].dims))
	if err != nil {
		return nil, err
	}
	return in[0].sized([]int{size(in[0].dims[:axis]), size(in[0].dims[axis:])})
}

func foldSqueeze(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	axes, err := n.axes("axes", 1)
	if err != nil {
		return nil, err
	}
	gone, err := allWithin(axes, len(in[0].dims))
	if err != nil {
		return nil, err
	}
	dims := []int{}
	for i, d := range in[0].dims {
		if !(axes == nil && d == 1 || slices.Contains(gone, i)) {
			dims = append(dims, d)
		}
	}
	return in[0].sized(dims)
}

func foldUnsqueeze(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	axes, err := n.axes("axes", 1)
	if err != nil {
		return nil, err
	}
	dims, _ := inserted(in[0].dims, axes)
	if dims == nil {
		return nil, fmt.Errorf("adds axes %v to shape %v", axes, in[0].dims)
	}
	return in[0].sized(dims)
}
