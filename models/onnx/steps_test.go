package onnx_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/onnxzoo"
	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
)

// smallZoo are the architectures whose steps are tested outside of the soak.
func smallZoo() []string {
	return []string{"convnext_atto", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "vit_b_16"}
}

// TestSteps takes two steps of all steps of PD-Quant on the first, the middle and the last unit of smallZoo's
// architectures, in the soak of all. Losses must be finite.
func TestSteps(t *testing.T) {
	files, _ := zoo(t)
	testbackend.One(t, func(t *testing.T, b compute.Backend) {
		var done []string
		for _, file := range files {
			name, _, _ := strings.Cut(file, ".")
			if slices.Contains(done, name) || !slices.Contains(smallZoo(), name) && !soaked.Long() {
				continue
			}
			done = append(done, name)
			t.Run(name, func(t *testing.T) {
				m, err := onnx.Read(filled(t, file), options(file))
				if err != nil {
					t.Fatal(err)
				}
				takeSteps(t, b, m)
			})
		}
	})
}

func takeSteps(t *testing.T, b compute.Backend, m *onnx.Model) {
	const images = 4
	n, ctx := m.Network, context.Background()
	c, err := pdq.Quick("resnet", 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	c.Seed, c.Correction.Steps, c.Rounding.Steps, c.Rounding.BatchSize = 1, 2, 2, 2
	calibration := datasets.Images{Channels: n.Channels, Height: n.Height, Width: n.Width, Labels: make([]int32, images),
		Classes: make([]string, n.Classes), Values: onnxzoo.Images(images, []int{n.Channels, n.Height, n.Width})}
	q, err := pdq.New(b, pdq.Problem{Network: n, Weights: m.Weights, Calibration: calibration}, c)
	if err != nil {
		t.Fatal(err)
	}
	teacher, err := q.Teacher(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer teacher.Free()
	s, err := q.WeightScales(ctx, pdq.Student{})
	if err != nil {
		t.Fatal(err)
	}
	s.Acts = map[string]pdq.ActQuant{}
	for _, lb := range q.Plan() { // stand in for the scales of the units before
		if lb.Output > 0 {
			s.Acts[lb.Layer] = pdq.ActQuant{Bits: lb.Output, Scale: 0.5, Zero: float32(int(1) << lb.Output / 2)}
		}
	}
	last := len(n.Units) - 1
	for _, u := range []int{0, last / 2, last} {
		data, err := q.Observe(ctx, s, teacher, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		corrected, err := q.Correct(ctx, data)
		if err != nil {
			t.Fatal(err)
		}
		scaled, err := q.ActivationScales(ctx, s, corrected)
		if err != nil {
			t.Fatal(err)
		}
		r, err := q.NewRounder(scaled, corrected)
		if err != nil {
			t.Fatal(err)
		}
		loss, err := r.Steps(ctx, 2)
		if err != nil {
			t.Fatal(err)
		}
		if math.IsNaN(loss.Total()) || math.IsInf(loss.Total(), 0) {
			t.Errorf("unit %s: loss %v", n.Units[u].Name, loss)
		}
		r.Close()
		corrected.FreeBut(data)
		data.Free()
	}
}
