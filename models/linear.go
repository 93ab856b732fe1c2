package models

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// Linear is x·Wᵀ + b of x [N,...,In]. Its weights are "weight" [Out,In] and "bias" [Out].
type Linear struct {
	Base
	In, Out int // channels
}

// Kind returns "linear".
func (Linear) Kind() string { return "linear" }

// Role says that weight and input are quantised, and that channels are the last axis.
func (Linear) Role() Role { return Role{Weight: true, Product: true, Last: true} }

// Params returns weight and bias.
func (l Linear) Params() []Param {
	return []Param{{Name: "weight", Shape: []int{l.Out, l.In}, Start: StartNormal}, {Name: "bias", Shape: []int{l.Out}}}
}

// Shape returns [...,Out] for an input [...,In].
func (l Linear) Shape(in [][]int) ([]int, error) {
	last := len(in[0]) - 1
	if in[0][last] != l.In {
		return nil, fmt.Errorf("takes %d channels, but its input has %d on the last axis of shape %v; they must be equal",
			l.In, in[0][last], in[0])
	}
	return append(slices.Clone(in[0][:last]), l.Out), nil
}

// Graph returns [N,...,Out].
func (l Linear) Graph(in []*Node, param func(name string) *Node) *Node {
	x, dims := in[0], slices.Clone(in[0].Shape().Dimensions)
	if dims[len(dims)-1] = l.Out; len(dims) > 2 {
		x = Reshape(x, -1, l.In)
	}
	y := Add(Dot(x, param("weight")).General([]int{1}, nil, []int{1}, nil), Reshape(param("bias"), 1, l.Out))
	if len(dims) > 2 {
		y = Reshape(y, dims...)
	}
	return y
}

// Biased returns l, which has a bias.
func (l Linear) Biased() Op { return l }

// channelsFirst says whether the output is [Out].
func (Linear) channelsFirst(in []int) bool { return len(in) == 1 }
