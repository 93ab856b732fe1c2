// Package onnxzoo fills the graphs in models/onnx/testdata, which are stored without their large tensors.
package onnxzoo

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/internal/formula"
)

// Read returns the graph in a file, filled.
func Read(path string) (*protos.ModelProto, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("onnxzoo: read: %w", err)
	}
	m := &protos.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("onnxzoo: read: %s: %w", path, err)
	}
	return m, Fill(m)
}

// Fill gives data to each float initializer of m's graph that has none. Its doc string says which:
// "uniform MEAN DEVIATION SEED" are the values of formula.Hashed with that mean, standard deviation and seed, and
// " positive" after it raises them to at least MEAN/10. Fill removes the doc string.
func Fill(m *protos.ModelProto) error {
	for _, t := range m.GetGraph().GetInitializer() {
		if t.DocString == "" {
			continue
		}
		v, err := described(t.DocString, t.Dims)
		if err != nil {
			return fmt.Errorf("onnxzoo: fill: tensor %q: %w", t.Name, err)
		}
		if t.DataType != int32(protos.TensorProto_FLOAT) || len(t.RawData) > 0 || len(t.FloatData) > 0 {
			return fmt.Errorf("onnxzoo: fill: tensor %q: not a float tensor without data", t.Name)
		}
		if t.RawData, err = binary.Append(nil, binary.LittleEndian, v); err != nil {
			return fmt.Errorf("onnxzoo: fill: tensor %q: %w", t.Name, err)
		}
		t.DocString = ""
	}
	return nil
}

func described(text string, dims []int64) ([]float32, error) {
	var mean, deviation float64
	var seed int
	if _, err := fmt.Sscanf(text, "uniform %g %g %d", &mean, &deviation, &seed); err != nil {
		return nil, fmt.Errorf("doc string %q: %w; want uniform MEAN DEVIATION SEED", text, err)
	}
	ints := make([]int, len(dims))
	for i, d := range dims {
		ints[i] = int(d)
	}
	v := tensors.MustCopyFlatData[float32](formula.Hashed(seed, mean, deviation*math.Sqrt(3), ints...))
	if strings.HasSuffix(text, " positive") {
		for i := range v {
			v[i] = max(v[i], float32(mean/10))
		}
	}
	return v, nil
}

// Images returns n images of sizes shape, with elements between -1.7 and 1.7. They are the ones whose logits
// models/onnx/testdata/logits.tsv has.
func Images(n int, shape []int) []float32 {
	return tensors.MustCopyFlatData[float32](formula.Hashed(1000, 0, 1.7, slices.Concat([]int{n}, shape)...))
}
