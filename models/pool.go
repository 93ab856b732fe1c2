package models

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// MaxPooling is the maximum of each window, padding not counted.
type MaxPooling struct {
	Base
	Window // its Pad may be larger at the bottom and right, as PyTorch's ceil_mode makes it
}

// Kind returns "maxpool".
func (MaxPooling) Kind() string { return "maxpool" }

// Role says that it passes its input on.
func (MaxPooling) Role() Role { return Role{Passes: true} }

// Check reports an invalid window.
func (p MaxPooling) Check() error { return p.checkPool() }

// Shape returns [C,H',W'].
func (p MaxPooling) Shape(in [][]int) ([]int, error) { return p.poolShape(in[0]) }

// Graph returns [N,C,H',W'].
func (p MaxPooling) Graph(in []*Node, _ func(name string) *Node) *Node {
	return maxPool(in[0], p.Window)
}

// AvgPooling is the mean of each window.
type AvgPooling struct {
	Base
	Window
	CountPadding bool   // whether the mean counts padding, as zeros
	Beyond       [2]int // pixels added at the bottom and right after padding, and never counted: PyTorch's ceil_mode
}

// Kind returns "avgpool-window".
func (AvgPooling) Kind() string { return "avgpool-window" }

// Role says that it passes its input on.
func (AvgPooling) Role() Role { return Role{Passes: true} }

// Check reports an invalid window.
func (p AvgPooling) Check() error {
	if min(p.Beyond[0], p.Beyond[1]) < 0 {
		return fmt.Errorf("adds %v pixels after padding; the numbers must not be negative", p.Beyond)
	}
	return p.checkPool()
}

// Shape returns [C,H',W'].
func (p AvgPooling) Shape(in [][]int) ([]int, error) { return p.extended().poolShape(in[0]) }

// Graph returns [N,C,H',W']. The mean over a window is that over columns of that over rows: each is a product with a
// matrix.
func (p AvgPooling) Graph(in []*Node, _ func(name string) *Node) *Node {
	x := in[0]
	for a := range 2 {
		size := x.Shape().Dim(2 + a)
		x = mixed(x, 2+a, p.extended().axis(a).count(size), p.means(a, size))
	}
	return x
}

// extended returns the window with Beyond added to its padding.
func (p AvgPooling) extended() Window {
	w := p.Window
	w.Pad.Bottom += p.Beyond[0]
	w.Pad.Right += p.Beyond[1]
	return w
}

// means returns the weight of each pixel of axis a (a row) in the mean of each window (a column).
func (p AvgPooling) means(a, size int) []float32 {
	win := p.axis(a)
	first, end := 0, size // the pixels that count
	if p.CountPadding {
		first, end = -win.before, size+win.after
	}
	windows := p.extended().axis(a).count(size)
	matrix := make([]float32, size*windows)
	for i := range windows {
		counted := slices.DeleteFunc(win.at(i), func(place int) bool { return place < first || place >= end })
		for _, place := range counted {
			if place >= 0 && place < size {
				matrix[place*windows+i] = 1 / float32(len(counted))
			}
		}
	}
	return matrix
}

// GlobalAvgPooling is the mean over H and W: [N,C,H,W] to [N,C].
type GlobalAvgPooling struct{ Base }

// Kind returns "avgpool".
func (GlobalAvgPooling) Kind() string { return "avgpool" }

// Role says that it passes its input on.
func (GlobalAvgPooling) Role() Role { return Role{Passes: true} }

// Shape returns [C].
func (GlobalAvgPooling) Shape(in [][]int) ([]int, error) {
	if len(in[0]) != 3 {
		return nil, wants(in[0], 3, 0)
	}
	return in[0][:1:1], nil
}

// Graph returns [N,C].
func (GlobalAvgPooling) Graph(in []*Node, _ func(name string) *Node) *Node {
	return ReduceMean(in[0], 2, 3)
}

// maxPool returns the maxima [N,C,H',W'] of x [N,C,H,W] over windows, padding not counted.
//
// The gradient goes to the pixel that is a window's maximum. If several are, as often with quantised pixels, it goes to
// the first, row by row, as in PyTorch. It is written out here, because compute-onnx 0.1.13 keeps only one of the
// gradients that overlapping windows send to the same pixel (SelectAndScatterMax scatters without adding).
func maxPool(x *Node, win Window) *Node {
	return WithGradient(maxForward(x, win), []*Node{x}, []func(v *Node) *Node{
		func(v *Node) *Node { return maxGradient(x, v, win) },
	})
}

// maxForward takes the form that is fastest on the graph's backend. In BenchmarkMaxPool the Go backend takes 59 ms for
// maxima of slices and 620 ms for its own pooling, ONNX Runtime 88 and 14 ms.
func maxForward(x *Node, win Window) *Node {
	p := win.Pad
	wide := max(p.Top, p.Bottom) >= win.Kernel[0] || max(p.Left, p.Right) >= win.Kernel[1] // ONNX Runtime refuses it
	if wide || engineOf(x) == goBackend {
		return maxTaps(x, win)
	}
	return windowMax(x, win)
}

