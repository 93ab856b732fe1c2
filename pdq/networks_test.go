package pdq

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
)

// relatives returns small networks of the paper's architectures for images of 1x28x28: with max pooling, with units of
// single convolutions, and with depthwise and grouped convolutions.
func relatives(t *testing.T) []*models.Network {
	t.Helper()
	var all []*models.Network
	add := func(n *models.Network, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	for _, bottleneck := range []bool{false, true} {
		add(arch.ImageNetResNet(arch.ImageNetResNetConfig{Blocks: [4]int{1, 0, 0, 0}, Bottleneck: bottleneck,
			Input: arch.SquareInput(1, 28, 10)}))
	}
	rows := []arch.InvertedResiduals{{Expand: 1, Out: 4, Repeat: 1, Stride: 1}, {Expand: 2, Out: 8, Repeat: 2, Stride: 2}}
	add(arch.MobileNetV2(arch.MobileNetV2Config{Stem: 8, StemStride: 2, Rows: rows, Last: 16, Numbered: true,
		Input: arch.SquareInput(1, 28, 10)}))
	add(arch.RegNetX(arch.RegNetXConfig{Stem: 8, StemStride: 2, Widths: []int{8, 16}, Depths: []int{1, 1},
		Strides: []int{2, 2}, GroupWidth: 4, Input: arch.SquareInput(1, 28, 10)}))
	add(arch.MNasNet(arch.MNasNetConfig{Width: 0.1, Input: arch.SquareInput(1, 28, 10)}))
	return all
}

// TestPaperNetworks takes all relatives through all steps: every tensor of the plan gets a quantiser, and the loss of
// every unit is finite.
func TestPaperNetworks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; run without -short")
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		for _, n := range relatives(t) {
			c, err := Paper(n.Name, 2, 4)
			if err != nil {
				t.Fatal(err)
			}
			c.Rounding.Steps, c.Rounding.BatchSize, c.Correction.Steps, c.Scales.Images, c.Scales.Candidates = 3, 4, 2, 8, 20
			q := quantizerOf(t, b, Problem{n, models.Init(n, 1), pool.Slice(0, 8)}, c)
			s, err := q.Quantize(context.Background())
			if err != nil {
				t.Errorf("%s: %v", n.Name, err)
				continue
			}
			for _, l := range q.plan {
				if w, ok := s.Weights[l.Layer]; l.Weight > 0 && (!ok || w.Bits != l.Weight || w.Levels == nil) {
					t.Errorf("%s: the weight of %s isn't rounded to %d bits", n.Name, l.Layer, l.Weight)
				}
				if a, ok := s.Acts[l.Layer]; l.Output > 0 &&
					(!ok || a.Bits != l.Output || !(a.Scale > 0) || math.IsInf(float64(a.Scale), 0)) {
					t.Errorf("%s: the output of %s has quantiser %+v, want one of %d bits", n.Name, l.Layer, a, l.Output)
				}
			}
		}
	})
}

// TestPaperBits checks the widths around a ResNet's max pooling: its input is quantised, its output isn't.
func TestPaperBits(t *testing.T) {
	n := relatives(t)[0]
	folded, _, err := models.Fold(n, models.Init(n, 1))
	if err != nil {
		t.Fatal(err)
	}
	want := []LayerBits{{"conv1", 8, 0}, {"relu", 0, 4}, {"layer1.0.conv1", 2, 0}, {"layer1.0.relu1", 0, 4},
		{"layer1.0.conv2", 2, 0}, {"layer1.0.relu2", 0, 8}, {"fc", 8, 0}}
	if got := (Bits{W: 2, A: 4, Rule: QDrop}).rule(folded); !slices.Equal(got, want) {
		t.Errorf("bits %v, want %v", got, want)
	}
}
