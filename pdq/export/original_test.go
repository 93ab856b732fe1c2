package export_test

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// originals are files of both of PyTorch's exporters, with batch normalisations and without, of several opsets.
func originals(t *testing.T) (names []string) {
	if !soaked.Long() {
		return []string{"deit_tiny_patch16_224.old", "mnasnet0_5.new", "mobilenet_v2.old-plain", "mobilevit_xxs.new",
			"regnet_x_400mf.old", "shufflenet_v2_x0_5.old", "squeezenet1_1.old"}
	}
	files, err := filepath.Glob("../../models/onnx/testdata/*.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".onnx"))
	}
	return names
}

// TestOriginal: a file's graph is kept, and computes what a graph of the student's layers does.
func TestOriginal(t *testing.T) {
	b := runtime(t)
	for _, name := range originals(t) {
		t.Run(name, func(t *testing.T) {
			q, from := imported(t, b, name)
			s := rough(t, q)
			for form := range export.Float + 1 {
				want, _ := modelLogits(t, q, s, export.Options{Form: form})
				got, file := modelLogits(t, q, s, export.Options{Form: form, Original: from})
				others := 0
				for i := range few {
					k := from.Network.Classes
					for j := range k {
						if math.Abs(float64(got[i*k+j]-want[i*k+j])) > 1e-4 {
							others++
							break
						}
					}
				}
				if others > 1 {
					t.Errorf("%v: the logits of %d of %d images differ", form, others, few)
				}
				sameGraph(t, q, from, file)
			}
		})
	}
}

// few is how many images TestOriginal compares.
const few = 4

// modelLogits returns the logits of few images of a written model, and the model.
func modelLogits(t *testing.T, q *pdq.Quantizer, s pdq.Student, o export.Options) ([]float32, *protos.ModelProto) {
	t.Helper()
	var file bytes.Buffer
	written, err := export.ONNX(&file, q, s, o)
	if err != nil {
		t.Fatal(err)
	}
	if written.Redrawn != nil {
		t.Fatalf("redrawn: %v", written.Redrawn)
	}
	m, err := backend.OpenModel(file.Bytes(), written.Input, written.Output)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	x := q.Problem().Calibration
	y, err := m.Run(x.Floats(0, few), few, x.Channels, x.Height, x.Width)
	if err != nil {
		t.Fatal(err)
	}
	p := &protos.ModelProto{}
	if err := proto.Unmarshal(file.Bytes(), p); err != nil {
		t.Fatal(err)
	}
	return y, p
}

// sameGraph compares a file's nodes, layers and units with those of the file that it was made from.
func sameGraph(t *testing.T, q *pdq.Quantizer, from *onnx.Model, p *protos.ModelProto) {
	t.Helper()
	names := map[string]bool{}
	for _, n := range p.Graph.Node {
		names[n.Name] = true
	}
	for _, n := range from.Proto.Graph.Node {
		if !names[n.Name] && n.OpType != "BatchNormalization" && n.OpType != "Identity" {
			t.Errorf("no node is called %s (%s)", n.Name, n.OpType)
		}
	}
	m, err := onnx.Read(p, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := q.Folded()
	for _, l := range n.Layers {
		if l.HasWeight() && m.Network.Index(l.Name) < 0 {
			t.Errorf("no layer is called %s", l.Name)
		}
	}
	if len(m.Network.Units) != len(n.Units) {
		t.Errorf("%d units, want %d", len(m.Network.Units), len(n.Units))
	}
}
