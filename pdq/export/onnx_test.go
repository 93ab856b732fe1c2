package export_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
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

// images is the number of calibration images that students have.
const images = 32

// nearest returns a student of a teacher that is rounded to the nearest levels.
func nearest(t testing.TB, b compute.Backend, teacher string, bits pdq.Bits) (*pdq.Quantizer, pdq.Student) {
	t.Helper()
	of, err := arch.LoadTeacher(teacher)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	c, err := pdq.Paper(teacher, bits.W, bits.A)
	if err != nil {
		t.Fatal(err)
	}
	bits.Rule = c.Bits.Rule
	c.Bits, c.Rounding.Steps, c.Correction.Steps, c.Scales.Candidates, c.Scales.Images = bits, 0, 0, 10, 8
	q, err := pdq.New(b, pdq.Problem{Network: of.Network, Weights: of.Weights, Calibration: pool.Slice(0, images)}, c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.Quantize(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return q, s
}

// TestLogits: ONNX Runtime's logits are those of the student's own forward pass.
func TestLogits(t *testing.T) {
	b := runtime(t)
	for _, teacher := range arch.TeacherNames() {
		for _, bits := range []pdq.Bits{{W: 2, A: 2}, {W: 4, A: 4}, {W: 3, A: 3}, {W: 2, A: 4, Except: mixed(t, teacher)}} {
			t.Run(fmt.Sprintf("%s w%da%d", teacher, bits.W, bits.A), func(t *testing.T) {
				q, s := nearest(t, b, teacher, bits)
				sameLogits(t, q, s, export.Packed)
				if bits.W == 3 {
					sameLogits(t, q, s, export.QCDQ)
					sameLogits(t, q, s, export.Float)
				}
			})
		}
	}
}

// mixed returns exceptions with all other widths, and with outputs in full precision. (Weights in full precision are
// rounded by ONNX Runtime, unless session.disable_quant_qdq is set.)
func mixed(t testing.TB, teacher string) string {
	t.Helper()
	of, err := arch.LoadTeacher(teacher)
	if err != nil {
		t.Fatal(err)
	}
	n, _, err := models.Fold(of.Network, of.Weights)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pdq.Bits{W: 2, A: 4}.Plan(n)
	if err != nil {
		t.Fatal(err)
	}
	var exceptions []string
	for i, tensor := range plan.Tensors() {
		width := []int{5, 0, 6, 7, 2, 3, 4, 8}[i%8]
		if width == 0 && strings.HasSuffix(tensor, ".weight") {
			width = 8
		}
		exceptions = append(exceptions, fmt.Sprintf("%s=%d", tensor, width))
	}
	return strings.Join(exceptions, " ")
}

// sameLogits checks that the model written of s has the logits of s. ONNX Runtime adds in another order, so that a
// level flips where a sum is a tie but for its last bits. Some images therefore have other logits; which ones depends
// on the processor. Where all sums are exact in any order, none may.
func sameLogits(t testing.TB, q *pdq.Quantizer, s pdq.Student, form export.Form) {
	t.Helper()
	mostLogits(t, q, s, form, images*3/4)
	c := compared(t, q, exact(q, s), dyadic(q.Problem().Calibration), form)
	if !(c.Largest <= 1e-5) || c.Same < images {
		t.Errorf("%v: sums are exact, but logits differ by up to %g, and %d predictions of %d are the same",
			form, c.Largest, c.Same, images)
	}
}

// mostLogits checks that the model written of s has the logits of s for least images or more.
func mostLogits(t testing.TB, q *pdq.Quantizer, s pdq.Student, form export.Form, least int) {
	t.Helper()
	c := compared(t, q, s, q.Problem().Calibration, form)
	if c.Close < least || c.Same < images-1 {
		t.Errorf("%v: the logits of %d images of %d are close, and %d predictions are the same; the largest difference is %g",
			form, c.Close, images, c.Same, c.Largest)
	}
}

// compared writes s in a form, and compares it with s itself.
func compared(t testing.TB, q *pdq.Quantizer, s pdq.Student, on datasets.Images, form export.Form) export.Comparison {
	t.Helper()
	var file bytes.Buffer
	if _, err := export.ONNX(&file, q, s, export.Options{Form: form}); err != nil {
		t.Fatal(err)
	}
	m, err := backend.OpenModel(file.Bytes(), backend.ModelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := export.Compare(context.Background(), q, s, on, m.Run)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exact returns s with the nearest powers of two as scales, and biases that are multiples of 2^-10. A network of
// products and sums computes it without rounding from dyadic images.
func exact(q *pdq.Quantizer, s pdq.Student) pdq.Student {
	power := func(x float32) float32 { return float32(math.Exp2(math.Round(math.Log2(float64(x))))) }
	e := pdq.Student{Weights: map[string]pdq.WeightQuant{}, Acts: map[string]pdq.ActQuant{}}
	for layer, a := range s.Acts {
		a.Scale = power(a.Scale)
		e.Acts[layer] = a
	}
	_, weights := q.Folded()
	for layer, w := range s.Weights {
		w.Scale = slices.Clone(w.Scale)
		for k, scale := range w.Scale {
			w.Scale[k] = power(scale)
		}
		if w.Bias == nil && weights[layer+".bias"] != nil {
			w.Bias = tensors.MustCopyFlatData[float32](weights[layer+".bias"])
		}
		w.Bias = onGrid(w.Bias, 1024)
		e.Weights[layer] = w
	}
	return e
}

// dyadic returns images whose values are multiples of 1/64.
func dyadic(im datasets.Images) datasets.Images {
	im.Values, im.Pixels = onGrid(im.Floats(0, im.Len()), 64), nil
	return im
}

// onGrid returns xs, rounded to multiples of 1/n; nil if xs is.
func onGrid(xs []float32, n float64) (on []float32) {
	for _, x := range xs {
		on = append(on, float32(math.Round(float64(x)*n)/n))
	}
	return on
}

// TestOtherKinds: logits are the same for layers that the teachers lack, with windows that aren't symmetric, and for
// weights of few bits in the last layers.
func TestOtherKinds(t *testing.T) {
	b := runtime(t)
	n := kinds()
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	for _, bits := range []pdq.Bits{{W: 2, A: 2}, {W: 4, A: 4}, {W: 8, A: 8}} {
		c, err := pdq.Paper("resnet8", bits.W, bits.A)
		if err != nil {
			t.Fatal(err)
		}
		bits.Rule = pdq.AllLow
		c.Bits, c.Rounding.Steps, c.Correction.Steps = bits, 0, 0
		q, err := pdq.New(b, pdq.Problem{Network: n, Weights: models.Init(n, 1), Calibration: pool.Slice(0, images)}, c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := q.Quantize(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for form := range export.Float + 1 {
			t.Run(fmt.Sprintf("w%da%d %v", bits.W, bits.A, form), func(t *testing.T) { mostLogits(t, q, s, form, images-2) })
		}
	}
}

// kinds returns a network of layers that the teachers lack.
func kinds() *models.Network {
	layer := func(name string, op models.Op, inputs ...string) models.Layer {
		return models.Layer{Name: name, Inputs: inputs, Op: op}
	}
	window := models.Window{Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Dilation: [2]int{1, 2},
		Pad: models.Padding{Top: 1, Bottom: 0, Left: 1, Right: 1}}
	n := &models.Network{Name: "kinds", Channels: 1, Height: 28, Width: 28, Classes: 10, Layers: []models.Layer{
		layer("conv", models.Conv{In: 1, Out: 4, Window: window, Groups: 1}, models.Image),
		layer("relu6", models.ReLU6{}, "conv"),
		layer("pool", models.MaxPooling{Window: window}, "relu6"),
		layer("pad", models.PadShortcut{In: 4, Out: 7, Stride: 3}, "pool"),
		layer("pad1", models.PadShortcut{In: 7, Out: 8, Stride: 1}, "pad"),
		layer("grouped", models.Conv{In: 8, Out: 8, Window: models.SquareWindow(3, 1, 1), Groups: 4, Bias: true}, "pad1"),
		layer("sum", models.Sum{}, "grouped", "pad1"),
		layer("mean", models.GlobalAvgPooling{}, "sum"),
		layer("hidden", models.Linear{In: 8, Out: 16}, "mean"),
		layer("relu", models.ReLU{}, "hidden"),
		layer("logits", models.Linear{In: 16, Out: 10}, "relu"), // the output's name too
	}}
	n.Units = []models.Unit{{Name: "all", First: 0, Last: len(n.Layers) - 1}}
	return n
}
