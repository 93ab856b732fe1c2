package export_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/export"
)

// TestBack imports exported students again. The logits are the student's, but for levels at ties.
func TestBack(t *testing.T) {
	b := runtime(t)
	for _, teacher := range []string{"resnet8", "mobilenetv2"} {
		q, s := nearest(t, b, teacher, pdq.Bits{W: 2, A: 4})
		w, err := q.StudentWeights(s)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := q.Folded()
		images := q.Problem().Calibration
		x := tensors.FromFlatDataAndDimensions(images.Floats(0, images.Len()), images.Len(), images.Channels, images.Height,
			images.Width)
		want := logits(t, q, n, x, s.Hooks, w)
		for _, form := range []export.Form{export.Packed, export.QCDQ, export.Float} {
			var file bytes.Buffer
			if _, err := export.ONNX(&file, q, s, export.Options{Form: form}); err != nil {
				t.Fatal(err)
			}
			p := &protos.ModelProto{}
			if err := proto.Unmarshal(file.Bytes(), p); err != nil {
				t.Fatal(err)
			}
			m, err := onnx.Read(p, onnx.Options{})
			if err != nil {
				t.Errorf("%s, %v: %v", teacher, form, err)
				continue
			}
			got := logits(t, q, m.Network, x, func(g *graph.Graph, w models.Weights) models.Hooks {
				return models.Hooks{Param: func(name string) *graph.Node { return graph.ConstTensor(g, w[name]) }}
			}, m.Weights)
			others := 0
			for i := range images.Len() {
				for k := range n.Classes {
					if at := i*n.Classes + k; math.Abs(float64(got[at]-want[at])) > 1e-3 {
						others++
						break
					}
				}
			}
			if others > 2 || len(m.Network.Units) != len(n.Units) {
				t.Errorf("%s, %v: the logits of %d of %d images differ by more than 1e-3; %d units, want %d", teacher, form, others,
					images.Len(), len(m.Network.Units), len(n.Units))
			}
		}
	}
}

// logits returns the logits [N,classes] of n for images x.
func logits(t *testing.T, q *pdq.Quantizer, n *models.Network, x *tensors.Tensor,
	hooks func(*graph.Graph, models.Weights) models.Hooks, w models.Weights) []float32 {
	t.Helper()
	out, err := graph.CallOnce(q.Backend(), func(x *graph.Node) *graph.Node {
		return n.Forward(x, 0, len(n.Layers)-1, hooks(x.Graph(), w))
	}, x)
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](out)
}
