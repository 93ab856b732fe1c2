package export_test

import (
	"bytes"
	"cmp"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/internal/onnxzoo"
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
			"shufflenet_v2_x0_5.old", "squeezenet1_1.old"}
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
			q, from := kept(t, b, name, 2, 4)
			s := rough(t, q)
			for form := range export.Float + 1 {
				want, _ := modelLogits(t, q, s, export.Options{Form: form})
				got, file := modelLogits(t, q, s, export.Options{Form: form, Original: from})
				// ONNX Runtime takes integer arithmetic for products with [I,O], whose sums give other levels at ties.
				limit := 1e-4
				if form != export.Float {
					limit = 0.1 * math.Abs(float64(slices.MaxFunc(want, func(x, y float32) int {
						return cmp.Compare(x*x, y*y)
					})))
				}
				for i, y := range got {
					if math.Abs(float64(y-want[i])) > limit {
						t.Errorf("%v: logit %d is %g, want %g", form, i, y, want[i])
						break
					}
				}
				sameGraph(t, q, s, from, file)
			}
		})
	}
}

// kept returns a quantizer for a network of models/onnx/testdata, at some bits, and what the file holds.
func kept(t *testing.T, b compute.Backend, file string, w, a int) (*pdq.Quantizer, *onnx.Model) {
	t.Helper()
	m, err := onnxzoo.Read("../../models/onnx/testdata/" + file + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	from, err := onnx.Read(m, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := quantizer(t, b, from.Network, from.Weights)
	c := q.Config()
	c.Bits.W, c.Bits.A = w, a
	if q, err = pdq.New(b, q.Problem(), c); err != nil {
		t.Fatal(err)
	}
	return q, from
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
	m, err := backend.OpenModel(file.Bytes(), backend.ModelOptions{Output: written.Logits})
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

// readAsData returns the tensors that a graph's outputs need, but for parameters of products and batch normalisations.
func readAsData(g *protos.GraphProto) map[string]bool {
	read := map[string]bool{}
	for _, v := range g.Output {
		read[v.Name] = true
	}
	for _, n := range slices.Backward(g.Node) {
		inputs := n.Input
		if slices.Contains([]string{"BatchNormalization", "Conv", "Gemm"}, n.OpType) {
			inputs = inputs[:1]
		}
		if slices.ContainsFunc(n.Output, func(out string) bool { return read[out] }) {
			for _, in := range inputs {
				read[in] = true
			}
		}
	}
	return read
}

// sameGraph compares a file's nodes, weights and units with those of the file that it was made from.
func sameGraph(t *testing.T, q *pdq.Quantizer, s pdq.Student, from *onnx.Model, p *protos.ModelProto) {
	t.Helper()
	names, data := map[string]bool{}, map[string]bool{from.Proto.Graph.Input[0].Name: true}
	for _, n := range p.Graph.Node {
		names[n.Name] = true
	}
	read := readAsData(from.Proto.Graph)
	for _, n := range from.Proto.Graph.Node {
		if !slices.ContainsFunc(n.Input, func(in string) bool { return data[in] }) {
			continue // it computes a weight
		}
		for _, out := range n.Output {
			data[out] = true
		}
		if !names[n.Name] && n.OpType != "BatchNormalization" && read[n.Output[0]] {
			t.Errorf("no node is called %s (%s)", n.Name, n.OpType)
		}
	}
	m, err := onnx.Read(p, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := q.Folded()
	weights, err := q.StudentWeights(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range n.Layers {
		if !l.HasWeight() {
			continue
		}
		if m.Network.Index(l.Name) < 0 {
			t.Errorf("no layer is called %s", l.Name)
			continue
		}
		for _, p := range l.Params() {
			if m.Weights[p.Name] == nil || !m.Weights[p.Name].InDelta(weights[p.Name], 1e-6) {
				t.Errorf("%s is another", p.Name)
			}
		}
	}
	if len(m.Network.Units) != len(n.Units) {
		t.Errorf("%d units, want %d", len(m.Network.Units), len(n.Units))
	}
}
