package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute/gobackend"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Conv is a 2-d convolution (cross-correlation) of [N,In,H,W]. Its weights are "weight" [Out,In/Groups,Kernel] and, if
// Bias is set, "bias" [Out].
type Conv struct {
	Base
	In, Out int // channels
	Window
	Groups int  // of channels, each convolved separately; must divide In and Out
	Bias   bool // whether there is one
}

// Kind returns "conv".
func (Conv) Kind() string { return "conv" }

// Role says that weight and input are quantised.
func (Conv) Role() Role { return Role{Weight: true, Product: true} }

// Check reports an invalid window or number of groups.
func (c Conv) Check() error {
	if !c.valid() || c.Groups < 1 || c.In%c.Groups != 0 || c.Out%c.Groups != 0 {
		return fmt.Errorf("takes %d channels to %d in %d groups with %v; "+
			"kernel, stride, dilation and groups must be positive, and groups divide the channels",
			c.In, c.Out, c.Groups, c.Window)
	}
	return nil
}

// Params returns weight, and bias if there is one.
func (c Conv) Params() []Param {
	p := []Param{{Name: "weight", Shape: []int{c.Out, c.In / c.Groups, c.Kernel[0], c.Kernel[1]}, Start: StartNormal}}
	if c.Bias {
		p = append(p, Param{Name: "bias", Shape: []int{c.Out}})
	}
	return p
}

// Shape returns [Out,H',W'].
func (c Conv) Shape(in [][]int) ([]int, error) {
	if err := wants(in[0], 3, c.In); err != nil {
		return nil, err
	}
	h, w := c.out(in[0][1], in[0][2])
	return []int{c.Out, h, w}, nil
}

// Graph returns [N,Out,H',W'].
func (c Conv) Graph(in []*Node, param func(name string) *Node) *Node {
	y := convolve(in[0], param("weight"), c.Window, c.Groups)
	if c.Bias {
		y = Add(y, perChannel(param("bias"), y))
	}
	return y
}

// Biased returns c with a bias.
func (c Conv) Biased() Op {
	c.Bias = true
	return c
}

// channelsFirst returns true.
func (Conv) channelsFirst([]int) bool { return true }

// convolve returns the cross-correlation of x [N,C,H,W] with w [O,C/groups,Kernel]: shape [N,O,H',W'].
//
// Its gradients are written out here, because GoMLX's own don't exist on every backend (strided convolutions on ONNX
// Runtime), or are one convolution per group. As elsewhere, StopGradient on x or w decides what trains.
func convolve(x, w *Node, win Window, groups int) *Node {
	if multiplies(x, w, win, groups) {
		return depthwiseProducts(x, w, win)
	}
	h, wd := x.Shape().Dim(2), x.Shape().Dim(3)
	return WithGradient(convForward(x, w, win, groups), []*Node{x, w}, []func(v *Node) *Node{
		func(v *Node) *Node { return convInputGradient(v, w, h, wd, win, groups) },
		func(v *Node) *Node { return convWeightGradient(x, v, win, groups) },
	})
}

// engine is what computes a graph: other forms of a layer are fast on each.
type engine int

const (
	otherEngine engine = iota // XLA on a GPU, above all
	goBackend
	onnxRuntime
	xlaOnCPU
)

func engineOf(x *Node) engine {
	switch b := x.Graph().Backend(); {
	case b.String() == gobackend.BackendName:
		return goBackend
	case b.Name() == "onnxruntime":
		return onnxRuntime
	case b.Name() == "xla" && !strings.Contains(b.Description(), "cuda"):
		return xlaOnCPU
	}
	return otherEngine
}

// nchw names the axes of images [N,C,H,W] and kernels [O,I,K,K].
func nchw() ConvolveAxesConfig {
	return ConvolveAxesConfig{
		InputBatch: 0, InputChannels: 1, InputSpatial: []int{2, 3},
		KernelOutputChannels: 0, KernelInputChannels: 1, KernelSpatial: []int{2, 3},
		OutputBatch: 0, OutputChannels: 1, OutputSpatial: []int{2, 3},
	}
}

