package models

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Op is what a layer computes. One type for each kind says all that is known of it: a new kind is one new type.
// Embed Base for what most kinds share.
type Op interface {
	// Kind names the kind in messages and tables: "conv".
	Kind() string
	// Inputs is how many tensors it reads.
	Inputs() int
	// Check reports attributes that no input can make right.
	Check() error
	// Shape returns the output's shape for one image, [C,H,W] or [C], given those of the inputs, or why it can't take
	// them.
	Shape(in [][]int) ([]int, error)
	// Params lists its weight tensors in PyTorch's order; names are the ends: "weight".
	Params() []Param
	// Graph computes the output of inputs with the images as first axis. param returns the tensor called name.
	Graph(in []*Node, param func(name string) *Node) *Node
	// Role says what of it is quantised.
	Role() Role
}

// Role says what of a layer is quantised, and when. The zero Role is that of a layer that passes on values, like
// pooling: nothing of it is quantised.
type Role struct {
	Weight      bool   // its "weight" [O,...] is quantised, by output channel
	Output      Output // when its output is quantised
	NotNegative bool   // its output is never below 0
}

// Output says when a layer's output is quantised.
type Output int

// The cases. Logits are never quantised.
const (
	Never    Output = iota // what it reads has been quantised before
	Computed               // unless an activation function or a sum alone reads it, as of a convolution
	Summed                 // unless an activation function alone reads it
	Always                 // as of an activation function
)

// Base gives an Op what most kinds share: one input, no attributes to check, no weights, nothing quantised, and an
// output of the input's shape.
type Base struct{}

// Inputs returns 1.
func (Base) Inputs() int { return 1 }

// Check returns nil.
func (Base) Check() error { return nil }

// Shape returns the first input's.
func (Base) Shape(in [][]int) ([]int, error) { return in[0], nil }

// Params returns none.
func (Base) Params() []Param { return nil }

// Role returns the zero Role.
func (Base) Role() Role { return Role{} }

// Ops lists one value of each kind.
func Ops() []Op {
	return []Op{Conv{}, Linear{}, BatchNorm{}, ReLU{}, ReLU6{}, Sum{}, PadShortcut{}, MaxPooling{}, GlobalAvgPooling{}}
}

// Param is a weight tensor.
type Param struct {
	Name      string // of a layer's: "weight"; of a network's: "conv1.weight"
	Shape     []int
	Start     Start // before training
	Statistic bool  // a running statistic, which no gradient trains
}

// Start is what a weight tensor is before training.
type Start int

// The starts.
const (
	StartZeros  Start = iota
	StartOnes         // scales and variances
	StartNormal       // He et al. 2015: deviation sqrt(2/inputs), for weights [O,...]
)
