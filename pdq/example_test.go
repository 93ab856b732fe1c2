package pdq_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// tiny prepares the steps of PD-Quant on an untrained network.
func tiny() *pdq.Quantizer {
	b, _, err := backend.Open("go")
	if err != nil {
		log.Fatal(err)
	}
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 28, 10)})
	if err != nil {
		log.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		log.Fatal(err)
	}
	c, err := pdq.Quick(n.Name, 2, 2)
	if err != nil {
		log.Fatal(err)
	}
	c.Rounding.Steps, c.Correction.Steps = 3, 3

	q, err := pdq.New(b, pdq.Problem{Network: n, Weights: models.Init(n, 1), Calibration: pool.Slice(0, 8)}, c)
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

// A term of one's own: here the squared error of the logits, in place of the prediction difference.
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
