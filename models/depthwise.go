package models

import (
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// mostPairs is the number of pairs of an input's and an output's pixel up to which depthwiseProducts is faster. With
// its gradients it takes 54 instead of 111 ms for 16 images of 1152x7x7 with kernel 5, and 5 instead of 13 ms for
// 192x8x8 with kernel 3, but 175 instead of 74 ms for 480x14x14 (one thread of an AMD EPYC).
const mostPairs = 8 * 8 * 8 * 8

// fewestImages is the number of images from which on depthwiseProducts is faster. Making the matrices takes the same
// time for any number: with its gradients it takes 10 instead of 4 ms for one image of 1152x7x7 with kernel 5, and 12
// instead of 26 ms for four (beside other programs).
const fewestImages = 4

// multiplies says whether convolve takes depthwiseProducts. ONNX Runtime has a fast form of depthwise convolutions only
// for weights that are constant. With others, it multiplies the matrices of each channel of each image on their own.
func multiplies(x, w *Node, win Window, groups int) bool {
	h, wd := win.out(x.Shape().Dim(2), x.Shape().Dim(3))
	return engineOf(x) == onnxRuntime && w.Type() != NodeTypeConstant && x.Shape().Dim(0) >= fewestImages &&
		groups > 1 && x.Shape().Dim(1) == groups && w.Shape().Dim(0) == groups &&
		x.Shape().Dim(2)*x.Shape().Dim(3)*h*wd <= mostPairs
}

// depthwiseProducts is convolve for a depthwise convolution of small images: for each channel, the product of all
// images [N,H·W] with a matrix [H·W,H'·W'] that has the weights where an input's pixel meets an output's. The matrix is
// a product, too, so that the gradients are products.
func depthwiseProducts(x, w *Node, win Window) *Node {
	n, c, height, width := x.Shape().Dim(0), x.Shape().Dim(1), x.Shape().Dim(2), x.Shape().Dim(3)
	h, wd := win.out(height, width)
	places := ConstTensor(x.Graph(), places(win, height, width))
	matrices := Reshape(Dot(Reshape(w, c, -1), places).Product(), c, height*width, h*wd)
	x = TransposeAllAxes(Reshape(x, n, c, height*width), 1, 0, 2)
	y := Dot(x, matrices).General([]int{2}, []int{0}, []int{1}, []int{0}) // [C,N,H'·W']
	return Reshape(TransposeAllAxes(y, 1, 0, 2), n, c, h, wd)
}

// places returns [K,H·W·H'·W'], for each position of the kernel 1 where it multiplies an input's pixel for an output's.
func places(win Window, height, width int) *tensors.Tensor {
	h, w := win.out(height, width)
	kh, kw := win.Kernel[0], win.Kernel[1]
	flat := make([]float32, kh*kw*height*width*h*w)
	for k := range kh * kw {
		for p := range h * w {
			y := p/w*win.Stride[0] + k/kw*win.Dilation[0] - win.Pad.Top
			x := p%w*win.Stride[1] + k%kw*win.Dilation[1] - win.Pad.Left
			if 0 <= y && y < height && 0 <= x && x < width {
				flat[((k*height+y)*width+x)*h*w+p] = 1
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, kh*kw, height*width*h*w)
}

// convShiftedSum is a depthwise convolution as a sum of K·K shifted, scaled inputs.
func convShiftedSum(x, w *Node, win Window) *Node {
	n, c := x.Shape().Dim(0), x.Shape().Dim(1)
	kw := w.Shape().Dim(3)
	shifts, h, wd := shiftedInputs(x, win)
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

// depthwiseWeightGradient is convWeightGradient of a depthwise convolution as one convolution: each channel of each
// image is a group, and v is its kernel, whose pixels lie as far apart as the windows of win. On ONNX Runtime, it is
// faster than products with shifted inputs where these are strided or many: 18 instead of 46 ms for two images of
// 96x112x112 with kernel 3 and stride 2, 30 instead of 76 ms for eight of 672x14x14 with kernel 5.
func depthwiseWeightGradient(x, v *Node, win Window) *Node {
	n, c := x.Shape().Dim(0), x.Shape().Dim(1)
	pads := win.pads()
	for a := range pads {
		size, windows := x.Shape().Dim(2+a), v.Shape().Dim(2+a)
		end := (windows-1)*win.Stride[a] + (win.Kernel[a]-1)*win.Dilation[a] + 1 // of what the windows reach
		pads[a][1] = max(0, end-size-pads[a][0])
	}
	x = Reshape(x, 1, n*c, x.Shape().Dim(2), x.Shape().Dim(3))
	v = Reshape(v, n*c, 1, v.Shape().Dim(2), v.Shape().Dim(3))
	g := ConvGeneral(x, v, nchw(), win.Dilation[:], pads, nil, win.Stride[:], n*c, 1)
	g = Slice(g, AxisRange(), AxisRange(), AxisRange(0, win.Kernel[0]), AxisRange(0, win.Kernel[1]))
	return Reshape(sumImages(Reshape(g, n, c, win.Kernel[0], win.Kernel[1])), c, 1, win.Kernel[0], win.Kernel[1])
}
