package export_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/python"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// torchCase is a network, and its PyTorch model.
type torchCase struct {
	network     *models.Network
	weights     models.Weights
	torchvision bool   // whether the model has torchvision's names
	model       string // Python
}

// TestWeights: the program of docs/formats.md loads students' weights into PyTorch models. Their logits are those of
// the student's weights without the quantisers of activations.
func TestWeights(t *testing.T) {
	program := python.With(t, "torch", "torchvision", "safetensors")
	load := python.Snippet(t, filepath.Join("..", "..", "docs", "formats.md"), "import torch, torchvision")
	own, err := os.ReadFile(filepath.Join("testdata", "models.py"))
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	dir, script := t.TempDir(), string(own)+load+`
def check(model, file):
    expected = load_file(file + ".expected")
    with torch.no_grad():
        logits = load_student(model, file)(expected["images"])
    print(file, float((logits - expected["logits"]).abs().max() / expected["logits"].abs().max()))
    torch.testing.assert_close(logits, expected["logits"], rtol=1e-4, atol=1e-4)

`
	for _, c := range torchCases(t) {
		q := quantizer(t, b, c.network, c.weights)
		file := filepath.Join(dir, c.network.Name)
		writeCase(t, q, c, file)
		script += "check(" + c.model + ", '" + file + "')\n"
	}
	t.Logf("relative difference of logits:\n%s", python.Run(t, program, dir, script))
}

// writeCase writes the weights of a student of q to file, and images with their logits to file.expected.
func writeCase(t *testing.T, q *pdq.Quantizer, c torchCase, file string) {
	t.Helper()
	s := rough(t, q)
	for layer, w := range s.Weights { // as fine-tuning leaves a bias
		if _, weights := q.Folded(); weights[layer+".bias"] != nil {
			w.Bias = make([]float32, len(w.Scale))
			for i := range w.Bias {
				w.Bias[i] = float32(i%5-2) / 10
			}
			s.Weights[layer] = w
			break
		}
	}
	n, _ := q.Folded()
	var name func(string) string
	if c.torchvision {
		name = checkpoint.Torchvision(n)
	}
	var out bytes.Buffer
	if err := export.Weights(&out, q, s, name); err != nil {
		t.Fatal(err)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		t.Fatal(err)
	}
	sample := q.Problem().Calibration.Slice(0, 4)
	x := tensors.FromFlatDataAndDimensions(sample.Floats(0, 4), 4, sample.Channels, sample.Height, sample.Width)
	y := logits(t, q, n, x, func(g *graph.Graph, w models.Weights) models.Hooks {
		return models.Hooks{Param: func(name string) *graph.Node { return graph.ConstTensor(g, w[name]) }}
	}, w)
	var expected bytes.Buffer
	err = checkpoint.WriteWeights(&expected, models.Weights{"images": x,
		"logits": tensors.FromFlatDataAndDimensions(y, 4, n.Classes)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{file: out.Bytes(), file + ".expected": expected.Bytes()} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// torchCases returns a trained network, those with other names in torchvision, and one that can't be folded wholly.
func torchCases(t *testing.T) []torchCase {
	t.Helper()
	of, err := arch.LoadTeacher("resnet20")
	if err != nil {
		t.Fatal(err)
	}
	cases := []torchCase{{of.Network, of.Weights, false, "ResNet20()"}}
	for _, c := range [][2]string{
		{"resnet18", "torchvision.models.resnet18(num_classes=10)"},
		{"mobilenetv2-0.5", "torchvision.models.mobilenet_v2(width_mult=0.5, num_classes=10)"},
		{"regnetx-600mf", "torchvision.models.RegNet(torchvision.models.regnet.BlockParams([1, 3, 5, 7], " +
			"[48, 96, 240, 528], [24] * 4, [1.0] * 4, [2] * 4), num_classes=10)"},
	} {
		n, err := arch.Design(c[0], arch.SquareInput(3, 32, 10))
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, torchCase{n, trainedLike(n), true, c[1]})
	}
	layer := func(name string, op models.Op, inputs ...string) models.Layer {
		return models.Layer{Name: name, Inputs: inputs, Op: op}
	}
	n := &models.Network{Name: "norm-after-sum", Channels: 3, Height: 16, Width: 16, Classes: 10, Layers: []models.Layer{
		layer("conv1", models.Conv{In: 3, Out: 4, Window: models.SquareWindow(3, 1, 1), Groups: 1, Bias: true}, models.Image),
		layer("conv2", models.Conv{In: 4, Out: 4, Window: models.SquareWindow(3, 1, 1), Groups: 1}, "conv1"),
		layer("sum", models.Sum{}, "conv1", "conv2"),
		layer("bn", models.BatchNorm{Channels: 4, Eps: 1e-3}, "sum"),
		layer("mean", models.GlobalAvgPooling{}, "bn"),
		layer("fc.2", models.Linear{In: 4, Out: 10}, "mean"),
	}}
	n.Units = []models.Unit{{Name: "all", First: 0, Last: len(n.Layers) - 1}}
	return append(cases, torchCase{n, trainedLike(n), false, "NormAfterSum()"})
}

// trainedLike returns weights of n whose normalisations do something.
func trainedLike(n *models.Network) models.Weights {
	w, rng := models.Init(n, 1), rand.New(rand.NewPCG(1, 2))
	for _, p := range n.Params() {
		x := nettest.Randn(rng, p.Shape...)
		switch flat := tensors.MustCopyFlatData[float32](x); {
		case strings.HasSuffix(p.Name, ".running_var"):
			for i, v := range flat {
				flat[i] = 0.5 + v*v
			}
			w[p.Name] = tensors.FromFlatDataAndDimensions(flat, p.Shape...)
		case strings.HasSuffix(p.Name, ".running_mean"), strings.HasSuffix(p.Name, ".bias"):
			w[p.Name] = x
		}
	}
	return w
}
