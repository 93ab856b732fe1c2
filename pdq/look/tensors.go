package look

import (
	"context"
	"fmt"
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Tensor holds numbers, the last axis the fastest.
type Tensor struct {
	Shape  []int
	Values []float32
	Levels []uint8 // of each value, 0 to 2^Bits-1; nil: not quantised
}

// LayerTensors are what a layer reads and gives on calibration images, and its parameters.
type LayerTensors struct {
	Inputs      []Tensor        // [N,...] what it reads, quantised where the student does; without Levels
	Output      Tensor          // [N,...] before its quantiser; with quantised weight
	OutputQuant pdq.ActQuant    // Bits 0: not quantised
	Weight      Tensor          // [O,...] of the folded network; no Shape: the layer has none
	WeightQuant pdq.WeightQuant // Bits 0: not quantised
	Bias        []float32       // [O] of the student; nil: the layer has none
}

// Tensors returns what layer reads and gives on the first calibration images. It and the layers before are quantised
// as s quantises them.
func Tensors(ctx context.Context, q *pdq.Quantizer, s pdq.Student, layer string, images int) (
	t LayerTensors, err error) {
	if err := atLeastOne(images, "images"); err != nil {
		return t, err
	}
	network, weights := q.Folded()
	i := network.Index(layer)
	if i < 0 {
		return t, fmt.Errorf("look: %s has no layer %s", network.Name, layer)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		return t, err
	}
	out, err := runner(q).Run(ctx, func(xs []*Node) []*Node {
		return forward(network, i, before(s, network, i).Hooks(xs[0].Graph(), w), xs[0])
	}, firstImages(q, images))
	if err != nil {
		return t, err
	}
	for _, c := range out {
		t.Inputs = append(t.Inputs, Tensor{Shape: c.Dims(), Values: c.Flat()})
	}
	t.Output, t.Inputs = t.Inputs[len(out)-1], t.Inputs[:len(out)-1]
	if a, ok := s.Acts[layer]; ok {
		t.OutputQuant = a
		for _, x := range t.Output.Values {
			level := math.RoundToEven(float64(x/a.Scale)) + float64(a.Zero)
			t.Output.Levels = append(t.Output.Levels, uint8(min(max(level, 0), float64(int(1)<<a.Bits-1))))
		}
	}
	return t, t.parameters(layer, weights, w, s)
}

// forward returns the inputs of layer i of n, as what follows them reads them, and its output.
func forward(n *models.Network, i int, h models.Hooks, image *Node) []*Node {
	after, read := h.After, map[string]*Node{models.Image: image}
	h.After = func(l models.Layer, y *Node) *Node {
		read[l.Name] = after(l, y)
		return read[l.Name]
	}
	y := n.Forward(image, 0, i, h)
	var out []*Node
	for _, name := range n.Layers[i].Inputs {
		out = append(out, read[name])
	}
	return append(out, y)
}

// parameters sets t's weight and bias: those of the folded network, and as the student has them.
func (t *LayerTensors) parameters(layer string, folded, student models.Weights, s pdq.Student) error {
	var err error
	if b, ok := student[layer+".bias"]; ok {
		if t.Bias, err = tensors.CopyFlatData[float32](b); err != nil {
			return err
		}
	}
	w, ok := folded[layer+".weight"]
	if !ok {
		return nil
	}
	t.Weight.Shape = w.Shape().Dimensions
	if t.Weight.Values, err = tensors.CopyFlatData[float32](w); err != nil {
		return err
	}
	if t.WeightQuant, ok = s.Weights[layer]; !ok {
		return nil
	}
	on, err := tensors.CopyFlatData[float32](student[layer+".weight"])
	if err != nil {
		return err
	}
	per := exec.Product(t.Weight.Shape[1:])
	for k, x := range on {
		level := math.Round(float64(x/t.WeightQuant.Scale[k/per] + t.WeightQuant.Zero[k/per]))
		t.Weight.Levels = append(t.Weight.Levels, uint8(level))
	}
	return nil
}
