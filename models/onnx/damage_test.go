package onnx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"
)

// TestCutShort: a file that is cut short at any byte is an error that names the file, or a network.
func TestCutShort(t *testing.T) {
	m := oddModel(&protos.NodeProto{Name: "flat", OpType: "Flatten", Input: []string{"x"}, Output: []string{"y"}})
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.onnx")
	for n := range len(data) {
		if err := os.WriteFile(path, data[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{}); err == nil || !strings.HasPrefix(err.Error(), "onnx: cut.onnx: ") {
			t.Errorf("%d of %d bytes: %v, want an error that names the file", n, len(data), err)
		}
	}
}

// TestBadFiles: what isn't an ONNX file, or a damaged one, is an error that names the file and what to do.
func TestBadFiles(t *testing.T) {
	external := func(location string) func(*protos.ModelProto) {
		return func(m *protos.ModelProto) {
			w := m.GetGraph().GetInitializer()[0]
			w.FloatData, w.DataLocation = nil, protos.TensorProto_EXTERNAL
			w.ExternalData = []*protos.StringStringEntryProto{{Key: "location", Value: location}}
		}
	}
	node := func(m *protos.ModelProto) *protos.NodeProto { return m.GetGraph().GetNode()[0] }
	for _, c := range []struct {
		change func(*protos.ModelProto)
		want   string
	}{
		{func(m *protos.ModelProto) { m.IrVersion = 14 }, "has IR version 14; versions 3 to 13 are read: export it"},
		{func(m *protos.ModelProto) { m.OpsetImport[0].Version = 26 }, "has opset 26; opsets 6 to 25 are read: export it"},
		{external("none.data"), `tensor "w": external data: openat none.data: no such file or directory; put the file`},
		{external("short.data"), `tensor "w" has 3 bytes; for shape [1] of FLOAT it must have 4`},
		{external("../w.data"), "path escapes from parent"},
		{func(m *protos.ModelProto) { node(m).Input[1] = "y" }, "node mul (Mul): is part of a cycle; the file is damaged"},
		{func(m *protos.ModelProto) { node(m).Input[1] = "lost" }, `node mul (Mul): reads "lost", which is no weight`},
		{func(m *protos.ModelProto) { m.GetGraph().Output[0].Name = "z" }, `no node makes the output "z"`},
		{func(m *protos.ModelProto) {
			m.GetGraph().Output = append(m.GetGraph().Output, &protos.ValueInfoProto{Name: "boxes"})
		},
			"has 2 outputs; choose one with output=: y, boxes"},
		{func(m *protos.ModelProto) {
			m.GetGraph().Input = append(m.GetGraph().Input, &protos.ValueInfoProto{Name: "mask"})
		},
			"has 2 inputs; choose one with input=: x, mask"},
		{func(m *protos.ModelProto) { node(m).OpType = "NonMaxSuppression" }, "aren't read: NonMaxSuppression (mul); give"},
		{func(m *protos.ModelProto) { m.GetGraph().GetInput()[0].GetType().GetTensorType().ElemType = 7 },
			`input "x" is of type INT64; a classifier of images reads float32: export it so`},
		{func(m *protos.ModelProto) { node(m).OpType = "Relu" }, `output "y" has shape [4 8 8] for one image`},
	} {
		m := oddModel(&protos.NodeProto{Name: "mul", OpType: "Mul", Input: []string{"x", "w"}, Output: []string{"y"}})
		w := m.GetGraph().GetInitializer()[0]
		w.Dims, w.FloatData = []int64{1}, []float32{1}
		c.change(m)
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "bad.onnx"), string(data))
		write(t, filepath.Join(dir, "short.data"), "abc")
		wantError(t, filepath.Join(dir, "bad.onnx"), c.want)
	}
	for text, want := range map[string]string{
		"":                                    "has no graph: it isn't an ONNX file, or is cut short; export it again",
		"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR": "isn't an ONNX file, or is cut short; export it again",
		"PK\x03\x04archive/data.pkl":          "isn't an ONNX file, or is cut short; export it again",
	} {
		path := filepath.Join(t.TempDir(), "bad.onnx")
		write(t, path, text)
		wantError(t, path, want)
	}
	wantError(t, t.TempDir(), "is a folder; give a .onnx file")
	locked := filepath.Join(t.TempDir(), "locked.onnx")
	write(t, locked, "x")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() > 0 {
		wantError(t, locked, "permission denied")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, path, want string) {
	t.Helper()
	_, err := Open(path, Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "onnx: "+filepath.Base(path)+": ") ||
		!strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
