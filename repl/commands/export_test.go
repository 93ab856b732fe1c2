package commands

import (
	"os"
	"strings"
	"testing"
)

// TestExport: export and encodings write files, and leave none if they fail.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	sh, out := testShell(t, "set rounding.steps=0 correction.steps=0", "run", "export "+dir+"/a.onnx images=4",
		"export form=qcdq opset=14 "+dir+"/b.ONNX", "encodings "+dir+"/a.json", "encodings "+dir+"/a.tsv",
		"export external=true "+dir+"/x.onnx", "export names=torchvision "+dir+"/w.safetensors")
	for _, want := range []string{"a.onnx: opset 25, IR version 13, 34.0 kB; weights 21.2 kB, 309.7 kB in float32",
		"b.ONNX: opset 14, IR version 7", "10 weights and 7 outputs in " + dir + "/a.json",
		" kB in " + dir + "/x.onnx.data; weights 21.2 kB",
		"20 parameters of resnet8 in " + dir + "/w.safetensors, scales and zero points in " + dir + "/w.json"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("printed %s, without %q", out, want)
		}
	}
	if checked := strings.Contains(out.String(), "4 of 4 predictions are the same"); !checked &&
		!strings.Contains(out.String(), "not checked: backend: ONNX model: ONNX Runtime is not installed") {
		t.Errorf("printed %s", out)
	}
	if err := sh.Line(t.Context(), "eval 20 model="+dir+"/a.onnx"); err != nil {
		if !strings.Contains(err.Error(), "ONNX Runtime is not installed") {
			t.Error(err)
		}
	} else if !strings.Contains(out.String(), "a.onnx: ") || !strings.Contains(out.String(), "difference to the student") {
		t.Errorf("printed %s", out)
	}
	for _, bad := range [][2]string{ // in this order: the last two are about a new session
		{"export " + dir + "/c", "its ending names no format; end it in .onnx or .safetensors"},
		{"export " + dir + "/no/c.onnx", "export: ONNX: writing: "},
		{"export form=q8 " + dir + "/c.onnx", `form "q8" is unknown; choose one of packed, qcdq, float`},
		{"export opset=21 " + dir + "/c.onnx", "in the form packed are in opsets 25 to 25; choose"},
		{"export opset=0 " + dir + "/c.onnx", "opset=0; give"},
		{"export images=0 " + dir + "/c.onnx", "images=0; give"},
		{"export opset=21 " + dir + "/c.safetensors", "opset is an option of .onnx files; leave it out"},
		{"export names=torchvision " + dir + "/c.onnx", "names is an option of .safetensors files; leave it out"},
		{"export names=timm " + dir + "/c.safetensors", "names=timm; choose own or torchvision"},
		{"eval 2 model=" + dir + "/c.onnx", "no such file or directory; give an ONNX file"},
		{"eval 2 model=" + dir + "/a.tsv", "backend: ONNX model: "},
		{"encodings " + dir + "/c.txt", "ends in .json or .tsv"},
		{"encodings " + dir + "/no/c.tsv", "can't be written"},
		{"teacher resnet8; export " + dir + "/c.onnx", "the weight of conv1 has no scales; quantise all units first"},
		{"encodings " + dir + "/c.tsv", "the weight of conv1 has no scales; quantise all units first"},
	} {
		if err := sh.Line(t.Context(), bad[0]); err == nil || !strings.Contains(err.Error(), bad[1]) {
			t.Errorf("%s: error %v, want %s", bad[0], err, bad[1])
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 8 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

// TestExportOverTeacher: a student doesn't replace the file that its teacher is read from, by whatever name.
func TestExportOverTeacher(t *testing.T) {
	dir := t.TempDir()
	const shipped = "../../testdata/fashion-mnist/shufflenet.onnx"
	content, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	own := dir + "/own.onnx"
	write(t, own, string(content))
	if err := os.Symlink(own, dir+"/link.onnx"); err != nil {
		t.Fatal(err)
	}
	sh, _ := testShell(t, "teacher "+own+" data=fashion-mnist; calib 8")
	for _, line := range []string{"export " + own, "export " + dir + "/link.onnx",
		"quantise " + own + " data=fashion-mnist export=" + own} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), "is the teacher's file") {
			t.Errorf("%s: error %v", line, err)
		}
	}
	if is, err := os.ReadFile(own); err != nil || string(is) != string(content) {
		t.Errorf("the teacher's file has changed; error %v", err)
	}
}