// convForward takes the form of the convolution that is fastest on the graph's backend (BenchmarkConvolve measures
// them).
func convForward(x, w *Node, win Window, groups int) *Node {
	depthwise := groups == x.Shape().Dim(1) && w.Shape().Dim(0) == groups
	switch on := engineOf(x); {
	case (on == goBackend || on == xlaOnCPU) && depthwise:
		return convShiftedSum(x, w, win)
	case on == goBackend, on == xlaOnCPU && win.Kernel == [2]int{1, 1} && groups == 1 && fewWeights(x, w):
		return convPatches(x, w, win, groups)
	case on == xlaOnCPU && groups > 1:
		return convByGroup(x, w, win, groups)
	}
	return ConvGeneral(x, w, nchw(), win.Stride[:], win.pads(), nil, win.dilations(), groups, 1)
}

// fewWeights says whether an image's pixels of input and output are more numbers than the weights of a pointwise
// convolution, which convPatches repeats for each image.
func fewWeights(x, w *Node) bool {
	c, o := w.Shape().Dim(1), w.Shape().Dim(0)
	return c*o < (c+o)*x.Shape().Dim(2)*x.Shape().Dim(3)
}

// convByGroup is one convolution for each group. XLA's own is slow on processors: 5.2 instead of 2.8 ms for 32 images
// of 64x14x14 in 8 groups with kernel 3.
func convByGroup(x, w *Node, win Window, groups int) *Node {
	parts := make([]*Node, groups)
	for i := range parts {
		parts[i] = convForward(part(x, 1, i, groups), part(w, 0, i, groups), win, 1)
	}
	return Concatenate(parts, 1)
}

// sumImages returns the sum of x over its first axis, the images. Backends sum a single image at the cost of a copy.
func sumImages(x *Node) *Node {
	if x.Shape().Dim(0) == 1 {
		return Squeeze(x, 0)
	}
	return ReduceSum(x, 0)
}

// part returns the i-th of n equal parts of x along an axis.
func part(x *Node, axis, i, n int) *Node {
	size := x.Shape().Dim(axis) / n
	return SliceAxis(x, axis, AxisRange(i*size, (i+1)*size))
}

// convPatches is the convolution as one matrix product per image and group: the weights [O/g, K·K·C/g] by the patches
// [K·K·C/g, P], P = H'·W'. Weights are repeated over the images, so that no operand has to be transposed.
func convPatches(x, w *Node, win Window, g int) *Node {
	n := x.Shape().Dim(0)
	cg, og, kh, kw := w.Shape().Dim(1), w.Shape().Dim(0)/g, w.Shape().Dim(2), w.Shape().Dim(3)
	shifts, h, wd := shiftedInputs(x, win)
	for i, t := range shifts {
		shifts[i] = Reshape(t, n*g, cg, h*wd)
	}
	patches := concatenate(shifts, 1)
	w = Reshape(TransposeAllAxes(Reshape(w, g, og, cg, kh*kw), 0, 1, 3, 2), 1, g, og, kh*kw*cg)
	w = Reshape(BroadcastToDims(w, n, g, og, kh*kw*cg), n*g, og, kh*kw*cg)
	y := Dot(w, patches).General([]int{2}, []int{0}, []int{1}, []int{0}) // [N·G, O/g, P]
	return Reshape(y, n, g*og, h, wd)
}