// maxTaps is max pooling as maxima of slices, first over columns, then over rows.
func maxTaps(x *Node, win Window) *Node {
	return axisMax(windowTaps(axisMax(windowTaps(x, 3, win.axis(1))), 2, win.axis(0)))
}

// windowMax is the backend's own max pooling.
func windowMax(x *Node, win Window) *Node {
	pads := append([][2]int{{}, {}}, win.pads()...)
	var dilations []int
	if d := win.dilations(); d != nil {
		dilations = append([]int{1, 1}, d...)
	}
	kernel, stride := append([]int{1, 1}, win.Kernel[:]...), append([]int{1, 1}, win.Stride[:]...)
	return BackendReduceWindow(x, compute.ReduceOpMax, kernel, stride, nil, dilations, pads)
}

// maxGradient returns the gradient [N,C,H,W] for x, given the gradient v of the result. The forward pass takes maxima
// over columns, then over rows. The gradient goes back the same way: to the first row with the maximum, and there to
// the first column.
func maxGradient(x, v *Node, win Window) *Node {
	columns := windowTaps(x, 3, win.axis(1))
	rowMax := axisMax(columns)
	rows := windowTaps(rowMax, 2, win.axis(0))
	v = scatterTaps(firstMaxima(rows, v), 2, rowMax.Shape().Dim(2), win.axis(0))
	return scatterTaps(firstMaxima(columns, v), 3, x.Shape().Dim(3), win.axis(1))
}

// windowTaps returns, for each position in a window along axis (2 or 3) of x [N,C,H,W], the pixels at that position: a
// tensor with one pixel for each window.
func windowTaps(x *Node, axis int, a axisWindow) []*Node {
	count := a.count(x.Shape().Dim(axis))
	x = padAxis(x, axis, a.before, a.after, math.Inf(-1))
	taps := make([]*Node, a.kernel)
	for i := range taps {
		at := i * a.dilation
		taps[i] = SliceAxis(x, axis, AxisRange(at, at+(count-1)*a.stride+1).Stride(a.stride))
	}
	return taps
}

// axisMax returns the windows' maxima.
func axisMax(taps []*Node) *Node {
	y := taps[0]
	for _, t := range taps[1:] {
		y = Max(y, t)
	}
	return y
}

// firstMaxima returns each tap's part of v, the gradient of the windows: all of it where the tap is the first with the
// window's maximum, else 0.
func firstMaxima(taps []*Node, v *Node) []*Node {
	y, parts := axisMax(taps), make([]*Node, len(taps))
	for i, t := range taps[:len(taps)-1] {
		parts[i] = Mul(v, ConvertDType(Equal(t, y), v.DType()))
		v = Sub(v, parts[i]) // exactly 0 where this tap took it
	}
	parts[len(parts)-1] = v
	return parts
}

// scatterTaps is the transpose of windowTaps. It returns [N,C,H,W], of the given size along axis, where each pixel is
// the sum of the parts of all windows and positions that it was in. A phase is the pixels with the same remainder
// modulo the stride: each is a sum of moved parts, and at the end the phases are interleaved.
func scatterTaps(parts []*Node, axis, size int, a axisWindow) *Node {
	st, count := a.stride, parts[0].Shape().Dim(axis)
	per := (size + st - 1) / st // pixels of a phase
	dims := parts[0].Shape().Clone().Dimensions
	dims[axis] = per
	phases := make([]*Node, st)
	for i, part := range parts {
		at := i*a.dilation - a.before
		r := (at%st + st) % st
		first := (at - r) / st // the phase's pixel that the first window has at position i
		moved := padAxis(part, axis, first, per-count-first, 0)
		if phases[r] == nil {
			phases[r] = moved
		} else {
			phases[r] = Add(phases[r], moved)
		}
	}
	split := append(append(append([]int{}, dims[:axis+1]...), 1), dims[axis+1:]...)
	for r, p := range phases {
		if p == nil {
			p = Zeros(parts[0].Graph(), shapes.Make(parts[0].DType(), dims...))
		}
		phases[r] = Reshape(p, split...)
	}
	dims[axis] = per * st
	return padAxis(Reshape(concatenate(phases, axis+1), dims...), axis, 0, size-per*st, 0)
}

// padAxis adds fill before and after x along axis; negative numbers cut pixels off.
func padAxis(x *Node, axis, before, after int, fill float64) *Node {
	if before == 0 && after == 0 {
		return x
	}
	pads := make([]compute.PadAxis, x.Rank())
	pads[axis] = compute.PadAxis{Start: before, End: after}
	return Pad(x, Scalar(x.Graph(), x.DType(), fill), pads...)
}
