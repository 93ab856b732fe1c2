package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// importGemm imports Gemm: α·A·B + β·C with a constant B and C.
func importGemm(im *importer, n *node) error {
	x, err := n.layer(0)
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
	if n.integer("transA", 0) != 0 || len(weight.dims) != 2 || len(x.dims) != 2 {
		return fmt.Errorf("multiplies shape %v (transposed: %d) by %v; rows of images by a matrix are read", x.dims,
			n.integer("transA", 0), weight.dims)
	}
	w := *weight
	if n.integer("transB", 0) == 0 {
		w = *transposed(weight, []int{1, 0})
	}
	w.floats = scaled(w.floats, n.float("alpha", 1))
	var b []float32
	if bias != nil {
		full, err := expanded(bias, []number{{n: 1}, {n: int64(w.dims[0])}})
		if err != nil || size(full.dims) != w.dims[0] || !bias.isFloat() {
			return fmt.Errorf("has a bias of shape %v for %d outputs", bias.dims, w.dims[0])
		}
		b = scaled(full.floats, n.float("beta", 1))
	}
	return im.linear(n, x, &w, b)
}

// scaled returns v times a.
func scaled(v []float32, a float64) []float32 {
	if a == 1 {
		return v
	}
	out := make([]float32, len(v))
	for i := range v {
		out[i] = float32(a) * v[i]
	}
	return out
}

// linear appends a layer of x's last axis with weight [Out,In] and a bias, or nil.
func (im *importer) linear(n *node, x value, weight *constant, bias []float32) error {
	out, in := weight.dims[0], weight.dims[1]
	if last := len(x.dims) - 1; x.axis == last || x.dims[last] != in {
		return fmt.Errorf("multiplies shape %v by a weight for %d inputs", x.dims, in)
	}
	if bias == nil {
		bias = make([]float32, out)
	}
	layer := im.add(n, n.name(weight), models.Linear{In: in, Out: out}, x.layer)
	im.param(layer, "weight", weight.floats, out, in)
	im.param(layer, "bias", bias, out)
	v := value{layer: layer, dims: slices.Clone(x.dims), axis: x.axis, outer: x.outer}
	v.dims[len(v.dims)-1] = out
	im.set(n, 0, v)
	return nil
}

// importMatMul imports MatMul of two layers, or of a layer and a constant.
func importMatMul(im *importer, n *node) error {
	if len(n.in) != 2 || !n.given(0) || !n.given(1) || !n.computed(0) && !n.computed(1) {
		return errors.New("has not two inputs, or none that depends on the images")
	}
	x, y := n.in[0], n.in[1]
	var err error
	switch {
	case y.layer == "" && y.known.isFloat() && len(y.known.dims) == 2 && len(x.dims) > 1:
		return im.linear(n, x, transposed(y.known, []int{1, 0}), nil)
	case y.layer == "":
		y, err = im.constantLayer(n, y.known, x)
	case x.layer == "":
		x, err = im.constantLayer(n, x.known, y)
	}
	if err != nil {
		return err
	}
	rx, ry := len(x.dims), len(y.dims)
	if rx < 2 || ry < 2 || x.dims[rx-1] != y.dims[ry-2] || x.axis >= rx-1 || y.axis == ry-2 {
		return fmt.Errorf("multiplies shapes %v and %v", x.dims, y.dims)
	}
	if err := paired(x, y); err != nil {
		return err
	}
	lead, err := broadcast(x.dims[:rx-2], y.dims[:ry-2])
	if err != nil {
		return err
	}
	out := value{dims: append(lead, x.dims[rx-2], y.dims[ry-1]), outer: x.outer}
	out.axis = x.axis + len(out.dims) - rx
	out.layer = im.add(n, n.name(nil), models.MatrixProduct{}, x.layer, y.layer)
	im.set(n, 0, out)
	return nil
}
