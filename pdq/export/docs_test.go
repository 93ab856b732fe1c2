package export_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/python"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// formats is the document of which the tests run the programs.
var formats = filepath.Join("..", "..", "docs", "formats.md")

// TestStudentFile: the program of the document reads a student's file. Its levels give the student's weights.
func TestStudentFile(t *testing.T) {
	program, dir := python.Checker(t), t.TempDir()
	q, s := goStudent(t)
	var student bytes.Buffer
	if err := q.WriteStudent(&student, s); err != nil {
		t.Fatal(err)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		t.Fatal(err)
	}
	var weight bytes.Buffer
	values := tensors.MustCopyFlatData[float32](w["layer1.0.conv1.weight"])
	if err := binary.Write(&weight, binary.LittleEndian, values); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "student.safetensors"), student.Bytes())
	write(t, filepath.Join(dir, "weight"), weight.Bytes())
	python.Run(t, program, dir, python.Snippet(t, formats, "import json, numpy as np")+`
scale, zero, levels = (student["layer1.0.conv1.weight." + part] for part in ("scale", "zero", "levels"))
weight = (levels.reshape(len(scale), -1) - zero[:, None]) * scale[:, None]
assert (weight.ravel() == np.fromfile("weight", "<f4")).all(), weight
assert record["Network"] == "resnet8", record
assert student["layer1.0.conv1.weight.bits"] == 3 and student["layer1.0.conv1.bias"][3] == 0.5
assert student["relu.output"][0] == 2 and len(student["relu.output"]) == 3
`)
}

// TestRuntimeProgram: the program of the document runs a file in Python's ONNX Runtime. Its logits are the student's,
// but for levels at ties.
func TestRuntimeProgram(t *testing.T) {
	program, dir := python.Checker(t), t.TempDir()
	q, s := goStudent(t)
	var given, want bytes.Buffer
	_, err := export.ONNXFile(filepath.Join(dir, "student.onnx"), q, s, export.Options{External: true})
	if err != nil {
		t.Fatal(err)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := q.Folded()
	sample := q.Problem().Calibration
	pixels := sample.Floats(0, images)
	x := tensors.FromFlatDataAndDimensions(pixels, images, n.Channels, n.Height, n.Width)
	if err := errors.Join(binary.Write(&given, binary.LittleEndian, pixels),
		binary.Write(&want, binary.LittleEndian, logits(t, q, n, x, s.Hooks, w))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "images"), given.Bytes())
	write(t, filepath.Join(dir, "logits"), want.Bytes())
	t.Log(python.Run(t, program, dir, `import numpy
numpy.save("images.npy", numpy.fromfile("images", "<f4").reshape(-1, 1, 28, 28))
`+python.Snippet(t, formats, "import numpy as np, onnxruntime")+`
close = np.abs(logits - np.fromfile("logits", "<f4").reshape(logits.shape)).max(1) < 1e-4
assert sum(close) >= len(close) - 2, close
`))
}

// TestChecker: ONNX's checker accepts files in all forms, without and with external data.
func TestChecker(t *testing.T) {
	program, dir := python.Checker(t), t.TempDir()
	b, _, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	q, s := goStudent(t)
	writeForms(t, dir, "resnet8", q, s)
	of, err := arch.LoadTeacher("mobilenetv2")
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]*pdq.Quantizer{
		"mobilenetv2": quantizer(t, b, of.Network, of.Weights), "kinds": quantizer(t, b, kinds(), models.Init(kinds(), 1)),
		"shufflenet": imported(t, b, "shufflenet_v2_x0_5.old"), "vit": imported(t, b, "vit_b_16.new"),
	} {
		writeForms(t, dir, name, q, rough(t, q))
	}
	t.Log(python.Run(t, program, dir, `import glob, onnx
for path in sorted(glob.glob("*.onnx")):
    onnx.checker.check_model(path, full_check=True)
    print(path)
`))
}

// writeForms writes s in all forms, without and with external data.
func writeForms(t *testing.T, dir, name string, q *pdq.Quantizer, s pdq.Student) {
	t.Helper()
	for form := range export.Float + 1 {
		for _, external := range []bool{false, true} {
			path := filepath.Join(dir, fmt.Sprintf("%s_%v_%v.onnx", name, form, external))
			if _, err := export.ONNXFile(path, q, s, export.Options{Form: form, External: external}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
