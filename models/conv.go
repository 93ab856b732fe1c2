package models

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// ConvSpec are the constants of a 2-d convolution: the same stride and zero
// padding on both axes, and channel groups.
type ConvSpec struct {
	Stride, Pad, Groups int
}

// convolve returns the cross-correlation of x [N,C,H,W] with w [O,C/groups,K,K]:
// shape [N,O,H',W'], H' = (H+2·pad-K)/stride+1.
//
// Its gradients are written out here, because GoMLX's own don't exist on every
// backend (strided convolutions on ONNX Runtime), or are one convolution per
// group. What trains is decided as everywhere: by StopGradient on x or w.
func convolve(x, w *Node, s ConvSpec) *Node {
	checkConv(x, w, s)
	h, wd, k := x.Shape().Dim(2), x.Shape().Dim(3), w.Shape().Dim(2)
	return WithGradient(convForward(x, w, s), []*Node{x, w}, []func(v *Node) *Node{
		func(v *Node) *Node { return convInputGradient(v, w, h, wd, s) },
		func(v *Node) *Node { return convWeightGradient(x, v, k, s) },
	})
}

func checkConv(x, w *Node, s ConvSpec) {
	if x.Rank() != 4 || w.Rank() != 4 {
		panic(fmt.Errorf("models: convolution of rank-%d input with rank-%d weight; both must have rank 4", x.Rank(), w.Rank()))
	}
	if c, wc := x.Shape().Dim(1), w.Shape().Dim(1)*s.Groups; c != wc {
		panic(fmt.Errorf("models: input has %d channels, but weight %s with %d groups takes %d", c, w.Shape(), s.Groups, wc))
	}
	if w.Shape().Dim(2) != w.Shape().Dim(3) {
		panic(fmt.Errorf("models: kernel is %dx%d; only square kernels are supported", w.Shape().Dim(2), w.Shape().Dim(3)))
	}
}

// nchw names the axes of images [N,C,H,W] and kernels [O,I,K,K].
func nchw() ConvolveAxesConfig {
	return ConvolveAxesConfig{
		InputBatch: 0, InputChannels: 1, InputSpatial: []int{2, 3},
		KernelOutputChannels: 0, KernelInputChannels: 1, KernelSpatial: []int{2, 3},
		OutputBatch: 0, OutputChannels: 1, OutputSpatial: []int{2, 3},
	}
}

// convForward picks the form of the convolution that is fastest on the graph's
// backend (BenchmarkConvolve has the numbers).
func convForward(x, w *Node, s ConvSpec) *Node {
	if x.Graph().Backend().String() != gobackend.BackendName {
		return ConvGeneral(x, w, nchw(), []int{s.Stride, s.Stride}, [][2]int{{s.Pad, s.Pad}, {s.Pad, s.Pad}}, nil, nil, s.Groups, 1)
	}
	if s.Groups == x.Shape().Dim(1) && w.Shape().Dim(0) == s.Groups {
		return convShiftedSum(x, w, s)
	}
	return convPatches(x, w, s)
}

// convPatches is the convolution as one matrix product per image and group: the
// weights [O/g, K·K·C/g] by the patches [K·K·C/g, P], P = H'·W'. Weights are repeated
// over the images, so that no operand has to be transposed.
func convPatches(x, w *Node, s ConvSpec) *Node {
	n, g := x.Shape().Dim(0), s.Groups
	cg, og, kh, kw := w.Shape().Dim(1), w.Shape().Dim(0)/g, w.Shape().Dim(2), w.Shape().Dim(3)
	shifts, h, wd := shiftedInputs(x, kh, kw, s)
	for i, t := range shifts {
		shifts[i] = Reshape(t, n*g, cg, h*wd)
	}
	patches := concatenate(shifts, 1)
	w = Reshape(TransposeAllAxes(Reshape(w, g, og, cg, kh*kw), 0, 1, 3, 2), 1, g, og, kh*kw*cg)
	w = Reshape(BroadcastToDims(w, n, g, og, kh*kw*cg), n*g, og, kh*kw*cg)
	y := Dot(w, patches).General([]int{2}, []int{0}, []int{1}, []int{0}) // [N·G, O/g, P]
	return Reshape(y, n, g*og, h, wd)
}

