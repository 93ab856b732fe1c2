package models

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// written returns w as a safetensors file.
func written(t testing.TB, w Weights, metadata map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := w.Write(&out, metadata); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// safetensorsFile returns a file with this header and data.
func safetensorsFile(header string, data ...byte) []byte {
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...), data...)
}

// sameWeights says where two sets of weights differ, bit by bit.
func sameWeights(got, want Weights) error {
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

func TestWeightsRoundTrip(t *testing.T) {
	n := tiny(t)
	w := randomWeights(n, random(t))
	odd := []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32}
	for _, c := range []struct {
		name     string
		weights  Weights
		metadata map[string]string
	}{
		{"network", w, map[string]string{"accuracy": "91.8", "command": "train \"x\" λ\n"}},
		{"odd values", Weights{"odd": tensors.FromFlatDataAndDimensions(odd, 1, 4, 1)}, nil},
		{"scalar", Weights{"s": tensors.FromScalar(float32(3))}, nil},
		{"empty tensor", Weights{"e": tensors.FromFlatDataAndDimensions([]float32{}, 2, 0)}, nil},
		{"nothing", Weights{}, nil},
	} {
		got, metadata, err := ReadWeights(iotest.OneByteReader(bytes.NewReader(written(t, c.weights, c.metadata))))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err := sameWeights(got, c.weights); err != nil {
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
	file := safetensorsFile(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[3],"data_offsets":[8,20]}}`, make([]byte, 20)...)
	if _, _, err := ReadWeights(bytes.NewReader(file)); err != nil {
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
		{"half floats", safetensorsFile(`{"conv1.weight":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`, 0, 0, 0, 0), `tensor "conv1.weight" is F16; only F32`},
		{"doubles", safetensorsFile(`{"fc.bias":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)...), `tensor "fc.bias" is F64; only F32`},
		{"other type", safetensorsFile(`{"fc.bias":{"dtype":"F4","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)...), `"fc.bias"`},
		{"huge dimension", safetensorsFile(`{"fc.bias":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]}}`), `tensor "fc.bias" has shape [0 9223372036854775808]`},
		{"overflow", safetensorsFile(`{"fc.bias":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`), "overflow"},
		{"backwards", safetensorsFile(`{"fc.bias":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}`, make([]byte, 8)...), "fc.bias"},
	} {
		c.want = strings.Replace(c.want, "the file ends", "the safetensors file ends", 1)
		_, _, err := ReadWeights(bytes.NewReader(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "models: ") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	broken := errors.New("cable pulled")
	if _, _, err := ReadWeights(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("broken reader: %v", err)
	}
}

// TestReadWeightsTruncated cuts a file everywhere.
func TestReadWeightsTruncated(t *testing.T) {
	file := written(t, Init(tiny(t), 1), map[string]string{"a": "b"})
	for i := range file {
		if _, _, err := ReadWeights(bytes.NewReader(file[:i])); err == nil {
			t.Errorf("%d of %d bytes are no error", i, len(file))
		}
	}
}

// TestReadWeightsMemory has sizes in the header that the file doesn't have.
func TestReadWeightsMemory(t *testing.T) {
	header := binary.LittleEndian.AppendUint64(nil, 99_999_999)
	for name, file := range map[string][]byte{
		"header": append(header, `{"a":`...),
		"tensor": safetensorsFile(`{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}`),
		"shape":  safetensorsFile(`{"a":{"dtype":"F32","shape":[1000000000,2],"data_offsets":[0,4]}}`, 1, 2, 3, 4),
	} {
		fuzzed.Within(t, 1<<20, func() {
			if _, _, err := ReadWeights(bytes.NewReader(file)); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
	}
}

// FuzzReadWeights: whatever is read is written and read as the same, and nothing panics.
func FuzzReadWeights(f *testing.F) {
	f.Add(written(f, Init(tiny(f), 1), map[string]string{"seed": "1"}))
	f.Add(safetensorsFile(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]}}`, 1, 2, 3, 4))
	f.Add(safetensorsFile(`{"a":{"dtype":"F16","shape":[0,9223372036854775808],"data_offsets":[0,0]}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		var w Weights
		var metadata map[string]string
		var err error
		fuzzed.Bounded(t, func() { w, metadata, err = ReadWeights(bytes.NewReader(file)) })
		if err != nil {
			return
		}
		again, _, err := ReadWeights(bytes.NewReader(written(t, w, metadata)))
		if err == nil {
			err = sameWeights(again, w)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func TestWeightsWriteErrors(t *testing.T) {
	w := Weights{"fc.bias": tensors.FromValue([]float64{1})}
	if err := w.Write(new(bytes.Buffer), nil); err == nil || !strings.Contains(err.Error(), `"fc.bias"`) {
		t.Errorf("Write of doubles: %v", err)
	}
	full := errors.New("disk full")
	if err := Init(tiny(t), 1).Write(failing{full}, nil); !errors.Is(err, full) {
		t.Errorf("Write to a full disk: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestWeightsCheck(t *testing.T) {
	n := tiny(t)
	for _, c := range []struct {
		name   string
		damage func(w Weights)
		want   string
	}{
		{"missing", func(w Weights) { delete(w, "bn.running_var") }, `weights for tiny have no tensor "bn.running_var" of shape [2]`},
		{"renamed", func(w Weights) { w["fc.b"] = w["fc.bias"]; delete(w, "fc.bias") }, `no tensor "fc.bias" of shape [3]`},
		{"unknown", func(w Weights) { w["bn.num_batches"] = w["bn.weight"] }, `tiny has no tensor "bn.num_batches", but the weights do`},
		{"shape", func(w Weights) { w["fc.weight"] = tensors.FromFlatDataAndDimensions(make([]float32, 6), 2, 3) }, `tensor "fc.weight" has shape [2 3], expected [3 2]`},
		{"rank", func(w Weights) { w["fc.bias"] = tensors.FromFlatDataAndDimensions(make([]float32, 3), 3, 1) }, `tensor "fc.bias" has shape [3 1], expected [3]`},
		{"type", func(w Weights) { w["fc.bias"] = tensors.FromValue([]float64{1, 2, 3}) }, `tensor "fc.bias" is Float64, expected Float32`},
		{"nothing", func(w Weights) { clear(w) }, `no tensor "conv.weight" of shape [2 1 3 3]`},
	} {
		w := Init(n, 1)
		if err := w.Check(n); err != nil {
			t.Fatal(err)
		}
		c.damage(w)
		if err := w.Check(n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestInit(t *testing.T) {
	n, err := Design("resnet8", 1, 28, 10)
	if err != nil {
		t.Fatal(err)
	}
	w := Init(n, 3)
	if err := sameWeights(Init(n, 3), w); err != nil {
		t.Errorf("the same seed: %v", err)
	}
	if sameWeights(Init(n, 4), w) == nil {
		t.Error("another seed gives the same weights")
	}
	var squares float64 // He: a variance of 2 by the number of inputs
	kernel := float64s(w["layer3.0.conv2.weight"])
	for _, x := range kernel {
		squares += x * x
	}
	if got, want := squares/float64(len(kernel)), 2.0/(64*9); math.Abs(got/want-1) > 0.05 {
		t.Errorf("variance of a kernel is %g, want %g", got, want)
	}
	for suffix, want := range map[string]float32{".weight": 1, ".bias": 0, ".running_mean": 0, ".running_var": 1} {
		for _, x := range tensors.MustCopyFlatData[float32](w["bn1"+suffix]) {
			if x != want {
				t.Errorf("bn1%s has %v, want %v", suffix, x, want)
			}
		}
	}
}

// TestWeightsHash pins the hash that run folders record. Its origin: Python's hashlib of
// b"a (Float32)[2]\n" + struct.pack("<2f", 1, -2) + b"b.c (Float32)[1, 1]\n" + struct.pack("<f", 0.5).
func TestWeightsHash(t *testing.T) {
	hash := func(w Weights) string {
		h, err := w.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	w := func() Weights {
		return Weights{"a": tensors.FromValue([]float32{1, -2}), "b.c": tensors.FromValue([][]float32{{0.5}})}
	}
	const want = "eb6541eb2070f08dfca6cae670202ffc883f28a64659651cf2ca939d9ceaaa1e"
	if got := hash(w()); got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	for name, change := range map[string]func(w Weights){
		"value": func(w Weights) { w["a"] = tensors.FromValue([]float32{1, 2}) },
		"name":  func(w Weights) { w["b"] = w["a"]; delete(w, "a") },
		"shape": func(w Weights) { w["a"] = tensors.FromValue([][]float32{{1, -2}}) },
	} {
		other := w()
		change(other)
		if hash(other) == want {
			t.Errorf("another %s has the same hash", name)
		}
	}
}
