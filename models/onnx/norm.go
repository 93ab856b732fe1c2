package onnx

import (
	"fmt"

	"github.com/pdquant/pdquant/models"
)

// importBatchNorm imports BatchNormalization.
func importBatchNorm(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	if n.integer("training_mode", 0) != 0 {
		return fmt.Errorf("normalises by each batch, as in training; export it in evaluation mode")
	}
	if !x.leads() || len(x.dims) < 2 {
		return fmt.Errorf("reads shape %v; [N,C,...] is wanted", x.dims)
	}
	channels := x.dims[1]
	var layer string
	for i, name := range []string{"weight", "bias", "running_mean", "running_var"} {
		c, err := n.weight(i + 1)
		if err != nil {
			return err
		}
		if size(c.dims) != channels {
			return fmt.Errorf("has %s of shape %v for %d channels", name, c.dims, channels)
		}
		if i == 0 {
			layer = im.add(n, n.name(c), models.BatchNorm{Channels: channels, Eps: n.float("epsilon", 1e-5)}, x.layer)
		}
		im.param(layer, name, c.floats, channels)
	}
	x.layer = layer
	im.set(n, 0, x)
	return nil
}

// affine appends a normalisation with a weight and, if it is given, a bias.
func (im *importer) affine(n *node, x value, op models.Op, weight, bias *constant, dims ...int) error {
	layer := im.add(n, n.name(weight), op, x.layer)
	for _, p := range []struct {
		name string
		c    *constant
	}{{"weight", weight}, {"bias", bias}} {
		if p.c == nil {
			continue
		}
		if !p.c.isFloat() || size(p.c.dims) != size(dims) {
			return fmt.Errorf("has a %s of shape %v; %v is wanted", p.name, p.c.dims, dims)
		}
		im.param(layer, p.name, p.c.floats, dims...)
	}
	x.layer = layer
	im.set(n, 0, x)
	return nil
}

// parameters returns input 0, a layer, and inputs 1 and 2, constants, which may be missing.
func (n *node) parameters() (x value, weight, bias *constant, err error) {
	if x, err = n.layer(0); err != nil {
		return
	}
	if weight, err = n.constant(1); err != nil {
		return
	}
	bias, err = n.constant(2)
	return
}

// importLayerNorm imports LayerNormalization.
func importLayerNorm(im *importer, n *node) error {
	x, weight, bias, err := n.parameters()
	if err != nil {
		return err
	}
	axis, err := within(n.integer("axis", -1), len(x.dims))
	if err != nil {
		return err
	}
	if axis <= x.axis {
		return fmt.Errorf("normalises over the images: axis %d of shape %v", axis, x.dims)
	}
	op := models.LayerNorm{Dims: x.dims[axis:], Eps: n.float("epsilon", 1e-5), Affine: weight != nil, Bias: bias != nil}
	return im.affine(n, x, op, weight, bias, op.Dims...)
}

// importRMSNorm imports RMSNormalization.
func importRMSNorm(im *importer, n *node) error {
	x, weight, _, err := n.parameters()
	if err != nil {
		return err
	}
	axis, err := within(n.integer("axis", -1), len(x.dims))
	if err != nil {
		return err
	}
	if axis <= x.axis || weight == nil {
		return fmt.Errorf("normalises axis %d of shape %v", axis, x.dims)
	}
	op := models.RMSNorm{Dims: x.dims[axis:], Eps: n.float("epsilon", 1e-5)}
	return im.affine(n, x, op, weight, nil, op.Dims...)
}

// importInstanceNorm imports InstanceNormalization.
func importInstanceNorm(im *importer, n *node) error {
	x, weight, bias, err := n.parameters()
	if err != nil {
		return err
	}
	if len(x.dims) < 2 {
		return fmt.Errorf("reads shape %v; [N,C,...] is wanted", x.dims)
	}
	return im.groups(n, x, x.dims[1], weight, bias)
}

// importGroupNorm imports GroupNormalization, whose parameters are one for each group before opset 21.
func importGroupNorm(im *importer, n *node) error {
	x, weight, bias, err := n.parameters()
	if err != nil {
		return err
	}
	groups := n.integer("num_groups", 0)
	if n.opset < 21 && groups > 0 && len(x.dims) > 1 && x.dims[1]%groups == 0 {
		weight, bias = eachRepeated(weight, x.dims[1]/groups), eachRepeated(bias, x.dims[1]/groups)
	}
	return im.groups(n, x, groups, weight, bias)
}

// eachRepeated returns c with each element repeated.
func eachRepeated(c *constant, times int) *constant {
	if c == nil {
		return nil
	}
	out := &constant{dims: []int{len(c.floats) * times}, name: c.name}
	for _, v := range c.floats {
		for range times {
			out.floats = append(out.floats, v)
		}
	}
	return out
}

// groups appends a normalisation of groups of channels.
func (im *importer) groups(n *node, x value, groups int, weight, bias *constant) error {
	if !x.leads() || len(x.dims) < 3 || groups < 1 || x.dims[1]%groups != 0 || weight == nil || bias == nil {
		return fmt.Errorf("normalises shape %v in %d groups", x.dims, groups)
	}
	op := models.GroupNorm{Channels: x.dims[1], Groups: groups, Eps: n.float("epsilon", 1e-5)}
	return im.affine(n, x, op, weight, bias, x.dims[1])
}

// importLRN imports LRN.
func importLRN(im *importer, n *node) error {
	return im.unary(n, models.LRN{Size: n.integer("size", 0), Alpha: n.float("alpha", 1e-4), Beta: n.float("beta", 0.75),
		Bias: n.float("bias", 1)})
}

// importSoftmax returns the importer of Softmax or LogSoftmax. Before opset 13, it works on all axes from one on.
func importSoftmax(logarithm bool) func(im *importer, n *node) error {
	return func(im *importer, n *node) error {
		x, err := n.layer(0)
		if err != nil {
			return err
		}
		otherwise := -1
		if n.opset < 13 {
			otherwise = 1
		}
		axis, err := within(n.integer("axis", otherwise), len(x.dims))
		if err != nil {
			return err
		}
		own, err := x.own(axis)
		if err != nil {
			return err
		}
		if n.opset < 13 && axis < len(x.dims)-1 && size(x.dims[axis+1:]) != 1 {
			have := x.shape()
			flat := append(append([]int{}, have[:own]...), size(have[own:]))
			y := im.add(n, x.layer+".flat", models.Reshaping{To: flat}, x.layer)
			y = im.add(n, n.name(nil), models.SoftMax{Axis: own, Log: logarithm}, y)
			x.layer = y
			im.set(n, 0, im.relaid(n, x, flat))
			return nil
		}
		return im.unary(n, models.SoftMax{Axis: own, Log: logarithm})
	}
}