// convShiftedSum is a depthwise convolution as a sum of K·K shifted, scaled inputs.
func convShiftedSum(x, w *Node, s ConvSpec) *Node {
	n, c := x.Shape().Dim(0), x.Shape().Dim(1)
	kh, kw := w.Shape().Dim(2), w.Shape().Dim(3)
	shifts, h, wd := shiftedInputs(x, kh, kw, s)
	var y *Node
	for i, t := range shifts {
		wi := Reshape(Slice(w, AxisRange(), AxisRange(), AxisElem(i/kw), AxisElem(i%kw)), 1, c, 1)
		if term := Mul(t, wi); y == nil {
			y = term
		} else {
			y = Add(y, term)
		}
	}
	return Reshape(y, n, c, h, wd)
}

// shiftedInputs returns for each of the kh·kw kernel positions the inputs it meets,
// [N,C,H'·W'], and the output's height and width.
func shiftedInputs(x *Node, kh, kw int, s ConvSpec) (shifts []*Node, h, w int) {
	n, c := x.Shape().Dim(0), x.Shape().Dim(1)
	h = (x.Shape().Dim(2)+2*s.Pad-kh)/s.Stride + 1
	w = (x.Shape().Dim(3)+2*s.Pad-kw)/s.Stride + 1
	for i := range kh * kw {
		top, left := s.Pad-i/kw, s.Pad-i%kw
		rows, columns := (h-1)*s.Stride+1, (w-1)*s.Stride+1
		t := padSpatial(x, top, rows-top-x.Shape().Dim(2), left, columns-left-x.Shape().Dim(3))
		if s.Stride > 1 {
			t = Slice(t, AxisRange(), AxisRange(), AxisRange().Stride(s.Stride), AxisRange().Stride(s.Stride))
		}
		shifts = append(shifts, Reshape(t, n, c, h*w))
	}
	return shifts, h, w
}

// convWeightGradient returns the gradient [O,C/groups,K,K] for the weight, given
// x [N,C,H,W] and the gradient v [N,O,H',W'] of the result: for each kernel
// position a batched product of v and the inputs it met.
func convWeightGradient(x, v *Node, k int, s ConvSpec) *Node {
	n, c, o := x.Shape().Dim(0), x.Shape().Dim(1), v.Shape().Dim(1)
	vs, xs := meetings(x, v, k, s)
	cg, og, p := c/s.Groups, o/s.Groups, vs[0].Shape().Size()/n/o
	grads := make([]*Node, k*k)
	for i := range grads {
		if cg == 1 && og == 1 {
			grads[i] = ReduceSum(Mul(Reshape(vs[i], n, c, p), Reshape(xs[i], n, c, p)), 0, 2)
		} else {
			vg, xg := Reshape(vs[i], n*s.Groups, og, p), Reshape(xs[i], n*s.Groups, cg, p)
			grads[i] = ReduceSum(Reshape(Dot(vg, xg).General([]int{2}, []int{0}, []int{2}, []int{0}), n, s.Groups, og, cg), 0)
		}
		grads[i] = Reshape(grads[i], o, cg, 1)
	}
	return Reshape(Concatenate(grads, 2), o, cg, k, k)
}

// meetings returns for each of the k·k kernel positions the gradients and the inputs that meet
// there, in the same order over pixels. At stride 1, v is moved by whole rows and x within
// them: that takes k copies of each instead of k·k of x.
func meetings(x, v *Node, k int, s ConvSpec) (vs, xs []*Node) {
	if s.Stride > 1 || k == 1 {
		xs, _, _ = shiftedInputs(x, k, k, s)
		return slices.Repeat([]*Node{v}, k*k), xs
	}
	w := v.Shape().Dim(3)
	var moved []*Node
	for i := range k {
		moved = append(moved, padSpatial(x, s.Pad, s.Pad, s.Pad-i, w+i-s.Pad-x.Shape().Dim(3)))
	}
	for i := range k {
		rows := padSpatial(v, i, k-1-i, 0, 0)
		vs = append(vs, slices.Repeat([]*Node{rows}, k)...)
		xs = append(xs, moved...)
	}
	return vs, xs
}

