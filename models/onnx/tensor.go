package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/gomlx/compute-onnx/support/protos"
)

// maxElements is the most elements of a tensor: more than any classifier's largest has.
const maxElements = 1 << 31

// constant is a tensor whose values are known while importing.
type constant struct {
	dims   []int
	floats []float32                   // its values if its type is a float
	ints   []number                    // its values if its type is an integer or bool
	name   string                      // of the weight; "" if computed
	kind   protos.TensorProto_DataType // in the file; 0 if computed
}

// number is n, or n times the number of images.
type number struct {
	n      int64
	images bool
}

// size returns the number of elements of a tensor with these sizes.
func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// isFloat says whether its type is a float.
func (c *constant) isFloat() bool { return c.ints == nil }

// plain returns integers that don't depend on the number of images.
func (c *constant) plain() ([]int, error) {
	if c.isFloat() && size(c.dims) > 0 {
		return nil, fmt.Errorf("%s is of floats, not of integers", c.title())
	}
	out := make([]int, len(c.ints))
	for i, x := range c.ints {
		if x.images {
			return nil, fmt.Errorf("%s depends on the number of images", c.title())
		}
		out[i] = int(x.n)
	}
	return out, nil
}

// positions returns integers that are positions along an axis of shape dims, those below 0 counted from its end.
func (c *constant) positions(axis int, dims []int) ([]int, error) {
	all, err := c.plain()
	if err != nil {
		return nil, err
	}
	for i, k := range all {
		if all[i], err = within(k, dims[axis]); err != nil {
			return nil, fmt.Errorf("takes position %d of axis %d of shape %v", k, axis, dims)
		}
	}
	return all, nil
}

func (c *constant) title() string {
	if c.name == "" {
		return "a computed tensor"
	}
	return fmt.Sprintf("tensor %q", c.name)
}

// intsOf returns a vector of integers.
func intsOf(v ...int) *constant {
	c := &constant{dims: []int{len(v)}, ints: []number{}}
	for _, x := range v {
		c.ints = append(c.ints, number{n: int64(x)})
	}
	return c
}

// scalarFloat returns the only element of c.
func (c *constant) scalarFloat() (float64, error) {
	if size(c.dims) != 1 {
		return 0, fmt.Errorf("%s has shape %v; one element is wanted", c.title(), c.dims)
	}
	if c.isFloat() {
		return float64(c.floats[0]), nil
	}
	v, err := c.plain()
	if err != nil {
		return 0, err
	}
	return float64(v[0]), nil
}

// decode returns the tensor t. root is the folder of external data, or nil.
func decode(t *protos.TensorProto, root *os.Root) (*constant, error) {
	c := &constant{name: t.GetName()}
	n := int64(1)
	for _, d := range t.GetDims() {
		if d < 0 || d > maxElements || n*max(d, 1) > maxElements {
			return nil, fmt.Errorf("%s has sizes %v; the file is damaged", c.title(), t.GetDims())
		}
		n *= d
		c.dims = append(c.dims, int(d))
	}
	data, err := rawData(t, root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.title(), err)
	}
	kind := t.GetDataType()
	c.kind = protos.TensorProto_DataType(kind)
	width, known := widths()[protos.TensorProto_DataType(kind)]
	if !known {
		return nil, fmt.Errorf("%s is of type %v, which isn't read; export it with float32 weights", c.title(),
			protos.TensorProto_DataType(kind))
	}
	if data != nil {
		if int64(len(data)) != (n*int64(width)+7)/8 {
			return nil, fmt.Errorf("%s has %d bytes; for shape %v of %v it must have %d: the file is damaged", c.title(),
				len(data), t.GetDims(), protos.TensorProto_DataType(kind), (n*int64(width)+7)/8)
		}
		c.fromBytes(data, protos.TensorProto_DataType(kind), int(n))
		return c, nil
	}
	if err := c.fromFields(t, int(n)); err != nil {
		return nil, fmt.Errorf("%s: %w", c.title(), err)
	}
	return c, nil
}

