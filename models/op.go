package models

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// Op is what a layer computes. Each kind of layer is one type, which holds all that is known of the kind: a new kind is
// one new type. Embed Base for the methods that most kinds share.
type Op interface {
	// Kind names the kind in messages and tables: "conv".
	Kind() string
	// Inputs returns the number of tensors it reads.
	Inputs() int
	// Check reports attributes that are wrong for every input.
	Check() error
	// Shape returns the output's shape for one image, such as [C,H,W], given the inputs' shapes. The error says why it
	// can't take such inputs.
	Shape(in [][]int) ([]int, error)
	// Params lists its weight tensors in PyTorch's order. Their names lack the layer's: "weight".
	Params() []Param
	// Graph computes the output from the inputs, whose first axis is the images. param returns the layer's tensor called
	// name.
	Graph(in []*Node, param func(name string) *Node) *Node
	// Role says which of its tensors are quantised.
	Role() Role
}

// Role is what quantisation has to know of a layer. The zero Role is for layers that compute without weights and
// without a product, such as activation functions and sums.
type Role struct {
	Weight      bool // its "weight" [O,...] is quantised, by output channel
	Product     bool // it multiplies its inputs, by each other or by the weight: they are quantised
	Passes      bool // it picks, moves or averages its input's values: the input is quantised in place of its output
	NotNegative bool // its output is never below 0
	Last        bool // its output has the channels as the last axis, not as the first of an image
}

// Base gives an Op what most kinds share: one input, no attributes to check, no weights, nothing quantised, and an
// output of the input's shape.
type Base struct{}

// Inputs returns 1.
func (Base) Inputs() int { return 1 }

// Check returns nil.
func (Base) Check() error { return nil }

// Shape returns the first input's shape.
func (Base) Shape(in [][]int) ([]int, error) { return in[0], nil }

// Params returns none.
func (Base) Params() []Param { return nil }

// Role returns the zero Role.
func (Base) Role() Role { return Role{} }

// Ops returns one value of each kind.
func Ops() []Op {
	return []Op{Conv{}, Linear{}, BatchNorm{}, ScaleShift{}, ReLU{}, ReLU6{}, Sum{}, PadShortcut{}, MaxPooling{},
		GlobalAvgPooling{}, AvgPooling{}, Pointwise{}, PReLU{}, Binary{}, WithConstant{}, Constant{}, MatrixProduct{},
		SoftMax{}, LayerNorm{}, RMSNorm{}, GroupNorm{}, LRN{}, Reshaping{}, Transposing{}, Concat{}, Expand{}, Tile{},
		Slicing{}, Gathering{}, PadAxes{}, Reduce{}, Resize{}, Levels{}}
}

// Param is a weight tensor.
type Param struct {
	Name      string // of an Op's: "weight"; of a Layer's or Network's: "conv1.weight"
	Shape     []int
	Start     Start // its values before training
	Statistic bool  // a running statistic, which no gradient trains
}

// Start says which values a weight tensor has before training.
type Start int

// The values before training.
const (
	StartZeros  Start = iota // biases and means
	StartOnes                // scales and variances
	StartNormal              // He et al. 2015: deviation sqrt(2/inputs), for weights [O,...]
)
