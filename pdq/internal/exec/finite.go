package exec

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
)

// NonFinite returns the index of the first value of x that is NaN or infinite, or -1.
func NonFinite(x []float32) int {
	return slices.IndexFunc(x, func(v float32) bool { return v-v != 0 })
}

// FiniteRows returns an error if t [N,...] has a value that isn't finite. The error calls the tensor what, and counts
// images from first.
func FiniteRows(t *tensors.Tensor, what string, first int) error {
	var found error
	err := tensors.ConstFlatData(t, func(flat []float32) {
		if k := NonFinite(flat); k >= 0 {
			found = fmt.Errorf("%s is %g at image %d", what, flat[k], first+k/(len(flat)/t.Shape().Dim(0)))
		}
	})
	return errors.Join(err, found)
}
