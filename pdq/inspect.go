package pdq

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Histogram counts values in bins of equal width from Low to High.
type Histogram struct {
	Low, High float64
	Counts    []int
}

// NewHistogram counts x, which are numbers, in so many bins between their extremes. Of no numbers it is all
// zeros, and with 0 bins or fewer it counts nothing.
func NewHistogram(x []float32, bins int) Histogram {
	h := Histogram{Counts: make([]int, max(bins, 0))}
	if len(x) == 0 {
		return h
	}
	lo, hi := extremes(x)
	h.Low, h.High = float64(lo), float64(hi)
	if bins < 1 {
		return h
	}
	for _, v := range x {
		k := 0
		if hi > lo {
			k = int(float64(bins) * (float64(v) - h.Low) / (h.High - h.Low))
		}
		h.Counts[min(k, bins-1)]++
	}
	return h
}

// Decibels is 10·log10(signal/noise): infinite without noise, NaN without both.
func Decibels(signal, noise float64) float64 { return 10 * math.Log10(signal/noise) }

// WeightView is what one layer's weight looks like.
type WeightView struct {
	Layer   string
	Shape   []int
	Quant   WeightQuant // Bits 0: not quantised yet, and what follows Values is empty
	Values  Histogram   // of the folded weight
	Levels  []int       // how many weights lie on each level, 0 to 2^Bits-1
	Clipped int         // beyond the outermost levels by more than half a step
	Flipped int         // rounded other than to nearest
	SNR     float64     // signal to quantisation noise, decibels
	Channel []float64   // the same by output channel
}

// InspectWeight looks at the weight of the layer called name as s quantises it.
func (q *Quantizer) InspectWeight(s Student, name string) (WeightView, error) {
	v := WeightView{Layer: name}
	w, ok := q.weights[name+".weight"]
	if !ok {
		return v, fmt.Errorf("pdq: %s has no weight %s", q.folded.Name, name)
	}
	x, err := tensors.CopyFlatData[float32](w)
	if err != nil {
		return v, err
	}
	v.Shape, v.Values = w.Shape().Dimensions, NewHistogram(x, 40)
	if v.Quant, ok = s.Weights[name]; !ok {
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

// count counts the levels of channel o, x quantised as xq, and returns the sums of squares of x and
// of the error.
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

// OutputView is what one layer's output looks like on some calibration images.
type OutputView struct {
	Layer   string
	Images  int
	Quant   ActQuant  // Bits 0: not quantised yet, and what follows Values is empty
	Values  Histogram // before quantisation, of what s makes of the layers before
	Levels  []int     // how many values fall on each level, 0 to 2^Bits-1
	Clipped int       // beyond the outermost levels by more than half a step
	SNR     float64   // signal to quantisation noise, decibels
}

// InspectOutput looks at the output of the layer called name, as s quantises it and what comes
// before, on the first of the calibration images, at most so many.
func (q *Quantizer) InspectOutput(ctx context.Context, s Student, name string, images int) (OutputView, error) {
	v := OutputView{Layer: name}
	x, n, err := q.output(ctx, s, name, images)
	if err != nil {
		return v, err
	}
	v.Images, v.Values = n, NewHistogram(x, 40)
	var ok bool
	if v.Quant, ok = s.Acts[name]; !ok {
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

// output returns the output of the layer called name before its quantiser, on the first n images at
// most, and on how many.
func (q *Quantizer) output(ctx context.Context, s Student, name string, n int) ([]float32, int, error) {
	if err := some(n, "images"); err != nil {
		return nil, 0, err
	}
	i := q.folded.Index(name)
	if i < 0 {
		return nil, 0, fmt.Errorf("pdq: %s has no layer %s", q.folded.Name, name)
	}
	w, err := q.studentWeights(s)
	if err != nil {
		return nil, 0, err
	}
	images := q.firstImages(n)
	out, err := q.quietRunner().Run(ctx, func(xs []*Node) []*Node {
		return []*Node{q.folded.Forward(xs[0], 0, i, studentHooks(xs[0].Graph(), w, s.before(q.folded, i)))}
	}, images)
	if err != nil {
		return nil, 0, err
	}
	x := out[0].Flat()
	if k := exec.NonFinite(x); k >= 0 {
		err = fmt.Errorf("pdq: value %d of the output of %s is %g", k, name, x[k])
	}
	return x, images.Len(), err
}

// some reports n of what, if that is none.
func some(n int, what string) error {
	if n < 1 {
		return fmt.Errorf("pdq: %d %s; give at least one", n, what)
	}
	return nil
}

// firstImages returns the first n calibration images, or all if there are fewer.
func (q *Quantizer) firstImages(n int) exec.Normalised {
	return exec.Normalised{Images: q.p.Calibration.Slice(0, min(n, q.p.Calibration.Len()))}
}

// before returns the part of s that quantises layers of n before the i-th.
func (s Student) before(n *models.Network, i int) Student {
	part := Student{}.clone()
	for _, l := range n.Layers[:i] {
		if w, ok := s.Weights[l.Name]; ok {
			part.Weights[l.Name] = w
		}
		if a, ok := s.Acts[l.Name]; ok {
			part.Acts[l.Name] = a
		}
	}
	return part
}
