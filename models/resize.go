package models

import (
	"fmt"
	"math"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// Resize samples an image at other sizes, axis by axis, as ONNX's Resize. Beyond the edges it takes the edge.
type Resize struct {
	Base
	Size    []int     // the output's shape for one image
	Scale   []float64 // output positions per input position, for each axis; nil: those of the sizes
	Mode    ResizeMode
	Coord   ResizeCoord
	Nearest ResizeNearest // rounding, for ResizeNearestPixel
	CubicA  float64       // the cubic's coefficient: -0.75 is usual; for ResizeCubic
}

// ResizeMode says how values between positions are found.
type ResizeMode int

// The modes.
const (
	ResizeNearestPixel ResizeMode = iota // the nearest position's value
	ResizeLinear                         // linear between two positions
	ResizeCubic                          // the cubic convolution of four positions (Keys 1981)
)

// ResizeCoord says which input coordinate an output position i stands for.
type ResizeCoord int

// The coordinates, with the axis' scale s.
const (
	ResizeHalfPixel        ResizeCoord = iota // (i+1/2)/s - 1/2
	ResizePyTorchHalfPixel                    // the same, but 0 if the output has one position
	ResizeAlignCorners                        // i·(in-1)/(out-1), or 0 if the output has one position
	ResizeAsymmetric                          // i/s
)

// ResizeNearest says how a coordinate is rounded.
type ResizeNearest int

// The roundings.
const (
	ResizeRoundPreferFloor ResizeNearest = iota // halves go down
	ResizeRoundPreferCeil                       // halves go up
	ResizeFloor
	ResizeCeil
)

// Kind returns "resize".
func (Resize) Kind() string { return "resize" }

// Role says that it passes its input on.
func (Resize) Role() Role { return Role{Passes: true} }

// Check reports sizes and scales that aren't positive, and unknown modes.
func (r Resize) Check() error {
	if len(r.Size) == 0 || slices.Min(r.Size) < 1 || r.Scale != nil && (len(r.Scale) != len(r.Size) ||
		!(slices.Min(r.Scale) > 0)) {
		return fmt.Errorf("makes shape %v with scales %v; both must be positive, and be for the same axes", r.Size, r.Scale)
	}
	if r.Mode < 0 || r.Mode > ResizeCubic || r.Coord < 0 || r.Coord > ResizeAsymmetric ||
		r.Nearest < 0 || r.Nearest > ResizeCeil {
		return fmt.Errorf("has mode %d, coordinates %d and rounding %d; they must be among the constants",
			r.Mode, r.Coord, r.Nearest)
	}
	return nil
}

// Shape returns Size.
func (r Resize) Shape(in [][]int) ([]int, error) { return r.Size, wantsRank(in[0], len(r.Size)) }

// Graph returns [N,Size...]. Each axis that changes is a choice of positions or a product with a matrix.
func (r Resize) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	for a, out := range r.Size {
		size := x.Shape().Dim(a + 1)
		at := make([]float64, out)
		for i := range at {
			at[i] = r.coordinate(a, i, size)
		}
		switch {
		case r.Scale == nil && out == size || r.Scale != nil && out == size && r.Scale[a] == 1:
		case r.Mode == ResizeNearestPixel:
			positions := make([]int, out)
			for i, c := range at {
				positions[i] = min(max(r.Nearest.round(c), 0), size-1)
			}
			x = taken(x, a+1, positions)
		default:
			x = mixed(x, a+1, out, r.weights(at, size))
		}
	}
	return x
}

// coordinate returns where in axis a, of the given size, output position i lies. It computes in float32 where ONNX
// Runtime does, so that coordinates on the border of two positions round the same way.
func (r Resize) coordinate(a, i, size int) float64 {
	out := r.Size[a]
	scale := float32(out) / float32(size)
	if r.Scale != nil {
		scale = float32(r.Scale[a])
	}
	switch {
	case r.Coord == ResizeAsymmetric:
		return float64(float32(i) / scale)
	case out == 1 && r.Coord != ResizeHalfPixel:
		return 0
	case r.Coord == ResizeAlignCorners:
		return float64(float32(i) * float32(size-1) / float32(out-1))
	}
	return float64((float32(i)+0.5)/scale - 0.5)
}

// round returns the position of coordinate c.
func (n ResizeNearest) round(c float64) int {
	switch n {
	case ResizeFloor:
		return int(math.Floor(c))
	case ResizeCeil:
		return int(math.Ceil(c))
	case ResizeRoundPreferCeil:
		return int(math.Floor(c + 0.5))
	}
	return int(math.Ceil(c - 0.5))
}

// weights returns the weight of each of size positions (a row) in the value at each coordinate (a column).
func (r Resize) weights(at []float64, size int) []float32 {
	matrix := make([]float32, size*len(at))
	for i, c := range at {
		base := math.Floor(c)
		t := c - base
		taps := []float64{0, 1 - t, t, 0} // of base-1 to base+2
		if r.Mode == ResizeCubic {
			taps = []float64{r.cubic(1 + t), r.cubic(t), r.cubic(1 - t), r.cubic(2 - t)}
		}
		for k, w := range taps {
			place := min(max(int(base)+k-1, 0), size-1)
			matrix[place*len(at)+i] += float32(w)
		}
	}
	return matrix
}

// cubic returns the weight of a position at distance d < 2:
//
//	(a+2)d³ - (a+3)d² + 1        for d <= 1
//	a·d³ - 5a·d² + 8a·d - 4a     above
func (r Resize) cubic(d float64) float64 {
	a := r.CubicA
	if d <= 1 {
		return ((a+2)*d-(a+3))*d*d + 1
	}
	return a * (((d-5)*d+8)*d - 4)
}
