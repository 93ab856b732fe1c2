package export

import (
	"encoding/binary"
	"math"

	"github.com/gomlx/compute-onnx/support/protos"
)

// levelType is an integer type of ONNX that holds quantisers' levels.
type levelType struct {
	id    protos.TensorProto_DataType
	bits  int // of an element
	opset int // the first version of DequantizeLinear that takes the type
	first int // the number that it stores for level 0: 0, or of signed types -2^(b-1) for levels of b bits
}

// uint8Type is the type of activations, and of weights that aren't packed.
func uint8Type() levelType {
	return levelType{id: protos.TensorProto_UINT8, bits: 8, opset: firstOpset}
}

// packedType returns the narrowest type that holds levels of the given number of bits, 2 to 8.
func packedType(bits int) levelType {
	switch {
	case bits <= 2:
		return levelType{id: protos.TensorProto_UINT2, bits: 2, opset: 25}
	case bits <= 4:
		return levelType{id: protos.TensorProto_UINT4, bits: 4, opset: 21}
	}
	return uint8Type()
}

// signed returns the signed type of the same width, in which the middle one of levels of the given number of bits is 0.
func (t levelType) signed(bits int) levelType {
	t.id = map[int]protos.TensorProto_DataType{2: protos.TensorProto_INT2, 4: protos.TensorProto_INT4,
		8: protos.TensorProto_INT8}[t.bits]
	t.first = -1 << (bits - 1)
	return t
}

// last returns the highest level that t can hold.
func (t levelType) last() int { return 1<<t.bits - 1 }

// tensor returns levels as a tensor of t: several in a byte where t is narrower, the first in the lowest bits.
func (t levelType) tensor(name string, dims []int, levels []uint8) *protos.TensorProto {
	per := 8 / t.bits
	raw := make([]byte, (len(levels)+per-1)/per)
	for i, level := range levels {
		raw[i/per] |= byte((int(level)+t.first)&t.last()) << (i % per * t.bits)
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
