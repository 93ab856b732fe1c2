package pdq_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// The steps of PD-Quant on a tiny untrained network.
func ExampleQuantizer() {
	ctx := context.Background()
	b, _, err := backend.Open("go")
	if err != nil {
		log.Fatal(err)
	}
	n, err := models.ResNet(models.ResNetConfig{Blocks: 1, Width: 4, Channels: 1, Size: 28, Classes: 10})
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
	s, err := q.Quantize(ctx)
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
