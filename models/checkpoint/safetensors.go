package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/nlpodyssey/safetensors"
	"github.com/pdquant/pdquant/models"
)

// view lends a tensor to the safetensors library.
type view struct {
	shape []uint64
	data  []byte
}

func (v view) DType() safetensors.DType { return safetensors.F32 }
func (v view) Shape() []uint64          { return v.shape }
func (v view) Data() []byte             { return v.data }
func (v view) DataLen() uint64          { return uint64(len(v.data)) }

// WriteWeights writes w as a safetensors file with the given metadata.
func WriteWeights(out io.Writer, w models.Weights, metadata map[string]string) error {
	views := map[string]view{}
	for name, t := range w {
		flat, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return fmt.Errorf("checkpoint: tensor %q: %w", name, err)
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
		return fmt.Errorf("checkpoint: writing weights: %w", err)
	}
	return nil
}

// ReadWeights reads the float32 tensors of a safetensors file, and its metadata.
func ReadWeights(r io.Reader) (models.Weights, map[string]string, error) {
	all, metadata, err := readSafetensors(r)
	if err != nil {
		return nil, nil, fmt.Errorf("checkpoint: %w", err)
	}
	w := models.Weights{}
	for _, t := range all {
		if t.kind != safetensors.F32 {
			return nil, nil, fmt.Errorf("checkpoint: tensor %q is %v; only F32 is supported", t.name, t.kind)
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

// numbers returns the type of t's numbers, and whether they are floats.
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

// damaged returns the error for a file that can't be read because of err. It names the tensor in which the file ends,
// if the header gives it.
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
					return fmt.Errorf("the safetensors file ends in tensor %q, which is bytes %d to %d of %d; fetch or write it again",
						name, o[0], o[1], have)
				}
			}
		}
	}
	return fmt.Errorf("%d bytes aren't a whole safetensors file: %w; fetch or write it again", len(buf), err)
}
