package models

import (
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
)

// Broadcast returns the shape that a and b are both repeated to, by NumPy's rule: aligned at the last axis, two
// sizes are equal or one of them is 1.
func Broadcast(a, b []int) ([]int, error) {
	if len(a) < len(b) {
		a, b = b, a
	}
	shape := append([]int{}, a...)
	skip := len(a) - len(b)
	for i, size := range b {
		switch at := skip + i; {
		case shape[at] == 1:
			shape[at] = size
		case size != 1 && size != shape[at]:
			return nil, fmt.Errorf("takes shapes %v and %v; aligned at the last axis, two sizes must be equal or one be 1",
				a, b)
		}
	}
	return shape, nil
}

// ranked returns a and b, whose first axis is the images, with equal ranks: the shorter shape gets axes of size 1 after
// the images.
func ranked(a, b *Node) (*Node, *Node) {
	rank := max(a.Rank(), b.Rank())
	return withRank(a, rank), withRank(b, rank)
}

// withRank inserts axes of size 1 after the first axis of x.
func withRank(x *Node, rank int) *Node {
	if x.Rank() == rank {
		return x
	}
	dims := make([]int, rank)
	for i := range dims {
		dims[i] = 1
	}
	dims[0] = x.Shape().Dim(0)
	copy(dims[rank-x.Rank()+1:], x.Shape().Dimensions[1:])
	return Reshape(x, dims...)
}

// asImage returns a parameter of shape [...] as one image, [1,...].
func asImage(v *Node) *Node { return Reshape(v, append([]int{1}, v.Shape().Dimensions...)...) }

// repeated returns a and b, whose first axis is the images, in the shape that both broadcast to.
func repeated(a, b *Node) (*Node, *Node) {
	a, b = ranked(a, b)
	dims := make([]int, a.Rank())
	for i := range dims {
		dims[i] = max(a.Shape().Dim(i), b.Shape().Dim(i))
	}
	return repeatTo(a, dims), repeatTo(b, dims)
}

// repeatTo repeats the axes of size 1 of x.
func repeatTo(x *Node, dims []int) *Node {
	for i, size := range dims {
		if x.Shape().Dim(i) != size {
			return BroadcastToDims(x, dims...)
		}
	}
	return x
}
