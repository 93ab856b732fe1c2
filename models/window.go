package models

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
)

// Window describes the windows of a convolution or a pooling over [H,W].
type Window struct {
	Kernel, Stride, Dilation [2]int // of rows and columns, >= 1
	Pad                      Padding
}

// Padding is the number of pixels added on each side, >= 0.
type Padding struct{ Top, Bottom, Left, Right int }

// SquareWindow returns windows of kernel x kernel pixels, stride pixels apart, with pad pixels of padding on each side.
func SquareWindow(kernel, stride, pad int) Window {
	return Window{[2]int{kernel, kernel}, [2]int{stride, stride}, [2]int{1, 1}, Padding{pad, pad, pad, pad}}
}

// String describes the window: "kernel 3, stride 2, padding 1", or "kernel 3x5, …" if the axes differ.
func (w Window) String() string {
	pads := [4]int{w.Pad.Top, w.Pad.Bottom, w.Pad.Left, w.Pad.Right}
	text := "kernel " + pair(w.Kernel) + ", stride " + pair(w.Stride)
	if pads == [4]int{pads[0], pads[0], pads[0], pads[0]} {
		text += fmt.Sprintf(", padding %d", pads[0])
	} else {
		text += fmt.Sprintf(", padding %v", pads)
	}
	if w.Dilation != [2]int{1, 1} {
		text += ", dilation " + pair(w.Dilation)
	}
	return text
}

func pair(x [2]int) string {
	if x[0] == x[1] {
		return fmt.Sprint(x[0])
	}
	return fmt.Sprintf("%dx%d", x[0], x[1])
}

// valid says whether kernels, strides and dilations are positive, and no padding is negative.
func (w Window) valid() bool {
	for a := range 2 {
		x := w.axis(a)
		if x.kernel < 1 || x.stride < 1 || x.dilation < 1 || x.before < 0 || x.after < 0 {
			return false
		}
	}
	return true
}

// axis returns the window along H (0) or W (1).
func (w Window) axis(a int) axisWindow {
	pads := [2][2]int{{w.Pad.Top, w.Pad.Bottom}, {w.Pad.Left, w.Pad.Right}}[a]
	return axisWindow{w.Kernel[a], w.Stride[a], w.Dilation[a], pads[0], pads[1]}
}

// dilations returns Dilation as the backend takes it, or nil if there is none.
func (w Window) dilations() []int {
	if w.Dilation == [2]int{1, 1} {
		return nil
	}
	return w.Dilation[:]
}

// pads returns the padding of both axes as the backend takes it.
func (w Window) pads() [][2]int {
	return [][2]int{{w.Pad.Top, w.Pad.Bottom}, {w.Pad.Left, w.Pad.Right}}
}

// out returns how many windows fit along each axis of height x width pixels.
func (w Window) out(height, width int) (int, int) {
	return w.axis(0).count(height), w.axis(1).count(width)
}

// axisWindow is a window along one axis; before and after are the padding.
type axisWindow struct{ kernel, stride, dilation, before, after int }

// reach is the number of pixels from a window's first to its last, both included.
func (a axisWindow) reach() int { return (a.kernel-1)*a.dilation + 1 }

// count returns how many windows fit on size pixels: a number below 1 if none does.
func (a axisWindow) count(size int) int {
	return (size + a.before + a.after - a.reach() + a.stride) / a.stride
}

// at returns the places of window i's pixels. Those before 0 or from the axis' size on are padding.
func (a axisWindow) at(i int) []int {
	places := make([]int, a.kernel)
	for k := range places {
		places[k] = i*a.stride - a.before + k*a.dilation
	}
	return places
}

// checkPool reports a window that is invalid for poolings.
func (w Window) checkPool() error {
	if !w.valid() {
		return fmt.Errorf("has %v; kernel, stride and dilation must be positive, and padding not negative", w)
	}
	return nil
}

// poolShape returns [C,H',W'] for [C,H,W]. It reports windows without a pixel.
func (w Window) poolShape(in []int) ([]int, error) {
	if len(in) != 3 {
		return nil, wantsRank(in, 3)
	}
	h, wd := w.out(in[1], in[2])
	for a, count := range []int{h, wd} {
		size := in[1+a]
		for i := range max(count, 0) {
			if !slices.ContainsFunc(w.axis(a).at(i), func(p int) bool { return p >= 0 && p < size }) {
				return nil, fmt.Errorf("has %v; window %d of axis %d has nothing but padding; pad less", w, i, a+1)
			}
		}
	}
	return []int{in[0], h, wd}, nil
}

