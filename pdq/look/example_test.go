package look_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/look"
)

// shipped rounds the smallest shipped teacher to nearest, with scales searched on a few images.
func shipped() (*pdq.Quantizer, pdq.Student) {
	b, _, err := backend.Open("go")
	if err != nil {
		log.Fatal(err)
	}
	teacher, err := arch.LoadTeacher("resnet8")
	if err != nil {
		log.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		log.Fatal(err)
	}
	c, err := pdq.Quick("resnet8", 4, 4)
	if err != nil {
		log.Fatal(err)
	}
	p := pdq.Problem{Network: teacher.Network, Weights: teacher.Weights, Calibration: pool.Slice(0, 16)}
	q, err := pdq.New(b, p, c.Nearest())
	if err != nil {
		log.Fatal(err)
	}
	s, err := q.Quantize(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	return q, s
}

// The weight of a layer and its levels.
func ExampleWeight() {
	q, s := shipped()
	v, err := look.Weight(q, s, "layer1.0.conv1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Quant.Bits, "bits,", len(v.Levels), "levels,", len(v.Channel), "channels")
	// Output:
	// 4 bits, 16 levels, 16 channels
}

// The cost of an activation's range, by the error and by the prediction difference.
func ExampleSweepOutput() {
	q, s := shipped()
	points, err := look.SweepOutput(context.Background(), q, s, "layer1.0.relu1", 8, 10)
	if err != nil {
		log.Fatal(err)
	}
	narrow, wide := points[0], points[9]
	fmt.Printf("%.0f %% of the range costs more than %.0f %%: error %v, PD %v\n", 100*narrow.Fraction, 100*wide.Fraction,
		narrow.Lp > wide.Lp, narrow.PD > wide.PD)
	// Output:
	// 10 % of the range costs more than 100 %: error true, PD true
}

// The quantisers of a student by how much each alone changes the predictions.
func ExampleSensitivities() {
	q, s := shipped()
	all, err := look.Sensitivities(context.Background(), q, s, 8)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(all), "quantisers, the worst first:", all[0].PD >= all[len(all)-1].PD)
	// Output:
	// 17 quantisers, the worst first: true
}
