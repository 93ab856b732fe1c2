package models

import . "github.com/gomlx/gomlx/core/graph"

// Linear is x·Wᵀ + b of x [N,In]. Its weights are "weight" [Out,In] and "bias" [Out].
type Linear struct {
	Base
	In, Out int // channels
}

// Kind returns "linear".
func (Linear) Kind() string { return "linear" }

// Role says that weight and input are quantised.
func (Linear) Role() Role { return Role{Weight: true, Product: true} }

// Params returns weight and bias.
func (l Linear) Params() []Param {
	return []Param{{Name: "weight", Shape: []int{l.Out, l.In}, Start: StartNormal}, {Name: "bias", Shape: []int{l.Out}}}
}

// Shape returns [Out] for an input [In].
func (l Linear) Shape(in [][]int) ([]int, error) {
	return []int{l.Out}, wants(in[0], 1, l.In)
}

// Graph returns [N,Out].
func (l Linear) Graph(in []*Node, param func(name string) *Node) *Node {
	product := Dot(in[0], param("weight")).General([]int{1}, nil, []int{1}, nil)
	return Add(product, Reshape(param("bias"), 1, l.Out))
}

// Biased returns l, which has a bias.
func (l Linear) Biased() Op { return l }
