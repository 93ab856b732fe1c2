package models

import (
	"math"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// maxPool returns the maxima of x [N,C,H,W] over windows of k·k pixels, of which those in the
// padding never are the maximum: shape [N,C,H',W'], H' = (H+2·pad-k)/stride+1.
//
// The gradient goes to a window's maximum, and where several pixels have it, as quantised ones
// often do, to the first in order of rows, as in PyTorch. It is written out here, because
// compute-onnx 0.1.13 keeps only one of the gradients that overlapping windows send to the same
// pixel (SelectAndScatterMax scatters without adding).
func maxPool(x *Node, k int, s ConvSpec) *Node {
	return WithGradient(maxForward(x, k, s), []*Node{x}, []func(v *Node) *Node{
		func(v *Node) *Node { return maxGradient(x, v, k, s) },
	})
}

// maxForward picks the form that is fastest on the graph's backend: by BenchmarkMaxPool the Go
// backend needs 59 ms as maxima of slices and 620 ms as windows, ONNX Runtime 88 and 14 ms.
func maxForward(x *Node, k int, s ConvSpec) *Node {
	if x.Graph().Backend().String() == gobackend.BackendName {
		return axisMax(windowTaps(axisMax(windowTaps(x, 3, k, s)), 2, k, s))
	}
	return windowMax(x, k, s)
}

// windowMax is the backend's own max pooling.
func windowMax(x *Node, k int, s ConvSpec) *Node {
	pads := [][2]int{{}, {}, {s.Pad, s.Pad}, {s.Pad, s.Pad}}
	return BackendReduceWindow(x, compute.ReduceOpMax, []int{1, 1, k, k}, []int{1, 1, s.Stride, s.Stride}, nil, nil, pads)
}

// maxGradient returns the gradient [N,C,H,W] for x, given that of the result. The maximum is
// one over columns, then one over rows, and the gradient takes the same way back: to the first
// row with the maximum, and there to the first column.
func maxGradient(x, v *Node, k int, s ConvSpec) *Node {
	columns := windowTaps(x, 3, k, s)
	rowMax := axisMax(columns)
	rows := windowTaps(rowMax, 2, k, s)
	v = scatterTaps(firstMaxima(rows, v), 2, rowMax.Shape().Dim(2), s)
	return scatterTaps(firstMaxima(columns, v), 3, x.Shape().Dim(3), s)
}

// windowTaps returns for each of the k positions in a window along axis (2 or 3) of x [N,C,H,W]
// the pixels there: k tensors with one pixel per window.
func windowTaps(x *Node, axis, k int, s ConvSpec) []*Node {
	count := (x.Shape().Dim(axis)+2*s.Pad-k)/s.Stride + 1
	x = padAxis(x, axis, s.Pad, s.Pad, math.Inf(-1))
	taps := make([]*Node, k)
	for i := range taps {
		taps[i] = SliceAxis(x, axis, AxisRange(i, i+(count-1)*s.Stride+1).Stride(s.Stride))
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

// firstMaxima returns for each of the taps the part of the windows' gradient v that is its
// own: all of it where the tap is the first with the window's maximum, else 0.
func firstMaxima(taps []*Node, v *Node) []*Node {
	y, parts := axisMax(taps), make([]*Node, len(taps))
	for i, t := range taps[:len(taps)-1] {
		parts[i] = Mul(v, ConvertDType(Equal(t, y), v.DType()))
		v = Sub(v, parts[i]) // exactly 0, once it is given away
	}
	parts[len(parts)-1] = v
	return parts
}

// scatterTaps is the transpose of windowTaps: it returns [N,C,H,W], of the given size along axis,
// in which each pixel is the sum over the windows and positions that it had. The pixels of each
// phase, those with the same remainder modulo the stride, are sums of moved parts; together
// they are interleaved.
func scatterTaps(parts []*Node, axis, size int, s ConvSpec) *Node {
	st, count := s.Stride, parts[0].Shape().Dim(axis)
	per := (size + st - 1) / st // pixels of a phase
	dims := parts[0].Shape().Clone().Dimensions
	dims[axis] = per
	phases := make([]*Node, st)
	for i, part := range parts {
		r := ((i-s.Pad)%st + st) % st
		first := (i - s.Pad - r) / st // the phase's pixel that the first window has there
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

// padAxis adds fill before and after x along axis; negative counts cut.
func padAxis(x *Node, axis, before, after int, fill float64) *Node {
	if before == 0 && after == 0 {
		return x
	}
	pads := make([]compute.PadAxis, x.Rank())
	pads[axis] = compute.PadAxis{Start: before, End: after}
	return Pad(x, Scalar(x.Graph(), x.DType(), fill), pads...)
}