// convWeightGradient returns the gradient [O,C/groups,Kernel] for the weight, given x [N,C,H,W] and the gradient v
// [N,O,H',W'] of the result: for each kernel position a batched product of v and the inputs that it multiplied.
func convWeightGradient(x, v *Node, win Window, groups int) *Node {
	n, c, o := x.Shape().Dim(0), x.Shape().Dim(1), v.Shape().Dim(1)
	switch on, size := engineOf(x), win.Kernel[0]*win.Kernel[1]; {
	case on == onnxRuntime && c == groups && o == groups && (win.Stride != [2]int{1, 1} || size > 9):
		return depthwiseWeightGradient(x, v, win)
	case on == onnxRuntime && groups == 1 && 4*v.Shape().Size()/n/o*(c+o) < c*o:
		return joinedWeightGradient(x, v, win)
	}
	vs, xs := meetings(x, v, win)
	cg, og, p := c/groups, o/groups, vs[0].Shape().Size()/n/o
	grads := make([]*Node, len(xs))
	for i := range grads {
		if cg == 1 && og == 1 {
			grads[i] = ReduceSum(Mul(Reshape(vs[i], n, c, p), Reshape(xs[i], n, c, p)), 0, 2)
		} else {
			vg, xg := Reshape(vs[i], n*groups, og, p), Reshape(xs[i], n*groups, cg, p)
			product := Dot(vg, xg).General([]int{2}, []int{0}, []int{2}, []int{0})
			grads[i] = sumImages(Reshape(product, n, groups, og, cg))
		}
		grads[i] = Reshape(grads[i], o, cg, 1)
	}
	return Reshape(Concatenate(grads, 2), o, cg, win.Kernel[0], win.Kernel[1])
}

// joinedWeightGradient is convWeightGradient with one product for all images, whose images must be transposed. That is
// faster where a product has more numbers than its operands, as with many channels of few pixels: on ONNX Runtime, 128
// instead of 324 ms for 16 images of 512x7x7 with kernel 3.
func joinedWeightGradient(x, v *Node, win Window) *Node {
	c, o := x.Shape().Dim(1), v.Shape().Dim(1)
	vs, xs := meetings(TransposeAllAxes(x, 1, 0, 2, 3), TransposeAllAxes(v, 1, 0, 2, 3), win)
	grads := make([]*Node, len(xs))
	for i := range grads {
		product := Dot(Reshape(vs[i], o, -1), Reshape(xs[i], c, -1)).General([]int{1}, nil, []int{1}, nil)
		grads[i] = Reshape(product, o, c, 1)
	}
	return Reshape(Concatenate(grads, 2), o, c, win.Kernel[0], win.Kernel[1])
}

// meetings returns, for each kernel position, the gradients and the inputs that are multiplied there, pixel by pixel in
// the same order. At stride 1, v is moved by whole rows and x within rows: that copies v once for each row of the
// kernel and x once for each column, instead of x once for each position. XLA on processors copies neither.
func meetings(x, v *Node, win Window) (vs, xs []*Node) {
	kh, kw := win.Kernel[0], win.Kernel[1]
	if win.Stride != [2]int{1, 1} || kh*kw == 1 || engineOf(x) == xlaOnCPU {
		xs, _, _ = shiftedInputs(x, win)
		return slices.Repeat([]*Node{v}, kh*kw), xs
	}
	w, p := v.Shape().Dim(3), win.Pad
	var moved []*Node
	for i := range kw {
		left := p.Left - i*win.Dilation[1]
		moved = append(moved, padSpatial(x, p.Top, p.Bottom, left, w-left-x.Shape().Dim(3)))
	}
	for i := range kh {
		rows := padSpatial(v, i*win.Dilation[0], (kh-1-i)*win.Dilation[0], 0, 0)
		vs = append(vs, slices.Repeat([]*Node{rows}, kw)...)
		xs = append(xs, moved...)
	}
	return vs, xs
}

