package export_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// A tiny untrained network, rounded to the nearest levels, as an ONNX model.
func ExampleONNX() {
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
	c, err := pdq.Quick(n.Name, 4, 4)
	if err != nil {
		log.Fatal(err)
	}
	c.Rounding.Steps, c.Correction.Steps, c.Scales.Candidates = 0, 0, 5
	q, err := pdq.New(b, pdq.Problem{Network: n, Weights: models.Init(n, 1), Calibration: pool.Slice(0, 8)}, c)
	if err != nil {
		log.Fatal(err)
	}
	s, err := q.Quantize(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer // for a file, write to an *os.File
	written, err := export.ONNX(&file, q, s, export.Options{Form: export.Packed})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("opset %d; weights %d bytes, %d in float32\n", written.Opset, written.Weights, written.FloatWeights)
	// Output:
	// opset 21; weights 2956 bytes, 20232 in float32
}
