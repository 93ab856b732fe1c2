// Package nettest holds what tests of several packages of models need: random tensors, plain forms, comparisons. It
// knows no networks, so that package models' own tests can use it.
package nettest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// Randn returns normally distributed numbers of these sizes.
func Randn(rng *rand.Rand, dims ...int) *tensors.Tensor {
	n := 1
	for _, d := range dims {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return tensors.FromFlatDataAndDimensions(v, dims...)
}

// Clone copies x: a tensor belongs to the first backend that uses it.
func Clone(t testing.TB, x *tensors.Tensor) *tensors.Tensor {
	t.Helper()
	c, err := x.LocalClone()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Float64s returns the numbers of a float32 tensor.
func Float64s(t *tensors.Tensor) []float64 {
	flat := tensors.MustCopyFlatData[float32](t)
	out := make([]float64, len(flat))
	for i, x := range flat {
		out[i] = float64(x)
	}
	return out
}

// RelativeError returns |got-want|/|want|.
func RelativeError(got []float32, want []float64) float64 {
	var d, s float64
	for i := range want {
		d += (float64(got[i]) - want[i]) * (float64(got[i]) - want[i])
		s += want[i] * want[i]
	}
	return math.Sqrt(d / max(s, 1e-30))
}

// SameWeights says where two sets of weights differ, bit by bit.
func SameWeights(got, want map[string]*tensors.Tensor) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d tensors, want %d", len(got), len(want))
	}
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			return fmt.Errorf("no tensor %q", name)
		}
		if !g.Shape().Equal(w.Shape()) {
			return fmt.Errorf("%q has shape %v, want %v", name, g.Shape(), w.Shape())
		}
		a, b := tensors.MustCopyFlatData[float32](g), tensors.MustCopyFlatData[float32](w)
		for i := range b {
			if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
				return fmt.Errorf("%q[%d] is %v, want %v", name, i, a[i], b[i])
			}
		}
	}
	return nil
}

// Moments returns mean and variance (divided by the count) of each channel of x [n,c,p].
func Moments(x []float64, n, c int) (mean, variance []float64) {
	p := len(x) / n / c
	mean, variance = make([]float64, c), make([]float64, c)
	for i, v := range x {
		mean[i/p%c] += v / float64(n*p)
	}
	for i, v := range x {
		d := v - mean[i/p%c]
		variance[i/p%c] += d * d / float64(n*p)
	}
	return mean, variance
}
