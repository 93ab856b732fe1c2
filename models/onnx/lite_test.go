package onnx_test

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/onnxzoo"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
)

// TestLite0 compares EfficientNet-Lite0 from an ONNX file, in which batch normalisation is kept, with the architecture:
// the units are the same, and the levels of weights are but for 1 in 10,000.
func TestLite0(t *testing.T) {
	entry, err := arch.Find("efficientnet-lite0")
	if err != nil {
		t.Fatal(err)
	}
	n, w, err := entry.Load(nettest.Lite0(t, false), arch.SquareInput(3, 224, 1000))
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnxzoo.Read(filepath.Join("testdata", "lite0.graph.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.GetGraph().GetInitializer() {
		if x := w[p.Name]; x != nil {
			if p.RawData, err = binary.Append(nil, binary.LittleEndian, tensors.MustCopyFlatData[float32](x)); err != nil {
				t.Fatal(err)
			}
		}
	}
	file, err := onnx.Read(m, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(file.Network.Units, n.Units) {
		t.Errorf("units of the file are %v, want %v", file.Network.Units, n.Units)
	}
	want, got := lite0Levels(t, n, w), lite0Levels(t, file.Network, file.Weights)
	all, differ := 0, 0
	for layer, levels := range want {
		if len(got[layer]) != len(levels) {
			t.Fatalf("%s: %d weights, want %d", layer, len(got[layer]), len(levels))
		}
		for i, k := range levels {
			if all++; got[layer][i] != k {
				differ++
			}
		}
	}
	t.Logf("%d of %d levels differ", differ, all)
	if all < 4_600_000 || differ*10_000 > all {
		t.Errorf("%d of %d levels differ, want at most 1 in 10,000", differ, all)
	}
}

// lite0Levels returns the levels of 4 bits that are nearest to the weights, by layer.
func lite0Levels(t *testing.T, n *models.Network, w models.Weights) map[string][]int {
	t.Helper()
	c, err := pdq.Paper("efficientnet-lite0", 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	c.Scales.Candidates = 10 // fewer than the paper's are enough to compare
	image := datasets.Images{Name: "black", Channels: 3, Height: 224, Width: 224, Pixels: make([]uint8, 3*224*224),
		Labels: []int32{0}, Classes: make([]string, 1000), Mean: []float32{0, 0, 0}, Std: []float32{1, 1, 1}}
	q, err := pdq.New(testbackend.Any(t), pdq.Problem{Network: n, Weights: w, Calibration: image}, c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.WeightScales(t.Context(), pdq.Student{})
	if err != nil {
		t.Fatal(err)
	}
	_, folded := q.Folded()
	levels := map[string][]int{}
	for layer, quantiser := range s.Weights {
		x, err := quantiser.Dequantize(folded[layer+".weight"])
		if err != nil {
			t.Fatal(err)
		}
		flat := tensors.MustCopyFlatData[float32](x)
		per := len(flat) / len(quantiser.Scale)
		for i, v := range flat {
			k := float64(v/quantiser.Scale[i/per] + quantiser.Zero[i/per])
			levels[layer] = append(levels[layer], int(math.RoundToEven(k)))
		}
	}
	return levels
}
