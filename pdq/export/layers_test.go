package export

import (
	"context"
	"math"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/look"
)

// TestLayers: each layer of a file, given what the student's layer reads, gives the student's levels, but where the
// output lies within 1e-4 of halfway between two.
func TestLayers(t *testing.T) {
	b, _, err := backend.Open("onnx")
	if err != nil {
		t.Skip(err)
	}
	for _, teacher := range []string{"resnet8", "mobilenetv2"} {
		of, err := arch.LoadTeacher(teacher)
		if err != nil {
			t.Fatal(err)
		}
		images, err := datasets.FashionMNISTCalibration()
		if err != nil {
			t.Fatal(err)
		}
		c, err := pdq.Paper(teacher, 3, 3)
		if err != nil {
			t.Fatal(err)
		}
		c.Rounding.Steps, c.Correction.Steps, c.Scales.Candidates, c.Scales.Images = 0, 0, 10, 8
		q, err := pdq.New(b, pdq.Problem{Network: of.Network, Weights: of.Weights, Calibration: images.Slice(0, 8)}, c)
		if err != nil {
			t.Fatal(err)
		}
		s, err := q.Quantize(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		n, _ := q.Folded()
		for _, l := range n.Layers {
			sameLayer(t, q, s, l)
		}
	}
}

func sameLayer(t *testing.T, q *pdq.Quantizer, s pdq.Student, l models.Layer) {
	want, err := look.Tensors(context.Background(), q, s, l.Name, 8)
	if err != nil {
		t.Fatal(err)
	}
	got := layerOutput(t, q, s, l, want.Inputs)
	a, flipped := want.OutputQuant, 0
	for i, x := range want.Output.Values {
		if a.Bits == 0 {
			if math.Abs(float64(got[i]-x)) > 1e-4*max(1, math.Abs(float64(x))) {
				t.Errorf("%s: element %d is %g, want %g", l.Name, i, got[i], x)
				return
			}
			continue
		}
		level := math.Round(float64(got[i]/a.Scale + a.Zero))
		if u := float64(x / a.Scale); level != float64(want.Output.Levels[i]) {
			if flipped++; math.Abs(u-math.Floor(u)-0.5) > 1e-4 {
				t.Errorf("%s: element %d, %g, has level %g, want %d", l.Name, i, x, level, want.Output.Levels[i])
				return
			}
		}
	}
	if flipped > 0 {
		t.Logf("%s: %d of %d levels flipped at a tie", l.Name, flipped, len(got))
	}
}

// layerOutput returns what ONNX Runtime computes of a model of l alone, in the packed form. Inputs but the first are
// constants of the model.
func layerOutput(t *testing.T, q *pdq.Quantizer, s pdq.Student, l models.Layer, inputs []look.Tensor) []float32 {
	weights, err := q.StudentWeights(s)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := q.Folded()
	b := &builder{s: s, weights: weights, read: map[string]string{}, shapes: shapesOf(n), single: map[string]bool{},
		graph: &protos.GraphProto{Name: l.Name}}
	for i := range inputs {
		b.read[l.Inputs[i]] = l.Inputs[i]
		if i > 0 {
			b.constant(floatTensor(l.Inputs[i], inputs[i].Shape, inputs[i].Values))
		}
	}
	if err := b.layer(l); err != nil {
		t.Fatal(err)
	}
	b.graph.Input = []*protos.ValueInfoProto{floatValue(l.Inputs[0], inputs[0].Shape[1:]...)}
	b.graph.Output = []*protos.ValueInfoProto{floatValue(b.read[l.Name], n.Shapes()[n.Index(l.Name)]...)}
	data, err := proto.Marshal(&protos.ModelProto{IrVersion: irVersion(lastOpset), Graph: b.graph,
		OpsetImport: []*protos.OperatorSetIdProto{{Version: lastOpset}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := backend.OpenModel(data, backend.ModelOptions{Output: b.read[l.Name]})
	if err != nil {
		t.Fatalf("%s: %v", l.Name, err)
	}
	defer func() { _ = m.Close() }()
	got, err := m.Run(inputs[0].Values, inputs[0].Shape...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
