package pdq_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// tinyParts returns an untrained network with its weights, a few images, and settings with few steps.
func tinyParts() (b compute.Backend, n *models.Network, w models.Weights, images datasets.Images, c pdq.Config) {
	b, _, err := backend.Open("go")
	if err != nil {
		log.Fatal(err)
	}
	n, err = arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 28, 10)})
	if err != nil {
		log.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		log.Fatal(err)
	}
	c, err = pdq.Quick(n.Name, 2, 2)
	if err != nil {
		log.Fatal(err)
	}
	c.Rounding.Steps, c.Correction.Steps = 3, 3
	return b, n, models.Init(n, 1), pool.Slice(0, 8), c
}

// tiny prepares the steps of PD-Quant on an untrained network.
func tiny() *pdq.Quantizer {
	b, n, w, images, c := tinyParts()
	q, err := pdq.New(b, pdq.Problem{Network: n, Weights: w, Calibration: images}, c)
	if err != nil {
		log.Fatal(err)
	}
	return q
}

// The steps of PD-Quant on a tiny untrained network.
func ExampleQuantizer() {
	q := tiny()
	s, err := q.Quantize(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("bits of conv1, layer1.0.conv1:", s.Weights["conv1"].Bits, s.Weights["layer1.0.conv1"].Bits)
	// Output:
	// bits of conv1, layer1.0.conv1: 8 2
}

// A baseline is a Config with terms switched off.
func ExampleConfig_MSEOnly() {
	c, err := pdq.Paper("resnet20", 4, 4)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Loss.PD, c.Correction.Steps)
	fmt.Println(c.MSEOnly().Loss.PD, c.MSEOnly().Correction.Steps)
	// Output:
	// 10 500
	// 0 0
}

// Your own term: here the squared error of the logits, in place of the prediction difference.
func ExampleTerm() {
	q := tiny() // an untrained network, quantised to two bits
	logits := pdq.Term{Name: "logits", Weight: 0.1, Logits: true, Outputs: func(v pdq.Outputs) *graph.Node {
		return graph.ReduceAllMean(graph.Square(graph.Sub(v.StudentLogits, v.TeacherLogits)))
	}}
	paper := q.Terms
	for _, terms := range [][]pdq.Term{paper, slices.Concat(paper[:1], paper[2:], []pdq.Term{logits})} {
		q.Terms = terms
		var last pdq.Loss
		q.Progress = func(e pdq.Event) { last = e.Loss }
		if _, err := q.Quantize(context.Background()); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("PD %t, own %t\n", last.PD > 0, last.Others > 0)
	}
	// Output:
	// PD true, own false
	// PD false, own true
}

// A student's file also records its teacher and settings.
func ExampleQuantizer_WriteStudent() {
	q := tiny()
	s, err := q.Quantize(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if err := q.WriteStudent(&file, s); err != nil {
		log.Fatal(err)
	}
	_, record, err := pdq.ReadStudent(bytes.NewReader(file.Bytes()))
	if err != nil {
		log.Fatal(err)
	}
	again, err := q.ReadStudent(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s W%dA%d, %d weights\n", record.Network, record.Config.Bits.W, record.Config.Bits.A, len(again.Weights))
	// Output:
	// resnet8 W2A2, 10 weights
}

// The loop over the units, for your own steps in between. (The README shows these lines.)
func ExampleQuantizer_Units() {
	ctx := context.Background()
	b, n, w, images, config := tinyParts()
	test := images
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}

	q, err := pdq.New(b, pdq.Problem{Network: n, Weights: w, Calibration: images}, config)
	check(err)
	t, err := q.Teacher(ctx) // full-precision logits
	check(err)
	s, err := q.WeightScales(ctx, pdq.Student{}) // scales of all weights
	check(err)
	for d, err := range q.Units(ctx, t, &s) { // unit by unit, what the student sees of it
		check(err)
		d, err = q.Correct(ctx, d) // distribution correction
		check(err)
		s, err = q.ActivationScales(ctx, s, d) // scales of the unit's activations
		check(err)
		s, err = q.Round(ctx, s, d) // rounding and scales, jointly
		check(err)
	}
	score, err := q.Evaluate(ctx, s, test)
	check(err)
	fmt.Println(len(s.Weights), "weights quantised,", len(score.Top1), "images evaluated")
	// Output:
	// 10 weights quantised, 8 images evaluated
}
