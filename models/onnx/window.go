package onnx

import (
	"fmt"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// spatial is a convolution's or pooling's input as images [C,H,W]; data of one dimension have a height of 1.
type spatial struct {
	value
	flat bool // whether the data have one dimension
}

// spatial returns input 0 as images.
func (im *importer) spatial(n *node) (spatial, error) {
	x, err := n.layer(0)
	if err != nil {
		return spatial{}, err
	}
	if !x.leads() || len(x.dims) < 3 || len(x.dims) > 4 {
		return spatial{}, fmt.Errorf("reads shape %v; [N,C,H,W] or [N,C,L] is wanted, with the images first", x.dims)
	}
	if len(x.dims) == 4 {
		return spatial{x, false}, nil
	}
	x.dims = []int{1, x.dims[1], 1, x.dims[2]}
	return spatial{im.relaid(n, x, []int{x.dims[1], x.dims[3]}), true}, nil
}

// setSpatial sets output 0 to a layer's images.
func (im *importer) setSpatial(n *node, x spatial, layer string, channels, height, width int) {
	v := value{layer: layer, dims: []int{1, channels, height, width}}
	if x.flat {
		v.dims = []int{1, channels, width}
		v = im.relaid(n, v, []int{channels, height, width})
	}
	im.set(n, 0, v)
}

// window returns the windows that n's attributes describe for kernels of the given sizes, and how many pixels windows
// reach beyond the padding because of ceil_mode.
func (n *node) window(x spatial, kernel []int) (w models.Window, beyond [2]int, err error) {
	axes := len(x.dims) - 2
	if x.flat {
		axes = 1
	}
	or := func(v []int, count, otherwise int) ([]int, error) {
		if v == nil {
			return slices.Repeat([]int{otherwise}, count), nil
		}
		if len(v) != count {
			return nil, fmt.Errorf("has %v where %d numbers are wanted", v, count)
		}
		return v, nil
	}
	strides, err1 := or(n.integers("strides"), axes, 1)
	dilations, err2 := or(n.integers("dilations"), axes, 1)
	pads, err3 := or(n.integers("pads"), 2*axes, 0)
	kernel, err4 := or(kernel, axes, 1)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return w, beyond, err
		}
	}
	if x.flat {
		kernel, strides, dilations = append([]int{1}, kernel...), append([]int{1}, strides...), append([]int{1}, dilations...)
		pads = []int{0, pads[0], 0, pads[1]}
	}
	size := x.dims[len(x.dims)-2:]
	var before, after [2]int
	for a := range 2 {
		w.Kernel[a], w.Stride[a], w.Dilation[a] = kernel[a], strides[a], dilations[a]
		if kernel[a] < 1 || strides[a] < 1 || dilations[a] < 1 {
			return w, beyond, fmt.Errorf("has kernel %v, strides %v, dilations %v; all must be positive", kernel, strides,
				dilations)
		}
		reach := (kernel[a]-1)*dilations[a] + 1
		before[a], after[a] = pads[a], pads[a+2]
		switch mode := n.text("auto_pad", "NOTSET"); mode {
		case "NOTSET", "":
		case "VALID":
			before[a], after[a] = 0, 0
		case "SAME_UPPER", "SAME_LOWER":
			all := max(0, ((size[a]+strides[a]-1)/strides[a]-1)*strides[a]+reach-size[a])
			before[a], after[a] = all/2, all-all/2
			if mode == "SAME_LOWER" {
				before[a], after[a] = after[a], before[a]
			}
		default:
			return w, beyond, fmt.Errorf("has auto_pad %q", mode)
		}
		if n.integer("ceil_mode", 0) != 0 {
			padded := size[a] + before[a] + after[a]
			count := (padded-reach+strides[a]-1)/strides[a] + 1
			if (count-1)*strides[a] >= size[a]+before[a] { // a window must start within the image or the padding before it
				count--
			}
			beyond[a] = max(0, (count-1)*strides[a]+reach-padded)
		}
	}
	w.Pad = models.Padding{Top: before[0], Bottom: after[0], Left: before[1], Right: after[1]}
	return w, beyond, nil
}

// importConv imports Conv.
func importConv(im *importer, n *node) error {
	x, err := im.spatial(n)
	if err != nil {
		return err
	}
	weight, err := n.weight(1)
	if err != nil {
		return err
	}
	bias, err := n.constant(2)
	if err != nil {
		return err
	}
	if axes := len(weight.dims) - 2; axes != 2 && !(x.flat && axes == 1) {
		return fmt.Errorf("has a weight of shape %v for an input of shape %v", weight.dims, x.dims)
	}
	w, _, err := n.window(x, weight.dims[2:])
	if err != nil {
		return err
	}
	op := models.Conv{In: x.dims[1], Out: weight.dims[0], Window: w, Groups: n.integer("group", 1), Bias: bias != nil}
	return im.weighted(n, x, op, weight, bias)
}

