package export_test

import (
	"math"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// TestOriginalLayers: every seventh quantised tensor of a kept graph is the student's, but for levels at ties.
func TestOriginalLayers(t *testing.T) {
	b := runtime(t)
	q, from := kept(t, b, "shufflenet_v2_x0_5.old", 4, 8)
	s := rough(t, q)
	w, err := q.StudentWeights(s)
	if err != nil {
		t.Fatal(err)
	}
	layers := map[string]string{} // by tensor
	n, _ := q.Folded()
	for _, l := range from.Network.Layers {
		layers[from.Places[l.Name].Output] = l.Name
		if n.Index(l.Name) < 0 {
			layers[from.Places[l.Name].Output] = l.Inputs[0] // which the normalisation is folded into
		}
	}
	_, p := modelLogits(t, q, s, export.Options{Original: from})
	images := q.Problem().Calibration
	x := images.Floats(0, 1)
	k := 0
	for _, node := range p.Graph.Node {
		tensor, ok := strings.CutSuffix(node.Output[0], ".quantized")
		if !ok {
			continue
		}
		if k++; k%7 != 1 {
			continue
		}
		layer := layers[tensor]
		out, err := graph.CallOnce(q.Backend(), func(x *graph.Node) *graph.Node {
			return n.Forward(x, 0, n.Index(layer), s.Hooks(x.Graph(), w))
		}, tensors.FromFlatDataAndDimensions(x, 1, images.Channels, images.Height, images.Width))
		if err != nil {
			t.Fatalf("%s: %v", layer, err)
		}
		want, got := tensors.MustCopyFlatData[float32](out), outputOf(t, p, node.Output[0], x)
		others := 0
		for i, y := range got {
			if math.Abs(float64(y-want[i])) > 1e-4 {
				others++
			}
		}
		if len(got) != len(want) || others > len(want)/50 {
			t.Errorf("%s, layer %s: %d of %d numbers differ", tensor, layer, others, len(want))
		}
	}
	if k < 20 {
		t.Errorf("%d quantised tensors", k)
	}
}

// outputOf returns the tensor called name that ONNX Runtime computes of p for one image.
func outputOf(t *testing.T, p *protos.ModelProto, name string, x []float32) []float32 {
	t.Helper()
	value := proto.Clone(p.Graph.Output[0]).(*protos.ValueInfoProto)
	value.Name = name
	value.Type.GetTensorType().Shape = nil
	before := p.Graph.Output
	p.Graph.Output = append(before[:1:1], value)
	data, err := proto.Marshal(p)
	p.Graph.Output = before
	if err != nil {
		t.Fatal(err)
	}
	m, err := backend.OpenModel(data, backend.ModelOptions{Output: name})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	y, err := m.Run(x, 1, 3, 64, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return y
}
