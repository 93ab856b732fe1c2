package export

import (
	"fmt"
	"math"
	"slices"

	"github.com/pdquant/pdquant/pdq"
)

// firstOpset is the lowest version of ONNX's operators that ONNX writes: the first with scales by channel.
const firstOpset = 13

// levelsEnd is what a weight's levels have after its name.
const levelsEnd = ".levels"

// weight adds a weight [O,...] on its levels, in signed integers if these are symmetric. Its name is then that of the
// values in float32. With turned, [O,I] is stored as [I,O].
func (b *builder) weight(name string, dims []int, values []float32, q pdq.WeightQuant, turned bool) error {
	axis := 0
	if turned {
		axis = 1
	}
	if b.form == Float {
		dims, values = turn(dims, values, turned)
		b.parameter(floatTensor(name, dims, values))
		return nil
	}
	t := uint8Type()
	if b.form == Packed {
		bits := q.Bits
		if len(dims) == 2 { // ONNX Runtime 1.30 can't load a Gemm with 2-bit weights that reads quantised activations
			bits = max(bits, 4)
		}
		t = packedType(bits)
		b.needs(t.opset)
	}
	if symmetric(q.Bits, q.Zero) {
		t = t.signed(q.Bits)
	}
	zeros := make([]uint8, len(q.Zero))
	for o, z := range q.Zero {
		var err error
		if zeros[o], err = b.zero(t, z); err != nil {
			return fmt.Errorf("the weight's output channel %d: %w", o, err)
		}
	}
	levels, per := make([]uint8, len(values)), len(values)/len(q.Scale)
	for i, x := range values {
		o := i / per
		levels[i] = uint8(math.Round(float64(x/q.Scale[o] + q.Zero[o])))
	}
	dims, levels = turn(dims, levels, turned)
	b.node("DequantizeLinear", name, []string{b.parameter(t.tensor(name+levelsEnd, dims, levels)),
		b.constant(floatTensor(name+".scale", []int{len(q.Scale)}, q.Scale)),
		b.constant(t.tensor(name+".zero", []int{len(zeros)}, zeros))}, integer("axis", axis))
	return nil
}

// turn returns a matrix transposed, if turned is true.
func turn[T any](dims []int, values []T, turned bool) ([]int, []T) {
	if !turned {
		return dims, values
	}
	rows, columns := dims[0], dims[1]
	out := make([]T, 0, len(values))
	for c := range columns {
		for r := range rows {
			out = append(out, values[r*columns+c])
		}
	}
	return []int{columns, rows}, out
}

// symmetric says whether all zero points of a quantiser are its middle level.
func symmetric(bits int, zeros []float32) bool {
	middle := float32(int(1) << (bits - 1))
	return !slices.ContainsFunc(zeros, func(z float32) bool { return z != middle })
}

// activation adds the quantiser of a layer's output, which later layers read instead of the output.
//
// Levels have 8 bits in the packed form too: ONNX Runtime 1.30 computes wrong sizes of tensors with narrower types, and
// its QuantizeLinear writes outside of them.
func (b *builder) activation(layer string, q pdq.ActQuant) error {
	y, most := layer+".quantized", 1<<q.Bits-1
	levels := y + ".levels"
	b.read[layer] = y
	scale := b.constant(floatTensor(y+".scale", nil, []float32{q.Scale}))
	if b.form == Float {
		b.node("Div", y+".ratio", []string{layer, scale})
		b.node("Round", y+".nearest", []string{y + ".ratio"})
		b.clip(levels, y+".nearest", -q.Zero, float32(most)-q.Zero)
		b.node("Mul", y, []string{levels, scale})
		return nil
	}
	t := uint8Type()
	z, err := b.zero(t, q.Zero)
	if err != nil {
		return fmt.Errorf("the output: %w", err)
	}
	zero := b.constant(t.tensor(y+".zero", nil, []uint8{z}))
	if most < t.last() {
		b.node("QuantizeLinear", y+".unclipped", []string{layer, scale, zero})
		b.node("Clip", levels, []string{y + ".unclipped", b.constant(t.tensor(levels+".min", nil, []uint8{0})),
			b.constant(t.tensor(levels+".max", nil, []uint8{uint8(most)}))})
	} else {
		b.node("QuantizeLinear", levels, []string{layer, scale, zero})
	}
	b.node("DequantizeLinear", y, []string{levels, scale, zero})
	return nil
}

// zero returns the zero point z as a number of t.
func (b *builder) zero(t levelType, z float32) (uint8, error) {
	k := uint8(min(max(z, 0), float32(t.last())))
	if float32(k) != z {
		return 0, fmt.Errorf("its zero point %g isn't a whole number of 0 to %d, as the form %v needs; "+
			"choose the form %v", z, t.last(), b.form, Float)
	}
	return k, nil
}
