package export

import (
	"fmt"
	"math"

	"github.com/pdquant/pdquant/pdq"
)

// firstOpset is the lowest version of ONNX's operators that ONNX writes: the first with scales by channel.
const firstOpset = 13

// weight adds a weight [O,...] on its levels. Its name is then that of the values in float32.
func (b *builder) weight(name string, dims []int, values []float32, q pdq.WeightQuant) error {
	t, ok := b.form.typeFor(q.Bits)
	if !ok {
		b.constant(floatTensor(name, dims, values))
		return nil
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
	b.needs(t)
	b.node("DequantizeLinear", name, []string{b.constant(t.tensor(name+".levels", dims, levels)),
		b.constant(floatTensor(name+".scale", []int{len(q.Scale)}, q.Scale)),
		b.constant(t.tensor(name+".zero", []int{len(zeros)}, zeros))}, integer("axis", 0))
	return nil
}

// activation adds the quantiser of a layer's output, which later layers read instead of the output.
func (b *builder) activation(layer string, q pdq.ActQuant) error {
	y := layer + ".quantized"
	b.read[layer] = y
	most := 1<<q.Bits - 1
	lo, hi := -q.Zero, float32(most)-q.Zero // levels less the zero point
	t, ok := b.form.typeFor(q.Bits)
	if !ok {
		scale := b.constant(floatTensor(y+".scale", nil, []float32{q.Scale}))
		b.node("Div", y+".ratio", []string{layer, scale})
		b.node("Round", y+".nearest", []string{y + ".ratio"})
		b.clip(y+".level", y+".nearest", lo, hi)
		b.node("Mul", y, []string{y + ".level", scale})
		return nil
	}
	z, err := b.zero(t, q.Zero)
	if err != nil {
		return fmt.Errorf("the output: %w", err)
	}
	b.needs(t)
	levels, x, clip := y+".levels", layer, t.last() > most
	if clip && b.form == Packed { // ONNX's Clip takes no integers of 2 and 4 bits
		x = layer + ".clipped"
		b.clip(x, layer, lo*q.Scale, hi*q.Scale)
	}
	scale := b.constant(floatTensor(y+".scale", nil, []float32{q.Scale}))
	zero := b.constant(t.tensor(y+".zero", nil, []uint8{z}))
	b.node("QuantizeLinear", levels, []string{x, scale, zero})
	if clip && b.form == QCDQ {
		x, levels = levels, y+".level"
		b.node("Clip", levels, []string{x, b.constant(t.tensor(levels+".min", nil, []uint8{0})),
			b.constant(t.tensor(levels+".max", nil, []uint8{uint8(most)}))})
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

// needs says that the model has tensors of t.
func (b *builder) needs(t levelType) { b.opset = max(b.opset, t.opset) }