// shiftedInputs returns, for each position in the kernel, the pixels [N,C,H'·W'] of x [N,C,H,W] that are multiplied
// there, and the output's height and width.
func shiftedInputs(x *Node, win Window) (shifts []*Node, h, w int) {
	n, c := x.Shape().Dim(0), x.Shape().Dim(1)
	h, w = win.out(x.Shape().Dim(2), x.Shape().Dim(3))
	if engineOf(x) == onnxRuntime && win.Stride != [2]int{1, 1} &&
		win.Kernel[0]*win.Kernel[1] > win.Stride[0]*win.Stride[1] {
		return stridedInputs(x, win, h, w), h, w
	}
	rows, columns := (h-1)*win.Stride[0]+1, (w-1)*win.Stride[1]+1
	if engineOf(x) == xlaOnCPU {
		return slicedInputs(x, win, rows, columns), h, w
	}
	for i := range win.Kernel[0] {
		for k := range win.Kernel[1] {
			top, left := win.Pad.Top-i*win.Dilation[0], win.Pad.Left-k*win.Dilation[1]
			t := padSpatial(x, top, rows-top-x.Shape().Dim(2), left, columns-left-x.Shape().Dim(3))
			if win.Stride != [2]int{1, 1} {
				t = Slice(t, AxisRange(), AxisRange(), AxisRange().Stride(win.Stride[0]), AxisRange().Stride(win.Stride[1]))
			}
			shifts = append(shifts, Reshape(t, n, c, h*w))
		}
	}
	return shifts, h, w
}

// slicedInputs is shiftedInputs with one padding, whose slices XLA computes where they are used. rows and columns are
// those between the first and the last pixel of a position, both included.
func slicedInputs(x *Node, win Window, rows, columns int) (shifts []*Node) {
	n, c := x.Shape().Dim(0), x.Shape().Dim(1)
	reach := func(axis, size int) int { return (win.Kernel[axis]-1)*win.Dilation[axis] + size }
	x = padSpatial(x, win.Pad.Top, reach(0, rows)-win.Pad.Top-x.Shape().Dim(2),
		win.Pad.Left, reach(1, columns)-win.Pad.Left-x.Shape().Dim(3))
	for i := range win.Kernel[0] {
		for k := range win.Kernel[1] {
			i, k := i*win.Dilation[0], k*win.Dilation[1]
			t := Slice(x, AxisRange(), AxisRange(),
				AxisRange(i, i+rows).Stride(win.Stride[0]), AxisRange(k, k+columns).Stride(win.Stride[1]))
			shifts = append(shifts, Reshape(t, n, c, -1))
		}
	}
	return shifts
}

// stridedInputs is shiftedInputs for windows that are more positions than the pixels of a stride. It first sorts the
// pixels by their remainders modulo the strides: ONNX Runtime copies a strided slice number by number.
func stridedInputs(x *Node, win Window, h, w int) (shifts []*Node) {
	n, c, sh, sw := x.Shape().Dim(0), x.Shape().Dim(1), win.Stride[0], win.Stride[1]
	last := func(axis int) int { return (win.Kernel[axis] - 1) * win.Dilation[axis] / win.Stride[axis] }
	rows, columns := h+last(0), w+last(1) // with the same remainders
	x = padSpatial(x, win.Pad.Top, rows*sh-win.Pad.Top-x.Shape().Dim(2),
		win.Pad.Left, columns*sw-win.Pad.Left-x.Shape().Dim(3))
	x = TransposeAllAxes(Reshape(x, n, c, rows, sh, columns, sw), 3, 5, 0, 1, 2, 4)
	x = Reshape(x, sh*sw, n, c, rows, columns)
	for i := range win.Kernel[0] {
		for k := range win.Kernel[1] {
			i, k := i*win.Dilation[0], k*win.Dilation[1]
			t := Slice(x, AxisElem(i%sh*sw+k%sw), AxisRange(), AxisRange(),
				AxisRange(i/sh, i/sh+h), AxisRange(k/sw, k/sw+w))
			shifts = append(shifts, Reshape(t, n, c, h*w))
		}
	}
	return shifts
}

// padSpatial adds zeros around x [N,C,H,W]; negative numbers cut pixels off. (On the Go backend it copies whole rows,
// while Slice copies number by number.)
func padSpatial(x *Node, top, bottom, left, right int) *Node {
	if top == 0 && bottom == 0 && left == 0 && right == 0 {
		return x
	}
	return Pad(x, ScalarZero(x.Graph(), x.DType()), compute.PadAxis{}, compute.PadAxis{},
		compute.PadAxis{Start: top, End: bottom}, compute.PadAxis{Start: left, End: right})
}

// wants reports an input whose number of dimensions or channels is wrong.
func wants(in []int, dims, channels int) error {
	switch {
	case len(in) != dims:
		return fmt.Errorf("takes an input of %d dimensions, but it has shape %v", dims, in)
	case in[0] != channels:
		return fmt.Errorf("takes %d channels, but its input has %d; they must be equal", channels, in[0])
	}
	return nil
}
