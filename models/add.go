package models

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Sum is the sum of two tensors of the same shape.
type Sum struct{ Base }

// Kind returns "add".
func (Sum) Kind() string { return "add" }

// Inputs returns 2.
func (Sum) Inputs() int { return 2 }

// Shape returns the shape of both inputs.
func (Sum) Shape(in [][]int) ([]int, error) {
	if !slices.Equal(in[0], in[1]) {
		return nil, fmt.Errorf("sums shapes %v and %v; they must be equal", in[0], in[1])
	}
	return in[0], nil
}

// Graph returns the sum.
func (Sum) Graph(in []*Node, _ func(name string) *Node) *Node { return Add(in[0], in[1]) }

// PadShortcut takes every Stride-th pixel of both axes, and adds channels of zeros, as many before as after: ResNet's
// option A for a shortcut between stages (He et al. 2015, section 4.2).
type PadShortcut struct {
	Base
	In, Out int // channels
	Stride  int // of both axes
}

// Kind returns "pad-shortcut".
func (PadShortcut) Kind() string { return "pad-shortcut" }

// Role says that it passes its input on.
func (PadShortcut) Role() Role { return Role{Passes: true} }

// Check reports a stride below 1, and channels that would be lost.
func (p PadShortcut) Check() error {
	if p.Stride < 1 || p.Out < p.In {
		return fmt.Errorf("takes %d channels to %d with stride %d; the stride must be positive, and no channel lost",
			p.In, p.Out, p.Stride)
	}
	return nil
}

// Shape returns [Out,H/Stride,W/Stride], rounded up.
func (p PadShortcut) Shape(in [][]int) ([]int, error) {
	if err := wants(in[0], 3, p.In); err != nil {
		return nil, err
	}
	return []int{p.Out, (in[0][1] + p.Stride - 1) / p.Stride, (in[0][2] + p.Stride - 1) / p.Stride}, nil
}

// Graph takes rows by reshaping and columns by a product with a matrix of zeros and ones: a strided slice has no
// gradient on every backend, and takes ten times as long.
func (p PadShortcut) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	if st := p.Stride; st > 1 {
		x = padSpatial(x, 0, (st-x.Shape().Dim(2)%st)%st, 0, 0)
		n, c, h, w := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2)/st, x.Shape().Dim(3)
		x = Reshape(SliceAxis(Reshape(x, n, c, h, st*w), 3, AxisRange(0, w)), n*c*h, w)
		columns := (w + st - 1) / st
		pick := make([]float32, w*columns)
		for i := range columns {
			pick[i*st*columns+i] = 1
		}
		x = MatMul(x, ConstTensor(x.Graph(), tensors.FromFlatDataAndDimensions(pick, w, columns)))
		x = Reshape(x, n, c, h, columns)
	}
	extra := p.Out - p.In
	pads := []compute.PadAxis{{}, {Start: extra / 2, End: extra - extra/2}, {}, {}}
	return Pad(x, ScalarZero(x.Graph(), x.DType()), pads...)
}
