package models

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// Reshaping gives an image's elements another shape. Their order stays.
type Reshaping struct {
	Base
	To []int // the output's shape for one image
}

// Kind returns "reshape".
func (Reshaping) Kind() string { return "reshape" }

// Role says that it passes its input on.
func (Reshaping) Role() Role { return Role{Passes: true} }

// Shape returns To.
func (r Reshaping) Shape(in [][]int) ([]int, error) {
	if elements(in[0]) != elements(r.To) {
		return nil, fmt.Errorf("makes shape %v of %v; both must have the same number of elements", r.To, in[0])
	}
	return r.To, nil
}

// Graph returns [N,To...].
func (r Reshaping) Graph(in []*Node, _ func(name string) *Node) *Node {
	return reshaped(in[0], slices.Concat(in[0].Shape().Dimensions[:1], r.To))
}

// Transposing reorders an image's axes.
type Transposing struct {
	Base
	Perm []int // for each axis of the output, the input's axis
}

// Kind returns "transpose".
func (Transposing) Kind() string { return "transpose" }

// Role says that it passes its input on.
func (Transposing) Role() Role { return Role{Passes: true} }

// Check reports an order that isn't a permutation.
func (t Transposing) Check() error {
	if sorted := slices.Sorted(slices.Values(t.Perm)); !slices.Equal(sorted, counting(0, len(t.Perm))) {
		return fmt.Errorf("has axes %v; each axis from 0 to %d must occur once", t.Perm, len(t.Perm)-1)
	}
	return nil
}

// Shape returns the input's sizes in the order of Perm.
func (t Transposing) Shape(in [][]int) ([]int, error) {
	if err := wantsRank(in[0], len(t.Perm)); err != nil {
		return nil, err
	}
	out := make([]int, len(t.Perm))
	for i, a := range t.Perm {
		out[i] = in[0][a]
	}
	return out, nil
}

// Graph returns the transposed images.
func (t Transposing) Graph(in []*Node, _ func(name string) *Node) *Node {
	if slices.IsSorted(t.Perm) {
		return in[0]
	}
	perm := []int{0}
	for _, a := range t.Perm {
		perm = append(perm, a+1)
	}
	return TransposeAllAxes(in[0], perm...)
}

// Concat joins tensors along an axis. An input of one image goes with each image of the others.
type Concat struct {
	Base
	Axis  int // of an image
	Count int // of inputs, >= 1
}

// Kind returns "concat".
func (Concat) Kind() string { return "concat" }

// Role says that it passes its input on.
func (Concat) Role() Role { return Role{Passes: true} }

// Inputs returns Count.
func (c Concat) Inputs() int { return c.Count }

// Check reports a count below 1.
func (c Concat) Check() error {
	if c.Count < 1 {
		return fmt.Errorf("joins %d tensors; it takes 1 or more", c.Count)
	}
	return nil
}

// Shape returns the inputs' shape, with the sum of their sizes along Axis.
func (c Concat) Shape(in [][]int) ([]int, error) {
	if err := wantsAxis(in[0], c.Axis); err != nil {
		return nil, err
	}
	out := slices.Clone(in[0])
	out[c.Axis] = 0
	for _, s := range in {
		ok := len(s) == len(out)
		for a := 0; ok && a < len(s); a++ {
			ok = a == c.Axis || s[a] == out[a]
		}
		if !ok {
			return nil, fmt.Errorf("joins shapes %v and %v along axis %d; the other sizes must be equal", in[0], s, c.Axis)
		}
		out[c.Axis] += s[c.Axis]
	}
	return out, nil
}

// Graph returns the joined images.
func (c Concat) Graph(in []*Node, _ func(name string) *Node) *Node {
	n := 1
	for _, x := range in {
		n = max(n, x.Shape().Dim(0))
	}
	parts := make([]*Node, len(in))
	for i, x := range in {
		parts[i] = repeatTo(x, slices.Concat([]int{n}, x.Shape().Dimensions[1:]))
	}
	return concatenate(parts, c.Axis+1)
}

