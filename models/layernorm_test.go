package models

import (
	"math"
	"testing"
)

// plainGroups normalises each run of size numbers of x to mean 0, unless root is set, and mean square 1.
func plainGroups(x []float64, size int, eps float64, root bool) []float64 {
	y := make([]float64, len(x))
	for start := 0; start < len(x); start += size {
		run := x[start : start+size]
		mean, square := 0.0, 0.0
		for _, v := range run {
			mean += v / float64(size)
		}
		if root {
			mean = 0
		}
		for _, v := range run {
			square += (v - mean) * (v - mean) / float64(size)
		}
		for i, v := range run {
			y[start+i] = (v - mean) / math.Sqrt(square+eps)
		}
	}
	return y
}

// scaled multiplies y by weight and adds bias, if there are such, each repeated over y: the number at i takes that at
// i/inner, modulo the length.
func scaled(y []float64, inner int, weight, bias []float64) []float64 {
	for i := range y {
		if weight != nil {
			y[i] *= weight[i/inner%len(weight)]
		}
		if bias != nil {
			y[i] += bias[i/inner%len(bias)]
		}
	}
	return y
}

// plainLRN is LRN of x [2,channels,inner] by its definition.
func plainLRN(l LRN, channels, inner int) func(args [][]float64) []float64 {
	return func(args [][]float64) []float64 {
		x := args[0]
		y := make([]float64, len(x))
		for i := range x {
			c, sum := i/inner%channels, 0.0
			for k := c - (l.Size-1)/2; k < c-(l.Size-1)/2+l.Size; k++ {
				if k >= 0 && k < channels {
					sum += x[i+(k-c)*inner] * x[i+(k-c)*inner]
				}
			}
			y[i] = x[i] / math.Pow(l.Bias+l.Alpha/float64(l.Size)*sum, l.Beta)
		}
		return y
	}
}

// TestLayerNorms compares the normalisations within an image.
func TestLayerNorms(t *testing.T) {
	const eps = 1e-3
	x, dims := normal(2, 3, 4, 5), []int{4, 5}
	cases := []opCase{
		layerCase("layernorm", LayerNorm{Dims: dims, Eps: eps, Affine: true, Bias: true},
			[]operand{x, normal(4, 5), normal(4, 5)},
			func(a [][]float64) []float64 { return scaled(plainGroups(a[0], 20, eps, false), 1, a[1], a[2]) }),
		layerCase("layernorm without weights", LayerNorm{Dims: []int{5}, Eps: eps}, []operand{x},
			func(a [][]float64) []float64 { return plainGroups(a[0], 5, eps, false) }),
		layerCase("layernorm without bias", LayerNorm{Dims: []int{3, 4, 5}, Eps: eps, Affine: true},
			[]operand{x, normal(3, 4, 5)},
			func(a [][]float64) []float64 { return scaled(plainGroups(a[0], 60, eps, false), 1, a[1], nil) }),
		layerCase("rmsnorm", RMSNorm{Dims: []int{5}, Eps: eps}, []operand{x, normal(5)},
			func(a [][]float64) []float64 { return scaled(plainGroups(a[0], 5, eps, true), 1, a[1], nil) }),
		layerCase("instance norm", GroupNorm{Channels: 3, Groups: 3, Eps: eps}, []operand{x, normal(3), normal(3)},
			func(a [][]float64) []float64 { return scaled(plainGroups(a[0], 20, eps, false), 20, a[1], a[2]) }),
		layerCase("groupnorm", GroupNorm{Channels: 4, Groups: 2, Eps: eps},
			[]operand{normal(2, 4, 3), normal(4), normal(4)},
			func(a [][]float64) []float64 { return scaled(plainGroups(a[0], 6, eps, false), 3, a[1], a[2]) }),
		layerCase("groupnorm of [C]", GroupNorm{Channels: 12, Groups: 2, Eps: eps},
			[]operand{normal(3, 12), normal(12), normal(12)},
			func(a [][]float64) []float64 { return scaled(plainGroups(a[0], 6, eps, false), 1, a[1], a[2]) }),
	}
	for _, size := range []int{1, 2, 3, 5, 8} {
		l := LRN{Size: size, Alpha: 0.5, Beta: 0.75, Bias: 2}
		cases = append(cases, layerCase("lrn", l, []operand{normal(2, 4, 3, 2)}, plainLRN(l, 4, 6)))
	}
	compareOps(t, cases)
}

// TestLayerNormShapes: what the normalisations refuse.
func TestLayerNormShapes(t *testing.T) {
	for _, op := range []Op{LayerNorm{}, LayerNorm{Dims: []int{5}}, LayerNorm{Dims: []int{2, 3, 4}},
		RMSNorm{Dims: []int{3}}, GroupNorm{Channels: 4, Groups: 2}} {
		if _, err := op.Shape([][]int{{3, 4}}); err == nil {
			t.Errorf("%+v accepts shape [3 4]", op)
		}
	}
	for _, op := range []Op{GroupNorm{Channels: 4}, GroupNorm{Channels: 4, Groups: 3}, LRN{}} {
		if op.Check() == nil {
			t.Errorf("%+v is accepted", op)
		}
	}
}
