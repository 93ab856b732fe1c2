package models

import (
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/testbackend"
)

// TestLevels: halves go to the even level, and the gradient is 1 from the first level to the last, both included.
func TestLevels(t *testing.T) {
	l := Levels{Scale: 0.5, Low: -1, High: 2}
	x := []float32{-0.75, -0.5, -0.25, 0.25, 0.3, 0.75, 1, 1.25}
	y, dx := []float32{-0.5, -0.5, 0, 0, 0.5, 1, 1, 1}, []float32{0, 1, 1, 1, 1, 1, 1, 0}
	for name, b := range testbackend.All(t) {
		out, err := CallOnceN(b, func(x *Node) []*Node {
			y := l.Graph([]*Node{x}, nil)
			return []*Node{y, Gradient(ReduceAllSum(y), x)[0]}
		}, tensors.FromValue([][]float32{x}))
		if err != nil {
			t.Fatal(err)
		}
		got := tensors.MustCopyFlatData[float32](out[0])
		slope := tensors.MustCopyFlatData[float32](out[1])
		if !slices.Equal(got, y) || !slices.Equal(slope, dx) {
			t.Errorf("%s: levels %v, gradient %v; want %v and %v", name, got, slope, y, dx)
		}
	}
	for _, l := range []Levels{{Scale: 0, High: 1}, {Scale: 1, Low: 1, High: 0}} {
		if l.Check() == nil {
			t.Errorf("%+v is accepted", l)
		}
	}
}
