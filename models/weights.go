package models

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/nlpodyssey/safetensors"
)

// Weights are a network's weight tensors (float32) by name. Treat them as constants.
type Weights map[string]*tensors.Tensor

// Init returns random weights for training n: He-normal kernels, identity
// batch normalisation, zero biases. The same seed gives the same weights.
func Init(n *Network, seed uint64) Weights {
	rng := rand.New(rand.NewPCG(seed, 0))
	w := Weights{}
	for _, p := range n.Params() {
		size := 1
		for _, d := range p.Shape {
			size *= d
		}
		data := make([]float32, size)
		switch {
		case len(p.Shape) > 1:
			std := math.Sqrt(2 / float64(size/p.Shape[0]))
			for i := range data {
				data[i] = float32(rng.NormFloat64() * std)
			}
		case strings.HasSuffix(p.Name, ".weight"), strings.HasSuffix(p.Name, ".running_var"):
			for i := range data {
				data[i] = 1
			}
		}
		w[p.Name] = tensors.FromFlatDataAndDimensions(data, p.Shape...)
	}
	return w
}

// Check reports tensors of n that w lacks or has in another shape or type, and tensors
// that n doesn't know.
func (w Weights) Check(n *Network) error {
	if err := w.misfit(n); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return nil
}

// misfit is Check without the prefix of messages.
func (w Weights) misfit(n *Network) error {
	params, names := n.Params(), slices.Sorted(maps.Keys(w))
	for _, p := range params {
		t, ok := w[p.Name]
		if !ok {
			return fmt.Errorf("weights for %s have no tensor %q of shape %v; they are %d tensors%s", n.Name, p.Name, p.Shape, len(w),
				nearest(p.Name, names, func(i int) []int { return w[names[i]].Shape().Dimensions }))
		}
		if t.DType() != dtypes.Float32 {
			return fmt.Errorf("weights for %s: tensor %q is %v, expected Float32", n.Name, p.Name, t.DType())
		}
		if !slices.Equal(t.Shape().Dimensions, p.Shape) {
			return fmt.Errorf("weights for %s: tensor %q has shape %v, expected %v", n.Name, p.Name, t.Shape().Dimensions, p.Shape)
		}
	}
	known := make([]string, len(params))
	for i, p := range params {
		known[i] = p.Name
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s has no tensor %q, but the weights do, of shape %v; it has %d tensors%s", n.Name, name, w[name].Shape().Dimensions, len(params),
				nearest(name, known, func(i int) []int { return params[i].Shape }))
		}
	}
	return nil
}

// nearest lists the three names that share the longest start and end with name, with their
// shapes, for a message.
func nearest(name string, names []string, shape func(i int) []int) string {
	shared := func(other string) int {
		n := min(len(name), len(other))
		start, end := 0, 0
		for start < n && name[start] == other[start] {
			start++
		}
		for end < n-start && name[len(name)-1-end] == other[len(other)-1-end] {
			end++
		}
		return start + end
	}
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, k int) int { return shared(names[k]) - shared(names[i]) })
	var list []string
	for _, i := range order[:min(len(order), 3)] {
		list = append(list, fmt.Sprintf("%q %v", names[i], shape(i)))
	}
	if list == nil {
		return ""
	}
	return ", among them " + strings.Join(list, ", ")
}

