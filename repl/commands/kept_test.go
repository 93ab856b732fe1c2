package commands

import (
	"os"
	"strings"
	"testing"
)

// TestKept: export keeps the graph of the ONNX file that the teacher is, after resume too, unless the file has changed.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	none := "set rounding.steps=0 correction.steps=0 scales.candidates=2"
	_, first := testShell(t, none, "run", "export form=float "+dir+"/teacher.onnx images=1",
		"teacher "+dir+"/teacher.onnx data=fashion-mnist", none, "run", "save "+dir+"/run",
		"export "+dir+"/a.onnx images=4")
	said := first.String()
	data, err := os.ReadFile(dir + "/a.onnx")
	if err != nil || strings.Contains(said, "not the teacher's") {
		t.Errorf("%v; printed %s", err, said)
	}
	sh, out := testShell(t, "resume "+dir+"/run", "export "+dir+"/b.onnx images=4")
	again, err := os.ReadFile(dir + "/b.onnx")
	if err != nil || string(again) != string(data) {
		t.Errorf("after resume: %v; printed %s", err, out)
	}
	if err := os.WriteFile(dir+"/teacher.onnx", data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sh.Line(t.Context(), "export "+dir+"/c.onnx images=4"); err != nil {
		t.Error(err)
	}
	if want := "teacher.onnx has changed since the teacher was read from it"; !strings.Contains(out.String(), want) {
		t.Errorf("printed %s, without %s", out, want)
	}
}
