package checkpoint_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/fuzzed"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// written returns w as a safetensors file.
func written(t testing.TB, w models.Weights, metadata map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := checkpoint.WriteWeights(&out, w, metadata); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// safetensorsFile returns a file with this header and data.
func safetensorsFile(header string, data ...byte) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

func TestWeightsRoundTrip(t *testing.T) {
	n := tiny(t)
	w := models.Init(n, 1)
	odd := []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Copysign(0, -1)),
		math.SmallestNonzeroFloat32}
	for _, c := range []struct {
		name     string
		weights  models.Weights
		metadata map[string]string
	}{
		{"network", w, map[string]string{"accuracy": "91.8", "command": "train \"x\" λ\n"}},
		{"odd values", models.Weights{"odd": tensors.FromFlatDataAndDimensions(odd, 1, 4, 1)}, nil},
		{"scalar", models.Weights{"s": tensors.FromScalar(float32(3))}, nil},
		{"empty tensor", models.Weights{"e": tensors.FromFlatDataAndDimensions([]float32{}, 2, 0)}, nil},
		{"nothing", models.Weights{}, nil},
	} {
		got, metadata, err := checkpoint.ReadWeights(iotest.OneByteReader(bytes.NewReader(written(t, c.weights, c.metadata))))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err := nettest.SameWeights(got, c.weights); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !maps.Equal(metadata, c.metadata) {
			t.Errorf("%s: metadata %q, want %q", c.name, metadata, c.metadata)
		}
	}
	if a, b := written(t, w, nil), written(t, w, nil); !bytes.Equal(a, b) {
		t.Error("the same weights make different files")
	}
}

func TestReadWeightsErrors(t *testing.T) {
	header := `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},` +
		`"b":{"dtype":"F32","shape":[3],"data_offsets":[8,20]}}`
	file := safetensorsFile(header, make([]byte, 20)...)
	if _, _, err := checkpoint.ReadWeights(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"nothing", nil, "0 bytes aren't a whole safetensors file"},
		{"not safetensors", []byte("PK\x03\x04 something else"), "aren't a whole safetensors file"},
		{"header cut", file[:40], "40 bytes aren't a whole safetensors file"},
		{"data cut", file[:len(file)-3], `the file ends in tensor "b", which is bytes 8 to 20 of 17`},
		{"no data", file[:len(file)-20], `the file ends in tensor "a", which is bytes 0 to 8 of 0`},
		{"too long", append(bytes.Clone(file), 0), "aren't a whole safetensors file"},
		{"half floats", safetensorsFile(`{"conv1.weight":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 0, 0, 0, 0),
			`tensor "conv1.weight" is F16; only F32`},
		{"doubles", safetensorsFile(`{"fc.bias":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)...),
			`tensor "fc.bias" is F64; only F32`},
		{"other type", safetensorsFile(`{"fc.bias":{"dtype":"F4","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)...),
			`"fc.bias"`},
		{"huge dimension",
			safetensorsFile(`{"fc.bias":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]}}`),
			`tensor "fc.bias" has shape [0 9223372036854775808]`},
		{"overflow", safetensorsFile(`{"fc.bias":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`),
			"overflow"},
		{"backwards", safetensorsFile(`{"fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`, make([]byte, 8)...),
			"fc.bias"},
	} {
		c.want = strings.Replace(c.want, "the file ends", "the safetensors file ends", 1)
		_, _, err := checkpoint.ReadWeights(bytes.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "checkpoint: ") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	broken := errors.New("cable pulled")
	if _, _, err := checkpoint.ReadWeights(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("broken reader: %v", err)
	}
}

// TestReadWeightsTruncated cuts a file off at every byte.
func TestReadWeightsTruncated(t *testing.T) {
	file := written(t, models.Init(tiny(t), 1), map[string]string{"a": "b"})
	for i := range file {
		if _, _, err := checkpoint.ReadWeights(bytes.NewReader(file[:i])); err == nil {
			t.Errorf("%d of %d bytes are no error", i, len(file))
		}
	}
}

// TestReadWeightsMemory has sizes in the header that are larger than the file.
func TestReadWeightsMemory(t *testing.T) {
	header := binary.LittleEndian.AppendUint64(nil, 99_999_999)
	for name, file := range map[string][]byte{
		"header": append(header, `{"a":`...),
		"tensor": safetensorsFile(`{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}`),
		"shape":  safetensorsFile(`{"a":{"dtype":"F32","shape":[1000000000,2],"data_offsets":[0,4]}}`, 1, 2, 3, 4),
	} {
		fuzzed.Within(t, 1<<20, func() {
			if _, _, err := checkpoint.ReadWeights(bytes.NewReader(file)); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
	}
}

// FuzzReadWeights: weights that can be read are the same after writing and reading them, and nothing panics.
func FuzzReadWeights(f *testing.F) {
	f.Add(written(f, models.Init(tiny(f), 1), map[string]string{"seed": "1"}))
	f.Add(safetensorsFile(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},`+
		`"b":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]}}`, 1, 2, 3, 4))
	f.Add(safetensorsFile(`{"a":{"dtype":"F16","shape":[0,9223372036854775808],"data_offsets":[0,0]}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		var w models.Weights
		var metadata map[string]string
		var err error
		fuzzed.Bounded(t, func() { w, metadata, err = checkpoint.ReadWeights(bytes.NewReader(file)) })
		if err != nil {
			return
		}
		again, _, err := checkpoint.ReadWeights(bytes.NewReader(written(t, w, metadata)))
		if err == nil {
			err = nettest.SameWeights(again, w)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func TestWeightsWriteErrors(t *testing.T) {
	w := models.Weights{"fc.bias": tensors.FromValue([]float64{1})}
	if err := checkpoint.WriteWeights(new(bytes.Buffer), w, nil); err == nil ||
		!strings.Contains(err.Error(), `"fc.bias"`) {
		t.Errorf("Write of doubles: %v", err)
	}
	full := errors.New("disk full")
	if err := checkpoint.WriteWeights(failing{full}, models.Init(tiny(t), 1), nil); !errors.Is(err, full) {
		t.Errorf("Write to a full disk: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
