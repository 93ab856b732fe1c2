package models

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
)

// PadAxes adds positions before and after an image's axes.
type PadAxes struct {
	Base
	Before, After []int   // positions added to each axis; negative numbers cut off, in PadConstant only
	Mode          PadMode // what the new positions hold
	Value         float64 // of the new positions in PadConstant
}

// PadMode says what the positions hold that padding adds.
type PadMode int

// The modes of padding, with what abcd becomes.
const (
	PadConstant PadMode = iota // the same value: 00abcd00
	PadReflect                 // what stands on the other side of the edge: cbabcdcb
	PadEdge                    // the edge: aaabcddd
	PadWrap                    // what stands at the other edge: cdabcdab
)

// String returns "constant", "reflect", "edge" or "wrap".
func (m PadMode) String() string {
	names := []string{"constant", "reflect", "edge", "wrap"}
	if m < 0 || int(m) >= len(names) {
		return fmt.Sprintf("PadMode(%d)", int(m))
	}
	return names[m]
}

// Kind returns "pad".
func (PadAxes) Kind() string { return "pad" }

// Role says that it passes its input on.
func (PadAxes) Role() Role { return Role{Passes: true} }

// Check reports an unknown mode, numbers for different numbers of axes, and cuts where a mode has none.
func (p PadAxes) Check() error {
	if p.Mode < PadConstant || p.Mode > PadWrap || len(p.Before) != len(p.After) {
		return fmt.Errorf("adds %v before and %v after by %v; both are for the same axes, and the mode constant, reflect, "+
			"edge or wrap", p.Before, p.After, p.Mode)
	}
	if p.Mode != PadConstant && slices.Min(slices.Concat(p.Before, p.After, []int{0})) < 0 {
		return fmt.Errorf("adds %v before and %v after by %v; only the mode constant takes negative numbers",
			p.Before, p.After, p.Mode)
	}
	return nil
}

// Shape returns the input's shape, with the positions added.
func (p PadAxes) Shape(in [][]int) ([]int, error) {
	if err := wantsRank(in[0], len(p.Before)); err != nil {
		return nil, err
	}
	out := slices.Clone(in[0])
	for a := range out {
		if cut := max(0, -p.Before[a]) + max(0, -p.After[a]); cut >= out[a] {
			return nil, fmt.Errorf("cuts %d positions off axis %d, which has %d; one must stay", cut, a, out[a])
		}
		out[a] += p.Before[a] + p.After[a]
	}
	return out, nil
}

// Graph returns the padded images.
func (p PadAxes) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	if slices.Equal(p.Before, make([]int, len(p.Before))) && slices.Equal(p.After, p.Before) {
		return x
	}
	if p.Mode == PadConstant {
		pads := make([]compute.PadAxis, x.Rank())
		for a := range p.Before {
			cut := max(0, -p.Before[a])
			x = strided(x, a+1, cut, 1, x.Shape().Dim(a+1)-cut-max(0, -p.After[a])) // Pad's gradient has no cuts
			pads[a+1] = compute.PadAxis{Start: max(0, p.Before[a]), End: max(0, p.After[a])}
		}
		return Pad(x, Scalar(x.Graph(), x.DType(), p.Value), pads...)
	}
	for a := range p.Before {
		size := x.Shape().Dim(a + 1)
		at := counting(-p.Before[a], p.Before[a]+size+p.After[a])
		for i, place := range at {
			at[i] = p.Mode.source(place, size)
		}
		x = taken(x, a+1, at)
	}
	return x
}

// source returns the position, of size, whose value stands at place, which may be outside.
func (m PadMode) source(place, size int) int {
	switch {
	case m == PadEdge || size == 1:
		return min(max(place, 0), size-1)
	case m == PadWrap:
		return (place%size + size) % size
	}
	period := 2 * (size - 1)
	place = (place%period + period) % period
	return min(place, period-place)
}
