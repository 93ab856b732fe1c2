package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
)

// node is one operator with its arguments.
type node struct {
	*protos.NodeProto
	in    []value // missing ones are the zero value
	opset int
	inner map[string]bool // the PyTorch modules that have modules of their own
}

// given says whether input i is there.
func (n *node) given(i int) bool {
	return i >= 0 && i < len(n.in) && (n.in[i].known != nil || n.in[i].layer != "")
}

// computed says whether a layer computes input i.
func (n *node) computed(i int) bool { return i < len(n.in) && n.in[i].layer != "" }

// constant returns input i, which must be a constant, or nil if it is missing.
func (n *node) constant(i int) (*constant, error) {
	switch {
	case !n.given(i):
		return nil, nil
	case n.in[i].known == nil:
		return nil, fmt.Errorf("input %d, %q, is computed from the images; only a constant is read there", i, n.GetInput()[i])
	}
	return n.in[i].known, nil
}

// needed returns input i, which must be a constant.
func (n *node) needed(i int) (*constant, error) {
	c, err := n.constant(i)
	if err == nil && c == nil {
		err = fmt.Errorf("input %d is missing", i)
	}
	return c, err
}

// weight returns input i, which must be a constant of floats.
func (n *node) weight(i int) (*constant, error) {
	c, err := n.needed(i)
	if err == nil && !c.isFloat() {
		err = fmt.Errorf("input %d, %s, is of integers", i, c.title())
	}
	return c, err
}

// layer returns input i, which must come from a layer.
func (n *node) layer(i int) (value, error) {
	if !n.computed(i) {
		return value{}, fmt.Errorf("input %d doesn't depend on the images", i)
	}
	return n.in[i], nil
}

func (n *node) attribute(name string) *protos.AttributeProto {
	for _, a := range n.GetAttribute() {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

// has says whether the attribute is there.
func (n *node) has(name string) bool { return n.attribute(name) != nil }

// integer returns an attribute, or otherwise if it is missing.
func (n *node) integer(name string, otherwise int) int {
	if a := n.attribute(name); a != nil {
		return int(a.GetI())
	}
	return otherwise
}

func (n *node) float(name string, otherwise float64) float64 {
	if a := n.attribute(name); a != nil {
		return float64(a.GetF())
	}
	return otherwise
}

func (n *node) text(name, otherwise string) string {
	if a := n.attribute(name); a != nil {
		return string(a.GetS())
	}
	return otherwise
}

// integers returns an attribute, or nil if it is missing.
func (n *node) integers(name string) []int {
	a := n.attribute(name)
	if a == nil {
		return nil
	}
	out := make([]int, len(a.GetInts()))
	for i, x := range a.GetInts() {
		out[i] = int(x)
	}
	return out
}

// axes returns what is an attribute in older opsets and input i in newer ones, or nil if it is neither.
func (n *node) axes(name string, i int) ([]int, error) {
	if n.has(name) {
		return n.integers(name), nil
	}
	c, err := n.constant(i)
	if c == nil {
		return nil, err
	}
	return c.plain()
}

// scalar returns what is an attribute in older opsets and input i in newer ones.
func (n *node) scalar(name string, i int, otherwise float64) (float64, error) {
	if n.has(name) {
		return n.float(name, otherwise), nil
	}
	c, err := n.constant(i)
	if c == nil {
		return otherwise, err
	}
	return c.scalarFloat()
}

// bounds returns those of a Clip; infinities where there are none.
func (n *node) bounds() (low, high float64, err error) {
	if low, err = n.scalar("min", 1, math.Inf(-1)); err != nil {
		return
	}
	high, err = n.scalar("max", 2, math.Inf(1))
	return
}

// permutation returns the order in which a Transpose has rank axes: reversed if no attribute says it.
func (n *node) permutation(rank int) ([]int, error) {
	perm := n.integers("perm")
	if perm == nil {
		for i := range rank {
			perm = append(perm, rank-1-i)
		}
	}
	sorted := slices.Sorted(slices.Values(perm))
	for i, p := range sorted {
		if p != i {
			sorted = nil
			break
		}
	}
	if len(sorted) != rank {
		return nil, fmt.Errorf("reorders %d axes by %v", rank, perm)
	}
	return perm, nil
}

// scopes returns the names of the PyTorch modules around the node, outermost first, as PyTorch's exporters write them.
func (n *node) scopes() []string {
	for _, p := range n.GetMetadataProps() {
		if p.GetKey() == "pkg.torch.onnx.name_scopes" { // a Python list, its last item the node: ['', 'layer1', 'relu_1']
			items := strings.Split(strings.Trim(p.GetValue(), "[]"), ",")
			for i, s := range items {
				items[i] = strings.Trim(s, ` '"`)
			}
			return items[:len(items)-1]
		}
	}
	parts := strings.Split(strings.TrimPrefix(n.GetName(), "/"), "/") // "/layer1/layer1.0/conv1/Conv"
	if !strings.HasPrefix(n.GetName(), "/") {
		return nil
	}
	return parts[:len(parts)-1]
}

// module returns the dotted name of the PyTorch module around the node, or "".
func (n *node) module() string {
	path, before := "", ""
	for _, s := range n.scopes() {
		switch {
		case s == "":
			continue
		case path == "":
			path = s
		case strings.HasPrefix(s, before+"."): // layer1, layer1.0
			path += s[len(before):]
		default:
			path += "." + s
		}
		before = s
	}
	return path
}
