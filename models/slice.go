package models

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Slicing takes every Step-th position of an axis: Start, Start+Step, …, as long as they are before Stop. With a
// negative Step it runs backwards, as long as they are after Stop: a Stop of -1 includes position 0.
type Slicing struct {
	Base
	Axis              int // of an image
	Start, Stop, Step int // positions; Start is in the axis, Step isn't 0
}

// Kind returns "slice".
func (Slicing) Kind() string { return "slice" }

// Role says that it passes its input on.
func (Slicing) Role() Role { return Role{Passes: true} }

// Check reports a range without positions.
func (s Slicing) Check() error {
	if s.Step == 0 || s.Start < 0 || s.Stop < -1 || s.count() < 1 {
		return fmt.Errorf("takes positions %d to %d in steps of %d; that must be one position or more",
			s.Start, s.Stop, s.Step)
	}
	return nil
}

// count returns the number of positions. Step isn't 0.
func (s Slicing) count() int {
	if s.Step < 0 {
		return (s.Start - s.Stop - s.Step - 1) / -s.Step
	}
	return (s.Stop - s.Start + s.Step - 1) / s.Step
}

// Shape returns the input's shape, with the number of positions along Axis.
func (s Slicing) Shape(in [][]int) ([]int, error) {
	if err := wantsAxis(in[0], s.Axis); err != nil {
		return nil, err
	}
	if size := in[0][s.Axis]; s.Start >= size || s.Stop > size {
		return nil, fmt.Errorf("takes positions %d to %d of axis %d, which has %d", s.Start, s.Stop, s.Axis, size)
	}
	out := slices.Clone(in[0])
	out[s.Axis] = s.count()
	return out, nil
}

// Graph returns the slices.
func (s Slicing) Graph(in []*Node, _ func(name string) *Node) *Node {
	return strided(in[0], s.Axis+1, s.Start, s.Step, s.count())
}

// Gathering takes positions of an axis in any order and number.
type Gathering struct {
	Base
	Axis    int   // of an image
	Indices []int // the positions, >= 0
	Drop    bool  // whether the axis goes; for one index
}

// Kind returns "gather".
func (Gathering) Kind() string { return "gather" }

// Role says that it passes its input on.
func (Gathering) Role() Role { return Role{Passes: true} }

// Check reports a number of indices that doesn't fit Drop.
func (g Gathering) Check() error {
	if len(g.Indices) == 0 || g.Drop && len(g.Indices) > 1 {
		return fmt.Errorf("takes %d positions; it takes 1 or more, and 1 if the axis is dropped", len(g.Indices))
	}
	return nil
}

// Shape returns the input's shape, with the number of indices along Axis, or without Axis.
func (g Gathering) Shape(in [][]int) ([]int, error) {
	if err := wantsAxis(in[0], g.Axis); err != nil {
		return nil, err
	}
	for _, at := range g.Indices {
		if at < 0 || at >= in[0][g.Axis] {
			return nil, fmt.Errorf("takes position %d of axis %d, which has %d; positions count from 0",
				at, g.Axis, in[0][g.Axis])
		}
	}
	if !g.Drop {
		out := slices.Clone(in[0])
		out[g.Axis] = len(g.Indices)
		return out, nil
	}
	if len(in[0]) == 1 {
		return nil, fmt.Errorf("drops the only axis of shape %v; one must stay", in[0])
	}
	return slices.Delete(slices.Clone(in[0]), g.Axis, g.Axis+1), nil
}

// Graph returns what stands at the positions.
func (g Gathering) Graph(in []*Node, _ func(name string) *Node) *Node {
	y := taken(in[0], g.Axis+1, g.Indices)
	if g.Drop {
		y = Squeeze(y, g.Axis+1)
	}
	return y
}

// taken returns what stands at the given positions of x along axis.
func taken(x *Node, axis int, at []int) *Node {
	step := 1
	if len(at) > 1 {
		step = at[1] - at[0]
	}
	straight, size := step != 0, x.Shape().Dim(axis)
	each := len(at) / size
	repeats := each > 0 && len(at) == each*size
	for i, p := range at {
		straight = straight && p == at[0]+i*step
		repeats = repeats && p == i/each
	}
	switch {
	case straight:
		return strided(x, axis, at[0], step, len(at))
	case repeats:
		return copied(x, axis, each, 1)
	}
	return WithGradient(gathered(x, axis, at), []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
		back := make([]float32, len(at)*size)
		for i, p := range at {
			back[i*size+p] = 1
		}
		return mixed(v, axis, size, back)
	}})
}

// strided returns count positions of x along axis: start, start+step, …. Step isn't 0.
func strided(x *Node, axis, start, step, count int) *Node {
	if step < 0 {
		x = Reverse(strided(x, axis, start+(count-1)*step, 1, (count-1)*-step+1), axis)
		start, step = 0, -step
	}
	size := x.Shape().Dim(axis)
	if count == size {
		return x
	}
	y := SliceAxis(x, axis, AxisRange(start, start+(count-1)*step+1).Stride(step))
	if step == 1 {
		return y
	}
	return WithGradient(y, []*Node{x}, []func(v *Node) *Node{func(v *Node) *Node {
		return scatterTaps([]*Node{v}, axis, size, axisWindow{kernel: 1, stride: step, dilation: 1, before: -start})
	}})
}

// gathered is taken by the backend's own gathering, which has no gradient on every backend.
func gathered(x *Node, axis int, at []int) *Node {
	dims := slices.Clone(x.Shape().Dimensions)
	indices := make([][]int32, len(at))
	for i, p := range at {
		indices[i] = []int32{int32(p)}
	}
	x = Reshape(x, elements(dims[:axis]), dims[axis], elements(dims[axis+1:]))
	x = Gather(TransposeAllAxes(x, 1, 0, 2), Const(x.Graph(), indices))
	dims[axis] = len(at)
	return Reshape(TransposeAllAxes(x, 1, 0, 2), dims...)
}

// mixed returns weighted sums of x along axis, which gets size positions. matrix has a row for each position of x, and
// in it the weight for each position of the result.
func mixed(x *Node, axis, size int, matrix []float32) *Node {
	dims := slices.Clone(x.Shape().Dimensions)
	before, had, after := elements(dims[:axis]), dims[axis], elements(dims[axis+1:])
	x = Reshape(TransposeAllAxes(Reshape(x, before, had, after), 0, 2, 1), before*after, had)
	x = MatMul(x, ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(matrix, had, size)))
	dims[axis] = size
	return Reshape(TransposeAllAxes(Reshape(x, before, after, size), 0, 2, 1), dims...)
}