// widths returns the bits of an element of each type that is read.
func widths() map[protos.TensorProto_DataType]int {
	return map[protos.TensorProto_DataType]int{
		protos.TensorProto_FLOAT: 32, protos.TensorProto_DOUBLE: 64, protos.TensorProto_FLOAT16: 16,
		protos.TensorProto_BFLOAT16: 16, protos.TensorProto_INT64: 64, protos.TensorProto_INT32: 32,
		protos.TensorProto_INT16: 16, protos.TensorProto_INT8: 8, protos.TensorProto_UINT64: 64,
		protos.TensorProto_UINT32: 32, protos.TensorProto_UINT16: 16, protos.TensorProto_UINT8: 8,
		protos.TensorProto_BOOL: 8, protos.TensorProto_UINT4: 4, protos.TensorProto_INT4: 4, protos.TensorProto_UINT2: 2,
		protos.TensorProto_INT2: 2,
	}
}

// fromBytes reads n little-endian elements.
func (c *constant) fromBytes(data []byte, kind protos.TensorProto_DataType, n int) {
	le := binary.LittleEndian
	var float func(i int) float32
	var integer func(i int) int64
	packed := func(i, bits int, signed bool) int64 {
		per := 8 / bits
		return wrapped(int64(data[i/per]>>(bits*(i%per))), bits, signed)
	}
	switch kind {
	case protos.TensorProto_FLOAT:
		float = func(i int) float32 { return math.Float32frombits(le.Uint32(data[4*i:])) }
	case protos.TensorProto_DOUBLE:
		float = func(i int) float32 { return float32(math.Float64frombits(le.Uint64(data[8*i:]))) }
	case protos.TensorProto_FLOAT16:
		float = func(i int) float32 { return half(le.Uint16(data[2*i:])) }
	case protos.TensorProto_BFLOAT16:
		float = func(i int) float32 { return math.Float32frombits(uint32(le.Uint16(data[2*i:])) << 16) }
	case protos.TensorProto_INT64, protos.TensorProto_UINT64:
		integer = func(i int) int64 { return int64(le.Uint64(data[8*i:])) }
	case protos.TensorProto_INT32:
		integer = func(i int) int64 { return int64(int32(le.Uint32(data[4*i:]))) }
	case protos.TensorProto_UINT32:
		integer = func(i int) int64 { return int64(le.Uint32(data[4*i:])) }
	case protos.TensorProto_INT16:
		integer = func(i int) int64 { return int64(int16(le.Uint16(data[2*i:]))) }
	case protos.TensorProto_UINT16:
		integer = func(i int) int64 { return int64(le.Uint16(data[2*i:])) }
	case protos.TensorProto_INT8:
		integer = func(i int) int64 { return int64(int8(data[i])) }
	case protos.TensorProto_INT4, protos.TensorProto_UINT4:
		integer = func(i int) int64 { return packed(i, 4, kind == protos.TensorProto_INT4) }
	case protos.TensorProto_INT2, protos.TensorProto_UINT2:
		integer = func(i int) int64 { return packed(i, 2, kind == protos.TensorProto_INT2) }
	default:
		integer = func(i int) int64 { return int64(data[i]) }
	}
	c.fill(n, float, integer)
}

// fill sets n elements by one of the functions; the other is nil.
func (c *constant) fill(n int, float func(i int) float32, integer func(i int) int64) {
	if float != nil {
		c.floats = make([]float32, n)
		for i := range c.floats {
			c.floats[i] = float(i)
		}
		return
	}
	c.ints = make([]number, n)
	for i := range c.ints {
		c.ints[i].n = integer(i)
	}
}

