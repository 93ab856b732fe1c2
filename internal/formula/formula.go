// Package formula makes the weights of a network by the formula in testdata/golden/README.md, so that tests need no
// file of weights.
package formula

import (
	"math"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
)

// Tensor returns the tensor called name with sizes dims, which is number i of its network's.
func Tensor(i int, name string, dims ...int) *tensors.Tensor {
	offset, scale := 0.0, 0.1
	switch {
	case len(dims) > 1:
		per := 1
		for _, d := range dims[1:] {
			per *= d
		}
		scale = math.Sqrt(6 / float64(per))
	case strings.HasSuffix(name, ".running_var"):
		offset, scale = 1, 0.5
	case strings.HasSuffix(name, ".weight"):
		offset, scale = 1, 0.2
	}
	return Hashed(i, offset, scale, dims...)
}

// Hashed returns a tensor with elements offset + scale·u(t,i), t = 0, 1, …, where u is in [-1,1).
func Hashed(i int, offset, scale float64, dims ...int) *tensors.Tensor {
	size := 1
	for _, d := range dims {
		size *= d
	}
	v := make([]float32, size)
	for t := range v {
		x := uint32(t) + uint32(i)*0x9E3779B1
		x = (x ^ x>>16) * 0x7feb352d
		x = (x ^ x>>15) * 0x846ca68b
		x ^= x >> 16
		v[t] = float32(offset + scale*(float64(x)/(1<<31)-1))
	}
	return tensors.FromFlatDataAndDimensions(v, dims...)
}