// Expand repeats axes of size 1, and adds axes before the first one (NumPy's broadcasting).
type Expand struct {
	Base
	To []int // the output's shape for one image
}

// Kind returns "expand".
func (Expand) Kind() string { return "expand" }

// Role says that it passes its input on.
func (Expand) Role() Role { return Role{Passes: true} }

// Shape returns To.
func (e Expand) Shape(in [][]int) ([]int, error) {
	more := len(e.To) - len(in[0])
	ok := more >= 0
	for a := 0; ok && a < len(in[0]); a++ {
		ok = in[0][a] == 1 || in[0][a] == e.To[more+a]
	}
	if !ok {
		return nil, fmt.Errorf("makes shape %v of %v; from the right, sizes must be equal or 1", e.To, in[0])
	}
	return e.To, nil
}

// Graph returns [N,To...].
func (e Expand) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := withRank(in[0], 1+len(e.To))
	return repeatTo(x, slices.Concat(x.Shape().Dimensions[:1], e.To))
}

// Tile repeats an image as a whole along each axis.
type Tile struct {
	Base
	Repeats []int // how often, for each axis, >= 1
}

// Kind returns "tile".
func (Tile) Kind() string { return "tile" }

// Role says that it passes its input on.
func (Tile) Role() Role { return Role{Passes: true} }

// Check reports a repeat below 1.
func (t Tile) Check() error {
	if len(t.Repeats) == 0 || slices.Min(t.Repeats) < 1 {
		return fmt.Errorf("repeats %v times; every axis needs a positive number", t.Repeats)
	}
	return nil
}

// Shape returns the input's sizes times Repeats.
func (t Tile) Shape(in [][]int) ([]int, error) {
	if err := wantsRank(in[0], len(t.Repeats)); err != nil {
		return nil, err
	}
	out := slices.Clone(in[0])
	for a, r := range t.Repeats {
		out[a] *= r
	}
	return out, nil
}

// Graph returns the repeated images.
func (t Tile) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	for a, r := range t.Repeats {
		x = copied(x, a+1, r, 0)
	}
	return x
}

// copied returns x with an axis made n times as long: by copies of the whole axis if each is 0, or of each of its
// positions if each is 1.
func copied(x *Node, axis, n, each int) *Node {
	if n == 1 {
		return x
	}
	to := slices.Clone(x.Shape().Dimensions)
	to[axis] *= n
	x = InsertAxes(x, axis+each)
	if n > 8 {
		dims := slices.Clone(x.Shape().Dimensions)
		dims[axis+each] = n
		return Reshape(BroadcastToDims(x, dims...), to...)
	}
	// To double the last axis, ONNX Runtime takes seven times as long by broadcasting: 380 ms against 53 ms.
	return Reshape(Concatenate(slices.Repeat([]*Node{x}, n), axis+each), to...)
}

// reshaped returns x in the shape dims: x itself if it has it.
func reshaped(x *Node, dims []int) *Node {
	if slices.Equal(x.Shape().Dimensions, dims) {
		return x
	}
	return Reshape(x, dims...)
}

// elements returns the product of dims.
func elements(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// counting returns the n numbers from start on.
func counting(start, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = start + i
	}
	return out
}

// wantsRank reports an input whose number of dimensions is wrong.
func wantsRank(in []int, rank int) error {
	if len(in) != rank {
		return fmt.Errorf("takes an input of %d dimensions, but it has shape %v", rank, in)
	}
	return nil
}

// wantsAxis reports an axis that the input lacks.
func wantsAxis(in []int, axis int) error {
	if axis < 0 || axis >= len(in) {
		return fmt.Errorf("works on axis %d, but its input has shape %v; axes count from 0", axis, in)
	}
	return nil
}
