package commands

import (
	"os"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// TestEvaluateFile: a file that another program wrote, with a fixed number of images, another input's name and a
// second output, is tested with a student, with a teacher alone, and alone.
func TestEvaluateFile(t *testing.T) {
	dir := t.TempDir()
	file, other := dir+"/a.onnx", dir+"/other.onnx"
	sh, out := testShell(t, "set rounding.steps=0 correction.steps=0", "run", "export "+file+" images=4 form=float")
	if strings.Contains(out.String(), "not checked") {
		t.Skip("ONNX Runtime is not installed")
	}
	foreign(t, file, other)
	line := "eval 20 output=logits model=" + other
	out.Reset()
	for _, l := range []string{"name a", line + " student=a", "teacher resnet8; " + line} {
		if err := sh.Line(t.Context(), l); err != nil {
			t.Errorf("%s: %v", l, err)
		}
	}
	if n := strings.Count(out.String(), "other.onnx: "); n != 2 ||
		!strings.Contains(out.String(), "difference to the student +0.00") {
		t.Errorf("printed %s", out)
	}
	sh.State.images = nil
	out.Reset()
	if err := sh.Line(t.Context(), line); err != nil || !strings.Contains(out.String(), "% of 20 images") {
		t.Errorf("without calibration images: error %v, printed %s", err, out)
	}
	fresh, out := testShell(t)
	fresh.State = session{}
	if err := fresh.Line(t.Context(), line+" data=fashion-mnist"); err != nil ||
		!strings.Contains(out.String(), "other.onnx: ") || !strings.Contains(out.String(), "% of 20 images") {
		t.Errorf("alone: error %v, printed %s", err, out)
	}
	for l, want := range map[string]string{
		line:                                    "no images to test on; give data=, or load a teacher",
		"eval model=" + other + " data=cifar10": "it has 2 outputs, logits, softmax; choose one with output=",
	} {
		if err := fresh.Line(t.Context(), l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", l, err, want)
		}
	}
}

// foreign writes the model in file as another exporter might have.
func foreign(t *testing.T, file, to string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := &protos.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	in := m.Graph.Input[0]
	in.Name = "x.1"
	in.Type.GetTensorType().Shape.Dim[0].Value = &protos.TensorShapeProto_Dimension_DimValue{DimValue: 8}
	for _, n := range m.Graph.Node {
		for i, name := range n.Input {
			if name == export.Input {
				n.Input[i] = in.Name
			}
		}
	}
	m.Graph.Node = append(m.Graph.Node, &protos.NodeProto{OpType: "Softmax", Input: []string{export.Output},
		Output: []string{"softmax"}})
	second := proto.Clone(m.Graph.Output[0]).(*protos.ValueInfoProto)
	second.Name = "softmax"
	m.Graph.Output = append(m.Graph.Output, second)
	if data, err = proto.Marshal(m); err != nil {
		t.Fatal(err)
	}
	write(t, to, string(data))
	if _, err := backend.OpenModel(data, backend.ModelOptions{Output: "probabilities"}); err == nil ||
		!strings.Contains(err.Error(), `no output is called "probabilities"; choose one of logits, softmax`) {
		t.Errorf("another output: error %v", err)
	}
}