// Hash returns the hex SHA-256 of all names, shapes and values.
func (w Weights) Hash() (string, error) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(w)) {
		fmt.Fprintln(h, name, w[name].Shape().Dimensions)
		if err := w[name].ConstBytes(func(data []byte) { h.Write(data) }); err != nil {
			return "", fmt.Errorf("models: tensor %q: %w", name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// isStatistic says whether the tensor called name is a running statistic, which no
// gradient trains.
func isStatistic(name string) bool {
	return strings.HasSuffix(name, ".running_mean") || strings.HasSuffix(name, ".running_var")
}

// view lends a tensor to the safetensors library.
type view struct {
	shape []uint64
	data  []byte
}

func (v view) DType() safetensors.DType { return safetensors.F32 }
func (v view) Shape() []uint64          { return v.shape }
func (v view) Data() []byte             { return v.data }
func (v view) DataLen() uint64          { return uint64(len(v.data)) }

// Write writes w as a safetensors file with the given metadata.
func (w Weights) Write(out io.Writer, metadata map[string]string) error {
	views := map[string]view{}
	for name, t := range w {
		flat, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return fmt.Errorf("models: tensor %q: %w", name, err)
		}
		v := view{shape: []uint64{}, data: make([]byte, 0, 4*len(flat))}
		for _, d := range t.Shape().Dimensions {
			v.shape = append(v.shape, uint64(d))
		}
		for _, x := range flat {
			v.data = binary.LittleEndian.AppendUint32(v.data, math.Float32bits(x))
		}
		views[name] = v
	}
	if err := safetensors.SerializeToWriter(views, metadata, out); err != nil {
		return fmt.Errorf("models: writing weights: %w", err)
	}
	return nil
}

// ReadWeights reads the float32 tensors of a safetensors file, and its metadata.
func ReadWeights(r io.Reader) (Weights, map[string]string, error) {
	all, metadata, err := readSafetensors(r)
	if err != nil {
		return nil, nil, fmt.Errorf("models: %w", err)
	}
	w := Weights{}
	for _, t := range all {
		if t.kind != safetensors.F32 {
			return nil, nil, fmt.Errorf("models: tensor %q is %v; only F32 is supported", t.name, t.kind)
		}
		w[t.name] = t.tensor(floats("float32", binary.LittleEndian))
	}
	return w, metadata, nil
}

// safetensor is a tensor as a safetensors file stores it.
type safetensor struct {
	name string
	kind safetensors.DType
	dims []int
	data []byte
}

// readSafetensors reads all tensors of a safetensors file, and its metadata.
func readSafetensors(r io.Reader) ([]safetensor, map[string]string, error) {
	buf, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, fmt.Errorf("reading weights: %w", err)
	}
	st, err := safetensors.Deserialize(buf)
	if err != nil {
		return nil, nil, damaged(buf, err)
	}
	_, meta, err := safetensors.ReadMetadata(buf)
	if err != nil {
		return nil, nil, fmt.Errorf("safetensors header: %w", err)
	}
	var all []safetensor
	for _, nt := range st.Tensors() {
		v := nt.TensorView
		dims := make([]int, len(v.Shape()))
		for i, d := range v.Shape() {
			if d > math.MaxInt32 { // possible beside a dimension of 0
				return nil, nil, fmt.Errorf("tensor %q has shape %v; dimensions end at %d", nt.Name, v.Shape(), math.MaxInt32)
			}
			dims[i] = int(d)
		}
		all = append(all, safetensor{nt.Name, v.DType(), dims, v.Data()})
	}
	return all, meta.Metadata(), nil
}

// numbers returns what t is made of, if these are floats.
func (t safetensor) numbers() (numbers, bool) {
	switch t.kind {
	case safetensors.F16:
		return floats("float16", binary.LittleEndian), true
	case safetensors.BF16:
		return floats("bfloat16", binary.LittleEndian), true
	case safetensors.F32:
		return floats("float32", binary.LittleEndian), true
	case safetensors.F64:
		return floats("float64", binary.LittleEndian), true
	}
	return numbers{}, false
}

// tensor returns t as float32.
func (t safetensor) tensor(n numbers) *tensors.Tensor {
	flat := make([]float32, len(t.data)/int(n.size))
	for i := range flat {
		flat[i] = n.float(t.data[i*int(n.size):])
	}
	return tensors.FromFlatDataAndDimensions(flat, t.dims...)
}

// damaged returns the error for a file that can't be read because of err. It names the
// tensor in which the file ends, if it has a header that says so.
func damaged(buf []byte, err error) error {
	var header map[string]struct {
		Offsets [2]uint64 `json:"data_offsets"`
	}
	if len(buf) >= 8 {
		size, rest := binary.LittleEndian.Uint64(buf), buf[8:]
		if size <= uint64(len(rest)) && json.Unmarshal(rest[:size], &header) == nil {
			have := uint64(len(rest)) - size
			for _, name := range slices.Sorted(maps.Keys(header)) {
				if o := header[name].Offsets; o[0] <= have && o[1] > have {
					return fmt.Errorf("the safetensors file ends in tensor %q, which is bytes %d to %d of %d; fetch or write it again", name, o[0], o[1], have)
				}
			}
		}
	}
	return fmt.Errorf("%d bytes aren't a whole safetensors file: %w; fetch or write it again", len(buf), err)
}
