package models

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/internal/testbackend"
)

// strides returns the distance in elements between neighbours along each axis of a tensor of shape dims.
func strides(dims []int) []int {
	out := make([]int, len(dims))
	for a, step := len(dims)-1, 1; a >= 0; a-- {
		out[a] = step
		step *= dims[a]
	}
	return out
}

// picked returns 2 images of shape out. Each element is the one of the images of shape in at source(at), or fill if
// that is nil.
func picked(in, out []int, fill float64, source func(at []int) []int) func(args [][]float64) []float64 {
	return func(args [][]float64) []float64 {
		x := args[0]
		y := make([]float64, 2*elements(out))
		at := make([]int, len(out))
		for i := range y {
			for a, step := range strides(out) {
				at[a] = i / step % out[a]
			}
			from := source(at)
			if y[i] = fill; from == nil {
				continue
			}
			from = append([]int{i / elements(out)}, from...)
			place := 0
			for a, step := range strides(append([]int{2}, in...)) {
				place += from[a] * step
			}
			y[i] = x[place]
		}
		return y
	}
}

// pickCase is a layer whose output consists of elements of its input: 2 images of shape in.
func pickCase(name string, op Op, in, out []int, source func(at []int) []int) opCase {
	return layerCase(name, op, []operand{normal(append([]int{2}, in...)...)}, picked(in, out, 0, source))
}

func TestShapeOps(t *testing.T) {
	same := mapped(func(x float64) float64 { return x })
	compareOps(t, []opCase{
		layerCase("reshape", Reshaping{To: []int{4, 3}}, []operand{normal(2, 2, 6)}, same),
		layerCase("reshape to itself", Reshaping{To: []int{2, 6}}, []operand{normal(2, 2, 6)}, same),
		layerCase("reshape of one image", Reshaping{To: []int{3}}, []operand{normal(1, 3, 1)}, same),
		pickCase("transpose", Transposing{Perm: []int{2, 0, 1}}, []int{2, 3, 4}, []int{4, 2, 3},
			func(at []int) []int { return []int{at[1], at[2], at[0]} }),
		pickCase("transpose to itself", Transposing{Perm: []int{0, 1}}, []int{2, 3}, []int{2, 3}, slices.Clone[[]int]),
		pickCase("expand", Expand{To: []int{2, 3, 4, 5}}, []int{3, 1, 5}, []int{2, 3, 4, 5},
			func(at []int) []int { return []int{at[1], 0, at[3]} }),
		pickCase("expand to itself", Expand{To: []int{3, 2}}, []int{3, 2}, []int{3, 2}, slices.Clone[[]int]),
		pickCase("tile", Tile{Repeats: []int{2, 1, 3}}, []int{2, 3, 2}, []int{4, 3, 6},
			func(at []int) []int { return []int{at[0] % 2, at[1], at[2] % 2} }),
		pickCase("tile, many times", Tile{Repeats: []int{9, 1}}, []int{2, 3}, []int{18, 3},
			func(at []int) []int { return []int{at[0] % 2, at[1]} }),
		layerCase("concat", Concat{Axis: 1, Count: 2}, []operand{normal(2, 3, 2), normal(2, 3, 1)},
			func(a [][]float64) (y []float64) {
				for i := range 6 {
					y = append(y, a[0][2*i], a[0][2*i+1], a[1][i])
				}
				return y
			}),
		layerCase("concat with one image", Concat{Axis: 0, Count: 3},
			[]operand{normal(1, 1, 2), normal(2, 1, 2), normal(1, 1, 2)}, func(a [][]float64) (y []float64) {
				for i := range 2 {
					y = slices.Concat(y, a[0], a[1][2*i:2*i+2], a[2])
				}
				return y
			}),
		layerCase("concat of one", Concat{Axis: 0, Count: 1}, []operand{normal(2, 3)}, same),
	})
}

// TestIdentities: layers that change nothing add nothing to the graph.
func TestIdentities(t *testing.T) {
	for name, b := range testbackend.All(t) {
		_, err := CallOnce(b, func(x *Node) *Node {
			for _, op := range []Op{Reshaping{To: []int{2, 3}}, Transposing{Perm: []int{0, 1}}, Expand{To: []int{2, 3}},
				Concat{Axis: 1, Count: 1}, Tile{Repeats: []int{1, 1}}} {
				if op.Graph([]*Node{x}, nil) != x {
					t.Errorf("%s on %s makes a new node of what it doesn't change", op.Kind(), name)
				}
			}
			return x
		}, [][][]float32{{{1, 2, 3}, {4, 5, 6}}})
		if err != nil {
			t.Error(err)
		}
	}
}

// refusal is an error of a layer: of Check if in is nil, else of Shape for these inputs.
type refusal struct {
	op   Op
	in   [][]int
	want string
}

// refuse checks that layers refuse attributes that are wrong for every input, and inputs of wrong shapes.
func refuse(t *testing.T, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		err := c.op.Check()
		if c.in != nil {
			if err != nil {
				t.Errorf("%s: Check: %v", c.op.Kind(), err)
			}
			_, err = c.op.Shape(c.in)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %v: error %v, want %q", c.op.Kind(), c.in, err, c.want)
		}
	}
}

func TestShapeErrors(t *testing.T) {
	refuse(t, []refusal{
		{Reshaping{To: []int{5}}, [][]int{{2, 3}}, "makes shape [5] of [2 3]; both must have the same number of elements"},
		{Transposing{Perm: []int{0, 2}}, nil, "has axes [0 2]; each axis from 0 to 1 must occur once"},
		{Transposing{Perm: []int{0, 1}}, [][]int{{2}}, "takes an input of 2 dimensions, but it has shape [2]"},
		{Concat{}, nil, "joins 0 tensors; it takes 1 or more"},
		{Concat{Axis: 2, Count: 1}, [][]int{{2, 3}}, "works on axis 2, but its input has shape [2 3]"},
		{Concat{Axis: 1, Count: 2}, [][]int{{2, 3}, {3, 3}}, "joins shapes [2 3] and [3 3] along axis 1"},
		{Concat{Axis: 0, Count: 2}, [][]int{{2, 3}, {2}}, "joins shapes [2 3] and [2] along axis 0"},
		{Expand{To: []int{2, 3}}, [][]int{{2, 2}}, "makes shape [2 3] of [2 2]; from the right, sizes must be equal or 1"},
		{Expand{To: []int{3}}, [][]int{{1, 3}}, "makes shape [3] of [1 3]"},
		{Tile{Repeats: []int{2, 0}}, nil, "repeats [2 0] times; every axis needs a positive number"},
		{Tile{Repeats: []int{2}}, [][]int{{2, 2}}, "takes an input of 1 dimensions, but it has shape [2 2]"},
	})
}

// checkShape checks what op makes of an input's shape.
func checkShape(t *testing.T, op Op, in []int, want string) {
	t.Helper()
	if err := op.Check(); err != nil {
		t.Errorf("%+v: %v", op, err)
	} else if got, err := op.Shape([][]int{in}); err != nil || fmt.Sprint(got) != want {
		t.Errorf("%+v of %v has shape %v, %v; want %s", op, in, got, err, want)
	}
}
