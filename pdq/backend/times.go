package backend

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// times returns, for each kind of network, the time of a step of rounding on each backend of the CPU, that on ONNX
// Runtime being 1. They were measured by "make bench" on two cores of a Xeon with AVX-512.
func times() map[string]map[string]float64 {
	return map[string]map[string]float64{
		"convolutions":           {"onnx": 1, "xla:cpu": 1.5, "go": 5.5}, // resnet20-first
		"depthwise convolutions": {"onnx": 1, "xla:cpu": 3.2, "go": 6.9}, // mobilenetv2-depthwise
		"grouped convolutions":   {"onnx": 1, "xla:cpu": 2, "go": 2.6},   // regnetx-grouped
	}
}

// byTime lists the backends of the CPU, fastest first by the mean over kinds of networks.
func byTime() []string {
	sum := map[string]float64{}
	for _, of := range times() {
		for kind, t := range of {
			sum[kind] += math.Log(t)
		}
	}
	return slices.SortedFunc(maps.Keys(sum), func(p, q string) int { return cmp.Compare(sum[p], sum[q]) })
}
