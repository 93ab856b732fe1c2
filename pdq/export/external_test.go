package export_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
)

// TestExternal: a model with external data is read back with the weights of one without, and ONNX Runtime runs it.
func TestExternal(t *testing.T) {
	q, s := goStudent(t)
	for form := range export.Float + 1 {
		dir := t.TempDir()
		whole, parts := filepath.Join(dir, "whole.onnx"), filepath.Join(dir, "parts.onnx")
		for path, external := range map[string]bool{whole: false, parts: true} {
			written, err := export.ONNXFile(path, q, s, export.Options{Form: form, External: external})
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			alone, err := export.ONNX(&file, q, s, export.Options{Form: form})
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(export.DataFile(path))
			if external {
				if err != nil || written.Data != int(info.Size()) || written.Bytes > alone.Bytes/2 {
					t.Errorf("%v: written %+v, %v", form, written, err)
				}
			} else if data, err2 := os.ReadFile(path); !bytes.Equal(data, file.Bytes()) || written != alone || err == nil {
				t.Errorf("%v: written %+v, want %+v, %v", form, written, alone, err2)
			}
		}
		want, err := onnx.Open(whole, onnx.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := onnx.Open(parts, onnx.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for name, w := range want.Weights {
			if !slices.Equal(tensors.MustCopyFlatData[float32](got.Weights[name]), tensors.MustCopyFlatData[float32](w)) {
				t.Errorf("%v: %s isn't the same", form, name)
			}
		}
		t.Run(form.String(), func(t *testing.T) { runsAlike(t, q.Problem().Calibration.Floats(0, 2), whole, parts) })
	}
}

// runsAlike runs two models of resnet8 in ONNX Runtime.
func runsAlike(t *testing.T, x []float32, paths ...string) {
	t.Helper()
	runtime(t)
	var out [][]float32
	for _, path := range paths {
		m, err := backend.OpenModelFile(path, backend.ModelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		y, err := m.Run(x, 2, 1, 28, 28)
		if err = errors.Join(err, m.Close()); err != nil {
			t.Fatal(err)
		}
		out = append(out, y)
	}
	if !slices.Equal(out[0], out[1]) {
		t.Errorf("logits %v and %v", out[0], out[1])
	}
}

// TestExternalErrors: what can't be written leaves no part of a file. A student that can't be written leaves an older
// model alone.
func TestExternalErrors(t *testing.T) {
	q, s := goStudent(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "student.onnx")
	write(t, path, []byte("older"))
	if _, err := export.ONNXFile(path, q, pdq.Student{}, export.Options{}); err == nil {
		t.Error("a student without quantisers was written")
	}
	if data, err := os.ReadFile(path); string(data) != "older" {
		t.Errorf("the older model is %.20q, %v", data, err)
	}
	if err := os.Mkdir(export.DataFile(path), 0o755); err != nil { // so that the data can't be written
		t.Fatal(err)
	}
	_, err := export.ONNXFile(path, q, s, export.Options{External: true})
	if err == nil || !strings.Contains(err.Error(), "export: ONNX: writing: ") {
		t.Errorf("error %v", err)
	}
	if parts, err := filepath.Glob(filepath.Join(dir, "*"+atomicfile.PartEnd)); err != nil || len(parts) > 0 {
		t.Errorf("%v are left, %v", parts, err)
	}
}