// convInputGradient returns the gradient [N,C,h,w] for the input, given the weight wt [O,C/groups,Kernel] and the
// gradient v [N,O,H',W'] of the result. A phase is the pixels with the same remainders modulo the strides. Its gradient
// is a convolution of v with the part of the flipped kernel that meets its pixels. All phases together cost as much as
// the forward pass.
func convInputGradient(v, wt *Node, h, w int, win Window, groups int) *Node {
	cg, kh, kw := wt.Shape().Dim(1), win.Kernel[0], win.Kernel[1]
	og := wt.Shape().Dim(0) / groups
	t := Reshape(wt, groups, og, cg, kh, kw)
	if kh*kw > 1 { // ONNX Runtime copies number by number, even if there is nothing to flip
		t = Reverse(t, 3, 4)
	}
	t = Reshape(TransposeAllAxes(t, 0, 2, 1, 3, 4), groups*cg, og, kh, kw)
	n, c, sh, sw := v.Shape().Dim(0), groups*cg, win.Stride[0], win.Stride[1]
	th, tw := (h+sh-1)/sh, (w+sw-1)/sw // pixels of a phase
	var rows []*Node
	for y := range sh {
		var row []*Node
		for x := range sw {
			row = append(row, Reshape(phaseGradient(v, t, y, x, th, tw, win, groups), n, c, th, tw, 1))
		}
		rows = append(rows, Reshape(concatenate(row, 4), n, c, th, 1, tw*sw))
	}
	g := Reshape(concatenate(rows, 3), n, c, th*sh, tw*sw)
	return padSpatial(g, 0, h-th*sh, 0, w-tw*sw)
}

// phaseGradient returns the gradient [N,C,th,tw] for the pixels y, y+stride, … and x, x+stride, …; flipped is the
// kernel, flipped and with its channels swapped.
func phaseGradient(v, flipped *Node, y, x, th, tw int, win Window, groups int) *Node {
	ys, top, bottom := win.axis(0).phase(y, th, v.Shape().Dim(2))
	xs, left, right := win.axis(1).phase(x, tw, v.Shape().Dim(3))
	if ys.n == 0 || xs.n == 0 {
		return Zeros(v.Graph(), shapes.Make(v.DType(), v.Shape().Dim(0), flipped.Shape().Dim(0), th, tw))
	}
	if ys.n < win.Kernel[0] || xs.n < win.Kernel[1] {
		flipped = Slice(flipped, AxisRange(), AxisRange(), ys.slice(), xs.slice())
	}
	part := Window{[2]int{ys.n, xs.n}, [2]int{1, 1}, [2]int{ys.dilation, xs.dilation}, Padding{}}
	if top == bottom && top == left && top == right && top >= 0 {
		part.Pad = Padding{top, top, top, top}
	} else {
		v = padSpatial(v, top, bottom, left, right)
	}
	return convForward(v, flipped, part, groups)
}

// taps are n positions along an axis of a flipped kernel: first, first+step, … They lie dilation pixels apart.
type taps struct{ first, n, step, dilation int }

func (t taps) slice() SliceAxisSpec {
	return AxisRange(t.first, t.first+(t.n-1)*t.step+1).Stride(t.step)
}

// phase returns the positions of the flipped kernel that meet the count pixels r, r+stride, …, and how many zeros v,
// which has size pixels, needs before and after. Negative numbers cut pixels off.
//
// Position i of the kernel, not flipped, meets pixel r+t·stride in window t+(r+before-i·dilation)/stride, if that is a
// whole number.
func (a axisWindow) phase(r, count, size int) (t taps, lead, tail int) {
	first := -1
	for i := range a.kernel {
		if (r+a.before-i*a.dilation)%a.stride != 0 {
			continue
		}
		switch t.n++; t.n {
		case 1:
			first = i
		case 2:
			t.step = i - first
		}
	}
	if t.n == 0 {
		return t, 0, 0
	}
	t.dilation = t.step * a.dilation / a.stride
	if t.n == 1 {
		t.step, t.dilation = 1, 1
	}
	last := first + (t.n-1)*t.step
	t.first = a.kernel - 1 - last
	lead = (last*a.dilation - r - a.before) / a.stride
	return t, lead, count + (t.n-1)*t.dilation - lead - size
}

// concatenate is Concatenate, but returns a single operand as it is.
func concatenate(xs []*Node, axis int) *Node {
	if len(xs) == 1 {
		return xs[0]
	}
	return Concatenate(xs, axis)
}
