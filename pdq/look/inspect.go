package look

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// WeightView shows the weight of one layer.
type WeightView struct {
	Layer   string
	Shape   []int
	Quant   pdq.WeightQuant // Bits 0: not quantised, and the fields after Values are empty
	Values  Histogram       // of the folded weight
	Levels  []int           // number of weights on each level, 0 to 2^Bits-1
	Clipped int             // number of weights beyond the outermost levels by more than half a step
	Flipped int             // number of weights not rounded to nearest
	SNR     float64         // of the signal to the quantisation noise, in decibels
	Channel []float64       // the same by output channel
}

// Weight looks at the weight of layer as s quantises it.
func Weight(q *pdq.Quantizer, s pdq.Student, layer string) (WeightView, error) {
	v := WeightView{Layer: layer}
	n, weights := q.Folded()
	w, ok := weights[layer+".weight"]
	if !ok {
		return v, fmt.Errorf("look: %s has no layer %s with a weight", n.Name, layer)
	}
	x, err := tensors.CopyFlatData[float32](w)
	if err != nil {
		return v, err
	}
	v.Shape = w.Shape().Dimensions
	if v.Values, err = NewHistogram(x, 40); err != nil {
		return v, err
	}
	if v.Quant, ok = s.Weights[layer]; !ok {
		return v, nil
	}
	t, err := v.Quant.Dequantize(w)
	if err != nil {
		return v, err
	}
	xq, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return v, err
	}
	v.Levels = make([]int, 1<<v.Quant.Bits)
	per := len(x) / len(v.Quant.Scale)
	var signal, noise float64
	for o := range v.Quant.Scale {
		sum, off := v.count(x[o*per:(o+1)*per], xq[o*per:(o+1)*per], o)
		v.Channel = append(v.Channel, Decibels(sum, off))
		signal, noise = signal+sum, noise+off
	}
	v.SNR = Decibels(signal, noise)
	return v, nil
}

// count adds channel o, whose weights x are quantised as xq, to the counts. It returns the sums of the squares of x and
// of the errors.
func (v *WeightView) count(x, xq []float32, o int) (signal, noise float64) {
	s, z, last := v.Quant.Scale[o], v.Quant.Zero[o], float64(int(1)<<v.Quant.Bits-1)
	for i, xi := range x {
		signal += float64(xi) * float64(xi)
		noise += float64(xi-xq[i]) * float64(xi-xq[i])
		level := math.Round(float64(xq[i]/s + z))
		v.Levels[int(min(max(level, 0), last))]++
		u := float64(xi / s)
		near := math.RoundToEven(u) + float64(z)
		if near < 0 || near > last {
			v.Clipped++
		}
		if min(max(near, 0), last) != level {
			v.Flipped++
		}
	}
	return signal, noise
}

// OutputView shows the output of one layer on calibration images.
type OutputView struct {
	Layer   string
	Images  int
	Quant   pdq.ActQuant // Bits 0: not quantised, and the fields after Values are empty
	Values  Histogram    // before quantisation, with the layers before it quantised
	Levels  []int        // number of values on each level, 0 to 2^Bits-1
	Clipped int          // number of values beyond the outermost levels by more than half a step
	SNR     float64      // of the signal to the quantisation noise, in decibels
}

// Output looks at the output of layer on the first calibration images. This output, and the layers before, are
// quantised as s quantises them.
func Output(ctx context.Context, q *pdq.Quantizer, s pdq.Student, layer string, images int) (OutputView, error) {
	v := OutputView{Layer: layer}
	x, n, err := output(ctx, q, s, layer, images)
	if err != nil {
		return v, err
	}
	v.Images = n
	if v.Values, err = NewHistogram(x, 40); err != nil {
		return v, err
	}
	var ok bool
	if v.Quant, ok = s.Acts[layer]; !ok {
		return v, nil
	}
	last := float64(int(1)<<v.Quant.Bits - 1)
	v.Levels = make([]int, int(last)+1)
	var signal, noise float64
	for _, xi := range x {
		near := math.RoundToEven(float64(xi/v.Quant.Scale)) + float64(v.Quant.Zero)
		level := min(max(near, 0), last)
		if near != level {
			v.Clipped++
		}
		v.Levels[int(level)]++
		off := float64(xi) - (level-float64(v.Quant.Zero))*float64(v.Quant.Scale)
		signal, noise = signal+float64(xi)*float64(xi), noise+off*off
	}
	v.SNR = Decibels(signal, noise)
	return v, nil
}

// output returns the output of layer, before its quantiser, on at most n calibration images, and the number of these.
func output(ctx context.Context, q *pdq.Quantizer, s pdq.Student, layer string, n int) ([]float32, int, error) {
	if err := atLeastOne(n, "images"); err != nil {
		return nil, 0, err
	}
	network, _ := q.Folded()
	i := network.Index(layer)
	if i < 0 {
		return nil, 0, fmt.Errorf("look: %s has no layer %s", network.Name, layer)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		return nil, 0, err
	}
	images := firstImages(q, n)
	out, err := runner(q).Run(ctx, func(xs []*Node) []*Node {
		return []*Node{network.Forward(xs[0], 0, i, before(s, network, i).Hooks(xs[0].Graph(), w))}
	}, images)
	if err != nil {
		return nil, 0, err
	}
	x := out[0].Flat()
	if k := exec.NonFinite(x); k >= 0 {
		err = fmt.Errorf("look: value %d of the output of %s is %g", k, layer, x[k])
	}
	return x, images.Len(), err
}
