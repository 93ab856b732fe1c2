// Package formula fills the tensors of a network without a file of weights, the same everywhere, by
// the formula of testdata/golden/README.md.
package formula

import (
	"math"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
)

// Tensor returns the tensor of that name and shape which is number i of its network's.
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

// Hashed returns offset + scale·u(t,i) for the elements t, where u is -1 to 1.
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