// fromFields reads n elements from the fields for single types.
func (c *constant) fromFields(t *protos.TensorProto, n int) error {
	var have int
	var float func(i int) float32
	var integer func(i int) int64
	kind := protos.TensorProto_DataType(t.GetDataType())
	if bits := widths()[kind]; bits < 8 { // packed into bytes
		data := make([]byte, len(t.GetInt32Data()))
		for i, x := range t.GetInt32Data() {
			data[i] = byte(x)
		}
		if want := (n*bits + 7) / 8; len(data) != want {
			return fmt.Errorf("has %d of %d bytes; weights are missing in the file", len(data), want)
		}
		c.fromBytes(data, kind, n)
		return nil
	}
	switch kind {
	case protos.TensorProto_FLOAT:
		have, float = len(t.GetFloatData()), func(i int) float32 { return t.GetFloatData()[i] }
	case protos.TensorProto_DOUBLE:
		have, float = len(t.GetDoubleData()), func(i int) float32 { return float32(t.GetDoubleData()[i]) }
	case protos.TensorProto_INT64:
		have, integer = len(t.GetInt64Data()), func(i int) int64 { return t.GetInt64Data()[i] }
	case protos.TensorProto_UINT64, protos.TensorProto_UINT32:
		have, integer = len(t.GetUint64Data()), func(i int) int64 { return int64(t.GetUint64Data()[i]) }
	case protos.TensorProto_FLOAT16:
		have, float = len(t.GetInt32Data()), func(i int) float32 { return half(uint16(t.GetInt32Data()[i])) }
	case protos.TensorProto_BFLOAT16:
		have, float = len(t.GetInt32Data()), func(i int) float32 {
			return math.Float32frombits(uint32(uint16(t.GetInt32Data()[i])) << 16)
		}
	default:
		have, integer = len(t.GetInt32Data()), func(i int) int64 { return int64(t.GetInt32Data()[i]) }
	}
	if have != n {
		return fmt.Errorf("has %d of %d values; weights are missing in the file", have, n)
	}
	c.fill(n, float, integer)
	return nil
}

// rawData returns the bytes of t, or nil if its values are in fields. It keeps what it reads from another file in t.
func rawData(t *protos.TensorProto, root *os.Root) ([]byte, error) {
	if t.GetDataLocation() != protos.TensorProto_EXTERNAL {
		return t.GetRawData(), nil
	}
	keys := map[string]string{}
	for _, e := range t.GetExternalData() {
		keys[e.GetKey()] = e.GetValue()
	}
	if root == nil {
		return nil, fmt.Errorf("its data are in the file %q; open the model by its path", keys["location"])
	}
	f, err := root.Open(keys["location"]) // which refuses paths that leave the folder
	if err != nil {
		return nil, fmt.Errorf("external data: %w; put the file into the model's folder", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	offset, length := int64(0), info.Size()
	if keys["offset"] != "" {
		if offset, err = strconv.ParseInt(keys["offset"], 10, 64); err != nil {
			return nil, fmt.Errorf("external data: offset %q is no number", keys["offset"])
		}
		length -= offset
	}
	if keys["length"] != "" {
		if length, err = strconv.ParseInt(keys["length"], 10, 64); err != nil {
			return nil, fmt.Errorf("external data: length %q is no number", keys["length"])
		}
	}
	if offset < 0 || length < 0 || offset > info.Size() || length > info.Size()-offset {
		return nil, fmt.Errorf("external data: %s has %d bytes, but bytes %d to %d are wanted; the file is cut short",
			keys["location"], info.Size(), offset, offset+length)
	}
	data := make([]byte, length)
	if _, err = f.ReadAt(data, offset); err != nil {
		return nil, err
	}
	t.RawData, t.ExternalData, t.DataLocation = data, nil, protos.TensorProto_DEFAULT
	return data, nil
}

// half converts a float16.
func half(x uint16) float32 {
	sign, exponent, fraction := uint32(x>>15)<<31, int(x>>10&31), uint32(x&1023)
	switch exponent {
	case 0:
		v := float32(fraction) / (1 << 24)
		if sign != 0 {
			v = -v
		}
		return v
	case 31:
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | uint32(exponent-15+127)<<23 | fraction<<13)
}
