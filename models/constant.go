package models

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// Constant is a weight that later layers read as they read any tensor. It reads nothing.
type Constant struct {
	Base
	Dims []int // shape of its weight "value"
}

// Kind returns "constant".
func (Constant) Kind() string { return "constant" }

// Inputs returns 0.
func (Constant) Inputs() int { return 0 }

// Check reports a shape without axes, and sizes below 1.
func (c Constant) Check() error {
	if len(c.Dims) == 0 || slices.Min(c.Dims) < 1 {
		return fmt.Errorf("has shape %v; it must have an axis, and every size must be positive", c.Dims)
	}
	return nil
}

// Params returns value.
func (c Constant) Params() []Param { return []Param{{Name: "value", Shape: c.Dims}} }

// Shape returns Dims.
func (c Constant) Shape([][]int) ([]int, error) { return c.Dims, nil }

// Graph returns [1,Dims...]: one image for all.
func (Constant) Graph(_ []*Node, param func(name string) *Node) *Node { return asImage(param("value")) }