// weighted appends a convolution.
func (im *importer) weighted(n *node, x spatial, op models.Conv, weight, bias *constant) error {
	if err := op.Check(); err != nil {
		return err
	}
	want := []int{op.Out, op.In / op.Groups, op.Kernel[0], op.Kernel[1]}
	if size(weight.dims) != size(want) || weight.dims[1] != want[1] {
		return fmt.Errorf("has a weight of shape %v; %v is wanted", weight.dims, want)
	}
	if bias != nil && (!bias.isFloat() || size(bias.dims) != op.Out) {
		return fmt.Errorf("has a bias of shape %v for %d channels", bias.dims, op.Out)
	}
	out, err := op.Shape([][]int{x.dims[1:]})
	if err != nil {
		return err
	}
	layer := im.add(n, n.name(weight), op, x.layer)
	im.param(layer, "weight", weight.floats, want...)
	if bias != nil {
		im.param(layer, "bias", bias.floats, op.Out)
	}
	im.setSpatial(n, x, layer, out[0], out[1], out[2])
	return nil
}

// importMaxPool imports MaxPool.
func importMaxPool(im *importer, n *node) error {
	x, err := im.spatial(n)
	if err != nil {
		return err
	}
	w, beyond, err := n.window(x, n.integers("kernel_shape"))
	if err != nil {
		return err
	}
	if len(n.GetOutput()) > 1 && n.GetOutput()[1] != "" {
		return fmt.Errorf("returns the places of the maxima, which isn't read")
	}
	w.Pad.Bottom += beyond[0]
	w.Pad.Right += beyond[1]
	return im.pool(n, x, models.MaxPooling{Window: w})
}

// importAveragePool imports AveragePool.
func importAveragePool(im *importer, n *node) error {
	x, err := im.spatial(n)
	if err != nil {
		return err
	}
	w, beyond, err := n.window(x, n.integers("kernel_shape"))
	if err != nil {
		return err
	}
	op := models.AvgPooling{Window: w, CountPadding: n.integer("count_include_pad", 0) != 0, Beyond: beyond}
	return im.pool(n, x, op)
}

// pool appends a pooling.
func (im *importer) pool(n *node, x spatial, op models.Op) error {
	if err := op.Check(); err != nil {
		return err
	}
	out, err := op.Shape([][]int{x.dims[1:]})
	if err != nil {
		return err
	}
	im.setSpatial(n, x, im.add(n, n.name(nil), op, x.layer), out[0], out[1], out[2])
	return nil
}

// importGlobal returns the importer of a reduction of all pixels.
func importGlobal(f models.ReduceFunc) func(im *importer, n *node) error {
	return func(im *importer, n *node) error {
		x, err := n.layer(0)
		if err != nil {
			return err
		}
		if len(x.dims) < 3 || !x.leads() {
			return fmt.Errorf("reads shape %v; [N,C,...] is wanted", x.dims)
		}
		axes := make([]int, len(x.dims)-2)
		for i := range axes {
			axes[i] = i + 2
		}
		return im.reduce(n, x, f, axes, true)
	}
}

// reduce appends a reduction over ONNX's axes.
func (im *importer) reduce(n *node, x value, f models.ReduceFunc, axes []int, keep bool) error {
	own, err := x.owns(axes)
	if err != nil {
		return err
	}
	out := value{dims: slices.Clone(x.dims), axis: x.axis, outer: x.outer}
	gone, _ := allWithin(axes, len(x.dims)) // owns has checked them
	for _, a := range gone {
		out.dims[a] = 1
	}
	if !keep {
		out.dims = nil
		for i, d := range x.dims {
			if i == x.axis {
				out.axis = len(out.dims)
			}
			if !slices.Contains(gone, i) {
				out.dims = append(out.dims, d)
			}
		}
	}
	// A global average keeps its own kind, so that the network is the same as that of package arch.
	if f == models.ReduceByMean && slices.Equal(own, []int{1, 2}) && len(x.shape()) == 3 {
		out.layer = im.add(n, n.name(nil), models.GlobalAvgPooling{}, x.layer)
		im.set(n, 0, im.relaid(n, out, []int{x.shape()[0]}))
		return nil
	}
	have := slices.Clone(x.shape())
	for _, a := range own {
		have[a] = 1
	}
	out.layer = im.add(n, n.name(nil), models.Reduce{Func: f, Axes: own, Keep: true}, x.layer)
	im.set(n, 0, im.relaid(n, out, have))
	return nil
}

// importReduce returns the importer of a reduction along axes.
func importReduce(f models.ReduceFunc) func(im *importer, n *node) error {
	return func(im *importer, n *node) error {
		x, err := n.layer(0)
		if err != nil {
			return err
		}
		axes, err := n.axes("axes", 1)
		if err != nil {
			return err
		}
		if len(axes) == 0 {
			if n.integer("noop_with_empty_axes", 0) != 0 {
				im.set(n, 0, x)
				return nil
			}
			return fmt.Errorf("reduces all axes, with the images among them; %w", errAcross)
		}
		return im.reduce(n, x, f, axes, n.integer("keepdims", 1) != 0)
	}
}
