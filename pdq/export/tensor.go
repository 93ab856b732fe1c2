package export

import (
	"encoding/binary"
	"math"

	"github.com/gomlx/compute-onnx/support/protos"
)

// levelType is an unsigned integer type of ONNX that holds quantisers' levels.
type levelType struct {
	id    protos.TensorProto_DataType
	bits  int // of an element
	opset int // the first version of QuantizeLinear and DequantizeLinear that takes the type
}

// levelTypes lists the types, the narrowest first.
func levelTypes() []levelType {
	return []levelType{{protos.TensorProto_UINT2, 2, 25}, {protos.TensorProto_UINT4, 4, 21},
		{protos.TensorProto_UINT8, 8, 13}}
}

// last returns the largest number of t.
func (t levelType) last() int { return 1<<t.bits - 1 }

// tensor returns the elements as a tensor of t: several in a byte where t is narrower, the first in the lowest bits.
func (t levelType) tensor(name string, dims []int, elements []uint8) *protos.TensorProto {
	per := 8 / t.bits
	raw := make([]byte, (len(elements)+per-1)/per)
	for i, x := range elements {
		raw[i/per] |= x << (i % per * t.bits)
	}
	return rawTensor(name, t.id, dims, raw)
}

func floatTensor(name string, dims []int, values []float32) *protos.TensorProto {
	raw := make([]byte, 0, 4*len(values))
	for _, x := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return rawTensor(name, protos.TensorProto_FLOAT, dims, raw)
}

func intTensor(name string, values ...int64) *protos.TensorProto {
	raw := make([]byte, 0, 8*len(values))
	for _, x := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return rawTensor(name, protos.TensorProto_INT64, []int{len(values)}, raw)
}

func rawTensor(name string, id protos.TensorProto_DataType, dims []int, raw []byte) *protos.TensorProto {
	return &protos.TensorProto{Name: name, DataType: int32(id), Dims: int64s(dims...), RawData: raw}
}

func int64s(x ...int) []int64 {
	out := make([]int64, len(x))
	for i, v := range x {
		out[i] = int64(v)
	}
	return out
}
