package backend

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// times returns, for kinds of networks, the time of a step of rounding on each backend of the CPU, that on ONNX Runtime
// being 1. They were measured on two cores of a Xeon with AVX-512: testdata/benchmarks.tsv has ONNX Runtime and Go;
// XLA took 1.4 to 3.2 times as long as ONNX Runtime, most with depthwise convolutions.
func times() map[string]map[string]float64 {
	return map[string]map[string]float64{
		"convolutions":           {"onnx": 1, "xla:cpu": 1.4, "go": 5.5}, // resnet20-first
		"depthwise convolutions": {"onnx": 1, "xla:cpu": 3.2, "go": 6.9}, // mobilenetv2-depthwise
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
