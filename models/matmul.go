package models

import (
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"
)

// MatrixProduct is the matrix product [...,M,K]·[...,K,P] = [...,M,P]. The leading axes broadcast by NumPy's rule.
type MatrixProduct struct{ Base }

// Kind returns "matmul".
func (MatrixProduct) Kind() string { return "matmul" }

// Inputs returns 2.
func (MatrixProduct) Inputs() int { return 2 }

// Role says that both inputs are quantised.
func (MatrixProduct) Role() Role { return Role{Product: true} }

// Shape returns [...,M,P].
func (MatrixProduct) Shape(in [][]int) ([]int, error) {
	a, b := in[0], in[1]
	if len(a) < 2 || len(b) < 2 || a[len(a)-1] != b[len(b)-2] {
		return nil, fmt.Errorf("multiplies shapes %v and %v; they must be [...,M,K] and [...,K,P]", a, b)
	}
	leading, err := Broadcast(a[:len(a)-2], b[:len(b)-2])
	return append(leading, a[len(a)-2], b[len(b)-1]), err
}

// Graph returns [N,...,M,P]. A second operand that is the same for all images and leading axes is one product of two
// matrices.
func (MatrixProduct) Graph(in []*Node, _ func(name string) *Node) *Node {
	x, y := ranked(in[0], in[1])
	dims, k, p := slices.Clone(x.Shape().Dimensions), y.Shape().Dim(-2), y.Shape().Dim(-1)
	last := len(dims) - 1
	if dims[last] = p; y.Shape().Size() == k*p {
		product := Dot(Reshape(x, -1, k), Reshape(y, k, p)).General([]int{1}, nil, []int{0}, nil)
		return Reshape(product, dims...)
	}
	m := dims[last-1]
	for i := range last - 1 {
		dims[i] = max(dims[i], y.Shape().Dim(i))
	}
	leading := dims[:last-1]
	x = Reshape(repeatTo(x, append(slices.Clone(leading), m, k)), -1, m, k)
	y = Reshape(repeatTo(y, append(slices.Clone(leading), k, p)), -1, k, p)
	return Reshape(Dot(x, y).General([]int{2}, []int{0}, []int{1}, []int{0}), dims...)
}