// convInputGradient returns the gradient [N,C,h,w] for the input, given the weight wt
// [O,C/groups,K,K] and the gradient v [N,O,H',W'] of the result. The pixels of each phase, those
// with the same remainder modulo the stride, are a convolution of v with the part of the
// flipped kernel that meets them; together they cost as much as the forward pass.
func convInputGradient(v, wt *Node, h, w int, s ConvSpec) *Node {
	cg, k := wt.Shape().Dim(1), wt.Shape().Dim(2)
	og := wt.Shape().Dim(0) / s.Groups
	t := Reverse(Reshape(wt, s.Groups, og, cg, k, k), 3, 4)
	t = Reshape(TransposeAllAxes(t, 0, 2, 1, 3, 4), s.Groups*cg, og, k, k)
	n, c, st := v.Shape().Dim(0), s.Groups*cg, s.Stride
	th, tw := (h+st-1)/st, (w+st-1)/st // pixels of a phase
	var rows []*Node
	for y := range st {
		var row []*Node
		for x := range st {
			row = append(row, Reshape(phaseGradient(v, t, y, x, th, tw, s), n, c, th, tw, 1))
		}
		rows = append(rows, Reshape(concatenate(row, 4), n, c, th, 1, tw*st))
	}
	g := Reshape(concatenate(rows, 3), n, c, th*st, tw*st)
	return padSpatial(g, 0, h-th*st, 0, w-tw*st)
}

// phaseGradient returns the gradient [N,C,th,tw] for the pixels y, y+stride, … and x,
// x+stride, …; flipped is the kernel, flipped and with its channels swapped.
func phaseGradient(v, flipped *Node, y, x, th, tw int, s ConvSpec) *Node {
	k := flipped.Shape().Dim(2)
	ys, top, bottom := phaseTaps(y, k, th, v.Shape().Dim(2), s)
	xs, left, right := phaseTaps(x, k, tw, v.Shape().Dim(3), s)
	if ys.n == 0 || xs.n == 0 {
		return Zeros(v.Graph(), shapes.Make(v.DType(), v.Shape().Dim(0), flipped.Shape().Dim(0), th, tw))
	}
	if ys.n < k || xs.n < k {
		flipped = Slice(flipped, AxisRange(), AxisRange(), ys.slice(s.Stride), xs.slice(s.Stride))
	}
	if top == bottom && top == left && top == right && top >= 0 {
		return convForward(v, flipped, ConvSpec{1, top, s.Groups})
	}
	return convForward(padSpatial(v, top, bottom, left, right), flipped, ConvSpec{1, 0, s.Groups})
}

// taps are n positions of a kernel's axis, from first on, a stride apart.
type taps struct{ first, n int }

func (t taps) slice(stride int) SliceAxisSpec {
	return AxisRange(t.first, t.first+(t.n-1)*stride+1).Stride(stride)
}

// phaseTaps returns which positions of a flipped kernel of size k meet the pixels r, r+stride,
// …, of which there are count, and how many zeros v, of the given size, needs on either side.
func phaseTaps(r, k, count, size int, s ConvSpec) (t taps, lead, tail int) {
	first := (r + s.Pad) % s.Stride // in the kernel as it is
	t.n = (k - first + s.Stride - 1) / s.Stride
	if first >= k {
		return taps{}, 0, 0
	}
	t.first = k - 1 - (first + (t.n-1)*s.Stride)
	lead = t.n - 1 - (r+s.Pad)/s.Stride
	return t, lead, count + t.n - 1 - lead - size
}

// concatenate is Concatenate, but for a single operand, which it leaves alone.
func concatenate(xs []*Node, axis int) *Node {
	if len(xs) == 1 {
		return xs[0]
	}
	return Concatenate(xs, axis)
}

// padSpatial adds zeros around [N,C,H,W]; negative counts cut. (On the Go backend that copies whole rows,
// where Slice goes number by number.)
func padSpatial(x *Node, top, bottom, left, right int) *Node {
	if top == 0 && bottom == 0 && left == 0 && right == 0 {
		return x
	}
	return Pad(x, ScalarZero(x.Graph(), x.DType()), compute.PadAxis{}, compute.PadAxis{},
		compute.PadAxis{Start: top, End: bottom}, compute.PadAxis{Start: left, End: right})
}
