package export_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"

	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// TestRedrawn: a graph that can't be kept is written as that of the network's layers, and the reason is said.
func TestRedrawn(t *testing.T) {
	b, _, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	q, from := kept(t, b, "mobilenet_v2.old-plain", 4, 8)
	s := rough(t, q)
	conv := from.Places["features.0.0"].Product
	for _, c := range []struct {
		change func(g *protos.GraphProto)
		opset  int
		want   string
	}{
		{func(*protos.GraphProto) {}, 14, "of this student in the form qcdq are in opsets 17 to 25"},
		{func(g *protos.GraphProto) { // another node reads what a batch normalisation was folded into
			g.Node = append(g.Node, &protos.NodeProto{OpType: "Relu", Input: []string{conv}, Output: []string{"other"}})
		}, 0, "features.0.0: a node reads " + conv + ", although a batch normalisation is folded into it"},
		{func(g *protos.GraphProto) {
			g.Node = append(g.Node, &protos.NodeProto{OpType: "Scan", Name: "scan", Output: []string{"other"},
				Attribute: []*protos.AttributeProto{{Name: "body", G: &protos.GraphProto{}}}})
		}, 0, "node scan (Scan) has a graph of its own"},
		{func(g *protos.GraphProto) {
			g.Initializer[0] = &protos.TensorProto{Name: "far", DataLocation: protos.TensorProto_EXTERNAL}
		}, 0, "the weight far isn't part of the network, and in another file"},
	} {
		old := from.Proto.Graph
		m := *from
		m.Opset = 17
		m.Proto = &protos.ModelProto{Graph: &protos.GraphProto{Name: old.Name, Input: old.Input, Output: old.Output,
			Node: append([]*protos.NodeProto{}, old.Node...), Initializer: append([]*protos.TensorProto{}, old.Initializer...)}}
		c.change(m.Proto.Graph)
		var file bytes.Buffer
		written, err := export.ONNX(&file, q, s, export.Options{Form: export.QCDQ, Opset: c.opset, Original: &m})
		if err != nil {
			t.Fatal(err)
		}
		if written.Redrawn == nil || !strings.Contains(written.Redrawn.Error(), c.want) {
			t.Errorf("redrawn: %v, want %s", written.Redrawn, c.want)
		}
	}
}
