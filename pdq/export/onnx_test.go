package export_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// runtime returns the backend of ONNX Runtime. It skips the test without one.
func runtime(t testing.TB) compute.Backend {
	t.Helper()
	b, _, err := backend.Open("onnx")
	if err != nil {
		t.Skip(err)
	}
	return b
}

// nearest returns a student of a teacher that is rounded to the nearest levels.
func nearest(t testing.TB, b compute.Backend, teacher string, bits pdq.Bits) (*pdq.Quantizer, pdq.Student) {
	t.Helper()
	of, err := arch.LoadTeacher(teacher)
	if err != nil {
		t.Fatal(err)
	}
	images, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	c, err := pdq.Paper(teacher, bits.W, bits.A)
	if err != nil {
		t.Fatal(err)
	}
	bits.Rule = c.Bits.Rule
	c.Bits, c.Rounding.Steps, c.Correction.Steps, c.Scales.Candidates, c.Scales.Images = bits, 0, 0, 10, 16
	q, err := pdq.New(b, pdq.Problem{Network: of.Network, Weights: of.Weights, Calibration: images.Slice(0, 64)}, c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.Quantize(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return q, s
}

// TestLogits: ONNX Runtime's logits of each form are those of the student's own forward pass.
func TestLogits(t *testing.T) {
	b := runtime(t)
	for _, teacher := range arch.TeacherNames() {
		for _, bits := range []pdq.Bits{{W: 2, A: 2}, {W: 4, A: 4}, {W: 3, A: 3}} {
			t.Run(fmt.Sprintf("%s w%da%d", teacher, bits.W, bits.A), func(t *testing.T) {
				q, s := nearest(t, b, teacher, bits)
				for form := range export.Float + 1 {
					t.Run(form.String(), func(t *testing.T) { sameLogits(t, q, s, form) })
				}
			})
		}
	}
}

func sameLogits(t *testing.T, q *pdq.Quantizer, s pdq.Student, form export.Form) {
	var file bytes.Buffer
	if err := export.ONNX(&file, q, s, export.Options{Form: form}); err != nil {
		t.Fatal(err)
	}
	m, err := backend.OpenModel(file.Bytes(), export.Input, export.Output)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := export.Compare(context.Background(), q, s, q.Problem().Calibration, m.Run)
	if err != nil {
		t.Fatal(err)
	}
	if c.Largest > 1e-5 || c.Same != 64 {
		t.Errorf("logits differ by %g at most, and %d of 64 predictions are the same; want 1e-5, 64", c.Largest, c.Same)
	}
}
