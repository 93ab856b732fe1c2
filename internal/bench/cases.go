package main

import (
	"math/rand/v2"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
)

// benchCase is a unit of a network, whose steps are measured.
type benchCase struct {
	name, network string
	size, classes int // of the images, which have three channels
	unit          string
}

func cases() []benchCase {
	return []benchCase{
		{"resnet20-first", "resnet20", 32, 10, "layer1.0"},
		{"resnet20-middle", "resnet20", 32, 10, "layer2.1"},
		{"resnet20-last", "resnet20", 32, 10, "layer3.2"},
		{"mobilenetv2-depthwise", "mobilenetv2", 32, 10, "features.3"},
		{"regnetx-grouped", "regnetx", 32, 10, "s2.b1"},
		{"resnet18-224", "resnet18", 224, 1000, "layer2.0"},
	}
}

const (
	batch  = 32
	pool   = 2 * batch // calibration images; their number doesn't change a step's time
	search = 256       // images for the search of activation scales
)

// problem returns a problem with random weights, and noise as images: the time of a step doesn't depend on values.
func (c benchCase) problem(images int) (pdq.Problem, error) {
	n, err := arch.Design(c.network, arch.SquareInput(3, c.size, c.classes))
	if err != nil {
		return pdq.Problem{}, err
	}
	im := datasets.Images{
		Name: "noise", Channels: 3, Height: c.size, Width: c.size, Classes: make([]string, c.classes),
		Pixels: make([]uint8, images*3*c.size*c.size), Labels: make([]int32, images),
		Mean: []float32{0.5, 0.5, 0.5}, Std: []float32{0.25, 0.25, 0.25},
	}
	rng := rand.New(rand.NewPCG(1, 0))
	for i := range im.Pixels {
		im.Pixels[i] = uint8(rng.IntN(256))
	}
	return pdq.Problem{Network: n, Weights: models.Init(n, 1), Calibration: im}, nil
}

// gflop returns the number of multiplications and additions, in 1e9, in the convolutions and linear layers of a step.
// It has two passes through the unit, with the gradients for all weights and for all inputs but the unit's own, and one
// pass through the rest of the network, with the gradients for inputs.
func gflop(n *models.Network, unit models.Unit) float64 {
	shapes := n.Shapes()
	var sum float64
	for i, l := range n.Layers[unit.First:] {
		if !l.HasWeight() {
			continue
		}
		i += unit.First
		out := 1
		for _, d := range shapes[i] {
			out *= d
		}
		macs := float64(out)
		for _, d := range l.Params()[0].Shape[1:] { // the weight [O,...]
			macs *= float64(d)
		}
		products := 2.0 // forward, and the gradient of the input
		if i <= unit.Last {
			if products = 3; l.Inputs[0] == n.Layers[unit.First].Inputs[0] {
				products = 2 // no gradient for the unit's own input
			}
			products *= 2 // passes
		}
		sum += products * 2 * macs * batch
	}
	return sum / 1e9
}
