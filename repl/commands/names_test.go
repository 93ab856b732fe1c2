package commands

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/npz"
)

// TestNames: students with names live side by side, are told apart, compared, used, undone, saved and resumed.
func TestNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	sh, out := testShell(t, "run", "name base; eval n=20; eval n=20 student=base", "set loss.pd=0; scales weights; run",
		"name mse; eval n=20 student=mse; names")
	for _, want := range []string{"base: resnet8 W2A2, 5 of 5 units", "│ mse ", "Loss.PD=0", "│ now "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	base, mse := sh.State.called("base"), sh.State.called("mse")
	if base.config.Loss.PD == 0 || mse.config.Loss.PD != 0 || reflect.DeepEqual(base.student, mse.student) {
		t.Error("base and mse are the same")
	}
	out.Reset()
	for _, line := range []string{"save " + dir, "compare base mse", "compare base now", "compare base " + dir, "base?",
		"use base", "eval n=20", "compare mse now"} {
		if err := sh.Line(t.Context(), line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if n := strings.Count(out.String(), "standard error over 20 images"); n != 2 || // the others aren't evaluated
		!strings.Contains(out.String(), "mse against base: ") || !strings.Contains(out.String(), "now against mse: ") {
		t.Errorf("%d verdicts in %s", n, out)
	}
	if !reflect.DeepEqual(sh.State.student, base.student) || sh.State.config != base.config || sh.State.logits == nil {
		t.Error("use base doesn't give its student, settings or logits")
	}
	if err := sh.Line(t.Context(), "scales acts 1; undo 3; names"); err != nil || sh.State.called("mse") != nil ||
		sh.State.called("base") == nil {
		t.Errorf("undo 3 leaves %q, error %v", sh.State.studentNames(), err)
	}

	other, out := testShell(t, "resume "+dir)
	got := other.State.called("base")
	if got == nil || !reflect.DeepEqual(got.student, base.student) || got.config != base.config ||
		got.teacher != other.State.teacher || got.images != other.State.images ||
		!reflect.DeepEqual(got.score.student, base.score.student) {
		t.Fatalf("resumed base as %+v", got)
	}
	for _, line := range []string{"compare mse base", "use base", "name base2; save " + dir, "resume " + dir,
		"bits w=3; save " + dir, "resume " + dir, "use mse; run conv1"} {
		if err := other.Line(t.Context(), line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if names := other.State.studentNames(); len(names) != 3 {
		t.Errorf("students %q, printed %s", names, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "names", "mse", studentFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := other.Line(t.Context(), "resume "+dir); err == nil || !strings.HasPrefix(err.Error(), "mse: ") {
		t.Errorf("with a damaged student: error %v", err)
	}
}

// TestNamesInTheMiddle: a student is kept in the middle of its rounding.
func TestNamesInTheMiddle(t *testing.T) {
	sh, out := testShell(t, "run conv1", "scales acts 1; step 1 n=2; name half", "step n=2")
	if !strings.Contains(out.String(), "the rounding of layer1.0 is kept as it is at step 2") {
		t.Errorf("printed %s", out)
	}
	for _, line := range []string{"use half; run", "teacher resnet8; calib 4; logits", "eval n=10 student=half",
		"use half", "diff"} {
		if err := sh.Line(t.Context(), line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// arrays writes images to test on with their classes, and images to calibrate on without.
func arrays(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, n := range map[string]int{"calib": 12, "test": 20} {
		of := []npz.Array{{Name: "images", Shape: []int{n, 1, 28, 28}, Values: make([]float32, n*28*28)}}
		if name == "test" {
			of = append(of, npz.Array{Name: "labels", Shape: []int{n}, Values: slices.Repeat([]int64{0, 9}, n/2)})
		}
		var file bytes.Buffer
		if err := npz.Write(&file, of); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".npz"), file.String())
	}
	return dir
}

// TestUnlabelledImages: images without labels are calibrated on; nothing is said of their accuracy.
func TestUnlabelledImages(t *testing.T) {
	dir := arrays(t)
	sh, out := testShell(t, "teacher resnet8 data="+dir+"; calib 12", "set rounding.steps=0 correction.steps=0", "run",
		"export "+dir+"/a.onnx images=4", "eval 20")
	if text := out.String(); strings.Contains(text, "right on 0.0") || strings.Contains(text, "calibration images 0.00") ||
		strings.Contains(text, "guessing") || !strings.Contains(text, "logits of 12 images, 10 classes") {
		t.Errorf("printed %s", text)
	}
	out.Reset()
	line := "quantise resnet8 methods=nearest preset=quick images=8 anyway=true data=" + dir + " out=" + dir + "/run"
	if err := sh.Line(t.Context(), line); err != nil || !strings.Contains(out.String(), "nearest rounding") {
		t.Errorf("error %v, printed %s", err, out)
	}
}

// TestSaveNames: students with names are saved where another teacher has no images yet, too.
func TestSaveNames(t *testing.T) {
	dir := t.TempDir() + "/saved"
	sh, _ := testShell(t, "scales weights; name mine", "teacher resnet20 data="+arrays(t), "save "+dir)
	if sh.State.teacher.Name != "resnet20" || sh.State.images != nil {
		t.Errorf("after save, the teacher is %s, images %v", sh.State.teacher.Name, sh.State.images)
	}
	again, _ := testShell(t, "resume "+dir)
	if s := again.State; s.teacher.Name != "resnet8" || len(s.names) != 1 || len(s.student.Weights) == 0 {
		t.Errorf("resumed: %s with students %v", s.teacher.Name, s.studentNames())
	}
}

func TestWrongNames(t *testing.T) {
	sh, _ := testShell(t, "scales weights; name base")
	for line, want := range map[string]string{
		"use bas":            `repl: no student is called "bas"; did you mean base?`,
		"eval student=x":     `repl: no student is called "x"; names lists them, name NAME keeps the one at work`,
		"compare bsae now":   `repl: no student and no run folder is "bsae"; did you mean base?`,
		"compare base ./now": `repl: no student and no run folder is "./now"; names lists the students, runs`,
		"name a/b":           `repl: "a/b" can't be a name; give letters, digits, and . _ -, other than now`,
		"name ..":            `repl: ".." can't be a name`,
		"name now":           `repl: "now" can't be a name`,
		"name":               "repl: name needs NAME, of letters",
	} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
	empty, _ := testShell(t)
	for _, line := range []string{"name base", "compare now now"} {
		if err := empty.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), "nothing is quantised yet") {
			t.Errorf("%s: error %v", line, err)
		}
	}
	if err := empty.Line(t.Context(), "names"); err != nil {
		t.Error(err)
	}
}
