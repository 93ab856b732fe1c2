package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/formula"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// imageNetFiles writes a data set laid out as ImageNet is, an image of each of 1,000 classes in both parts,
// and a checkpoint of a ResNet-18 that has learned nothing.
func imageNetFiles(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	im := image.NewNRGBA(image.Rect(0, 0, 40, 32))
	for i := range 2 * 1000 {
		for k := range im.Pix {
			im.Pix[k] = uint8(k * (i + 3))
		}
		var file bytes.Buffer
		if err := png.Encode(&file, im); err != nil {
			t.Fatal(err)
		}
		class := filepath.Join(dir, []string{"train", "val"}[i%2], fmt.Sprintf("n%08d", i/2))
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(class, "a.png"), file.String())
	}
	n, err := arch.Design("resnet18", arch.SquareInput(3, 224, 1000))
	if err != nil {
		t.Fatal(err)
	}
	w := models.Weights{}
	for i, p := range n.Params() {
		w[p.Name] = formula.Tensor(i, p.Name, p.Shape...)
	}
	var file bytes.Buffer
	if err := checkpoint.WriteWeights(&file, w, nil); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "resnet18.safetensors")
	write(t, path, file.String())
	return dir, path
}

// TestQuantise takes a network for ImageNet through the command, on files as a user has them.
func TestQuantise(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; run without -short")
	}
	if _, _, err := backend.Open("onnx"); err != nil {
		t.Skipf("on the Go backend it would take long: %v", err)
	}
	dir, checkpoint := imageNetFiles(t)
	out := filepath.Join(dir, "run")
	line := "quantise resnet18 methods=pd-quant images=10 test=10 steps=1 dc=1 seed=3 data=" + dir + " checkpoint=" +
		checkpoint + " out=" + out
	if err := runLine(context.Background(), line, io.Discard, io.Discard); err == nil ||
		!strings.Contains(err.Error(), "no better than guessing among 1000 classes") {
		t.Errorf("a network at chance level: error %v", err)
	}
	var report, log bytes.Buffer
	if err := runLine(context.Background(), line+" anyway=true", &report, &log); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"full precision", "PD-Quant",
		"PD-Quant W2A2 53.08 % (the reference's README), PD-Quant W2A2 53.14 % (arXiv 2212.07048v3, abstract), full " +
			"precision 71.01 %"} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("the report doesn't say %q:\n%s", want, &report)
		}
	}
	for _, want := range []string{"no better than guessing", "Published: PD-Quant W2A2",
		"rounding weight 0.01, T 4, λr 0.1, λc 0.02",
		"10 of " + filepath.Base(dir) + "/train for calibration (seed 3), 10 of " + filepath.Base(dir) + "/val"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log doesn't say %q:\n%s", want, &log)
		}
	}
	data, err := os.ReadFile(filepath.Join(out, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r experiment.Record
	if err := json.Unmarshal(data, &r); err != nil || len(r.Calibration.Crops) != 10 ||
		r.Calibration.Crops[9].Box.Empty() || !strings.Contains(r.Command, "quantise resnet18 w=2") {
		t.Errorf("run.json holds %+v, error %v", r, err)
	}
	results, err := experiment.Folder(out).Results()
	if err != nil || len(results) != 2 {
		t.Fatalf("results %v, error %v", results, err)
	}
	if info, err := os.Stat(filepath.Join(out, results[1].StudentFile())); err != nil || info.Size() == 0 {
		t.Errorf("no student: %v", err)
	}
}

// TestQuantiseExport: the student of the last method becomes a file, at once and when the run is finished already.
func TestQuantiseExport(t *testing.T) {
	dir := t.TempDir()
	line := "quantise resnet8 methods=pd-quant images=8 test=10 steps=2 dc=1 backend=go anyway=true out=" + dir +
		"/run export=" + dir
	for _, file := range []string{"/a.onnx", "/b.onnx form=float"} {
		var report bytes.Buffer
		if err := runLine(t.Context(), line+file, &report, io.Discard); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(report.String(), "8 of 8 predictions are the same") &&
			!strings.Contains(report.String(), "not checked: backend: ONNX model: ONNX Runtime is not installed") {
			t.Errorf("printed %s", &report)
		}
	}
	for _, name := range []string{"a.onnx", "b.onnx"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() < 20000 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// TestQuantiseErrors: what is missing is said before anything is computed.
func TestQuantiseErrors(t *testing.T) {
	dir := noiseFiles(t)
	list := filepath.Join(dir, "list.txt")
	write(t, list, "none.png 0\n")
	broken := t.TempDir()
	write(t, filepath.Join(broken, "data_batch_1.bin"), "short")
	for line, want := range map[string]string{
		"quantise":                     "quantise needs NETWORK",
		"quantise vgg":                 `repl: no network "vgg"; models lists them`,
		"quantise quantise.go":         "quantise.go isn't an ONNX file; for a file of weights, give the architecture",
		"quantise resnet34":            "repl: resnet34 comes without weights",
		"quantise resnet18":            "register at image-net.org",
		"quantise resnet18 crop=left":  "crop=left; choose random or centre",
		"quantise resnet18 anyway=yes": "anyway=yes; choose true or false",
		"quantise resnet20-cifar10 checkpoint=../../testdata/cifar10/resnet20-12fca82f.th data=" +
			broken: "give the .bin files of cifar-10-binary.tar.gz",
		"quantise resnet8 methods=all":                 `no method "all"; choose from nearest, mse, pd, dc`,
		"quantise resnet8 preset=slow":                 `no preset "slow"; choose one of glance, quick`,
		"quantise resnet8 checkpoint=" + dir + "/none": "none: no such file",
		"quantise resnet18 checkpoint=x.pth data=" + dir + " calibration=" + list + " evaluation=" +
			list: "give the folder that has the images",
		"quantise resnet8 w=1":                          "w=1; give a whole number from 2 to 8",
		"quantise resnet8 export=" + dir + "/a.bin":     "ONNX files end in .onnx; export " + dir + "/a.bin.onnx",
		"quantise resnet8 export=" + dir + "/no/a.onnx": "a.onnx can't be written",
		"quantise resnet8 export=a.onnx form=q8":        `form "q8" is unknown; choose one of packed, qcdq, float`,
		"download mnist":                                "set=mnist; choose fashion-mnist or cifar10",
	} {
		if err := runLine(context.Background(), line, io.Discard, io.Discard); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", line, err, want)
		}
	}
}

// TestUsualMethods: the baselines are compared with what the settings have, under its name.
func TestUsualMethods(t *testing.T) {
	for _, c := range []struct {
		preset, settings string
		want             []string
	}{
		{"paper", "", []string{"nearest rounding", "MSE only", "PD-Quant"}},
		{"quick", "Correction.Steps=0", []string{"nearest rounding", "MSE only", "PD without DC"}},
		{"quick", "Loss.PD=0", []string{"nearest rounding", "MSE only", "DC without PD"}},
		{"glance", "FineTune.Steps=150", []string{"nearest rounding", "MSE only", "PD-Quant", "best"}},
		{"best", "", []string{"nearest rounding", "MSE only", "best"}},
		{"best", "FineTune.Steps=0", []string{"nearest rounding", "MSE only"}},
	} {
		settings, err := experiment.ParseSettings(c.settings)
		if err != nil {
			t.Fatal(err)
		}
		methods, err := usualMethods(experiment.Grid{Preset: c.preset, Bits: []experiment.Width{{W: 2, A: 2}},
			Settings: settings})
		var names []string
		for _, m := range methods {
			names = append(names, m.Name)
		}
		if err != nil || !slices.Equal(names, c.want) {
			t.Errorf("%s %s: %q, error %v; want %q", c.preset, c.settings, names, err, c.want)
		}
	}
}

// TestModels: the tables have every network and data set.
func TestModels(t *testing.T) {
	var out bytes.Buffer
	if err := runLine(context.Background(), "models", &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, e := range arch.Registry() {
		if !strings.Contains(out.String(), " "+e.Name+" ") {
			t.Errorf("no %s", e.Name)
		}
	}
	for _, want := range []string{"missing: resnet18_imagenet.pth.tar", "built in", "0.2, 0.1, 0.001, 1",
		"download cifar10", "missing: imagenet", "71.01"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tables don't say %q:\n%s", want, &out)
		}
	}
}
