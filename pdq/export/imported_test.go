package export_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/onnxzoo"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/export"
)

// TestImported: networks that come from ONNX files are written so that logits stay.
func TestImported(t *testing.T) {
	b := runtime(t)
	for _, file := range []string{"shufflenet_v2_x0_5.old", "vit_b_16.old", "vit_b_16.new"} {
		t.Run(file, func(t *testing.T) {
			q := imported(t, b, file)
			mostLogits(t, q, rough(t, q), export.Packed, images-2)
		})
	}
}

// imported returns a quantizer for a network of models/onnx/testdata and images of noise.
func imported(t *testing.T, b compute.Backend, file string) *pdq.Quantizer {
	t.Helper()
	m, err := onnxzoo.Read("../../models/onnx/testdata/" + file + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	read, err := onnx.Read(m, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return quantizer(t, b, read.Network, read.Weights)
}

// quantizer returns a quantizer for n at W4A8, with calibration images of noise.
func quantizer(t *testing.T, b compute.Backend, n *models.Network, w models.Weights) *pdq.Quantizer {
	t.Helper()
	noise := datasets.Images{Name: "noise", Channels: n.Channels, Height: n.Height, Width: n.Width,
		Labels: make([]int32, images),
		Mean:   slices.Repeat([]float32{0.5}, n.Channels), Std: slices.Repeat([]float32{0.3}, n.Channels)}
	for k := range n.Classes {
		noise.Classes = append(noise.Classes, fmt.Sprint(k))
	}
	for _, x := range onnxzoo.Images(images, []int{n.Channels, n.Height, n.Width}) {
		noise.Pixels = append(noise.Pixels, uint8(127.5+70*x))
	}
	c, err := pdq.Paper("resnet8", 4, 8)
	if err != nil {
		t.Fatal(err)
	}
	q, err := pdq.New(b, pdq.Problem{Network: n, Weights: w, Calibration: noise}, c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// rough returns a student with scales from the weights' largest magnitudes, and the same scale for all outputs.
func rough(t *testing.T, q *pdq.Quantizer) pdq.Student {
	t.Helper()
	s := pdq.Student{Weights: map[string]pdq.WeightQuant{}, Acts: map[string]pdq.ActQuant{}}
	_, weights := q.Folded()
	for _, l := range q.Plan() {
		if l.Output > 0 {
			s.Acts[l.Layer] = pdq.ActQuant{Bits: l.Output, Scale: 0.03, Zero: float32(int(1) << (l.Output - 1))}
		}
		if l.Weight == 0 {
			continue
		}
		w, err := tensors.CopyFlatData[float32](weights[l.Layer+".weight"])
		if err != nil {
			t.Fatal(err)
		}
		channels := weights[l.Layer+".weight"].Shape().Dim(0)
		per := len(w) / channels
		wq := pdq.WeightQuant{Bits: l.Weight}
		for o := range channels {
			most := float32(1e-6)
			for _, x := range w[o*per : (o+1)*per] {
				most = max(most, x, -x)
			}
			wq.Scale = append(wq.Scale, 2*most/float32(int(1)<<l.Weight-1))
			wq.Zero = append(wq.Zero, float32(int(1)<<(l.Weight-1)))
		}
		s.Weights[l.Layer] = wq
	}
	return s
}
