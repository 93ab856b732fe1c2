package commands

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// TestResumeStudent: the student of a grid is taken up in the shell with its teacher, images and settings, and gets the
// accuracy that the table has.
func TestResumeStudent(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "grid")
	const grid = `grid networks=resnet8 bits=3/4 images=16 seeds=2..2 test=50 methods="nearest; mse" ` +
		`all="Rounding.Steps=3" out=`
	testShell(t, grid+dir)
	results, err := experiment.Folder(dir).Results()
	if err != nil || len(results) != 3 {
		t.Fatalf("%d results, error %v", len(results), err)
	}
	mse := results[2]
	file := filepath.Join(dir, mse.StudentFile())
	sh, out := testShell(t, "teacher resnet8; calib 8; scales weights; name mine", "resume "+file, "eval 50")
	s := sh.State
	if c := s.config; c.Bits.W != 3 || c.Seed != 2 || c.Rounding.Steps != 3 || c.Loss.PD != 0 || s.preset != "quick" {
		t.Errorf("settings %+v of preset %s", c, s.preset)
	}
	if s.finished() != len(s.units) || len(s.names) != 1 ||
		!strings.Contains(out.String(), "resnet8 W3A4, MSE only, seed 2") {
		t.Errorf("%d units, names %v; printed %s", s.finished(), s.studentNames(), out)
	}
	if !reflect.DeepEqual(s.score.student, mse.Right) {
		t.Error("other images are right than in the table")
	}
	for _, line := range []string{"prefix n=10", "compare mine now", "export " + dir + "/x.onnx images=4", "undo 3"} {
		if err := sh.Line(t.Context(), line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	for line, want := range map[string]string{
		"resume " + dir: "\n  resume " + file + " # MSE only, seed 2, ",
		"resume " + filepath.Join(dir, results[0].StudentFile()): "has no method",
		"resume " + dir + "/none.safetensors":                    "none.json",
	} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", line, err, want)
		}
	}
	write(t, file, "something else")
	if err := sh.Line(t.Context(), "resume "+dir); err == nil || !strings.Contains(err.Error(), filepath.Base(file)) {
		t.Errorf("a changed student: error %v", err)
	}
}

// TestResumeStatistics: a student that was corrected towards measured statistics is taken up with them, and tested on
// other images.
func TestResumeStatistics(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "grid")
	_, out := testShell(t, "grid networks=resnet8 set=fashion-mnist images=16 seeds=1 test=10 statistics=20 "+
		"methods=nearest out="+dir)
	results, err := experiment.Folder(dir).Results()
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, error %v; printed %s", len(results), err, out)
	}
	line := "resume " + filepath.Join(dir, results[1].StudentFile())
	sh, out := testShell(t, line, "eval 10", "eval 20 data="+arrays(t))
	if name := sh.State.teacher.Name; name != "resnet8-statistics20" {
		t.Errorf("the teacher is %s; printed %s", name, out)
	}
}

// TestResumeOlderStudent: a student whose record doesn't say where its teacher is takes the one that is loaded.
func TestResumeOlderStudent(t *testing.T) {
	dir := experiment.Folder(filepath.Join(t.TempDir(), "grid"))
	testShell(t, "grid networks=resnet8 images=16 seeds=1 test=10 methods=nearest out="+string(dir))
	results, err := dir.Results()
	if err != nil {
		t.Fatal(err)
	}
	file := results[1].StudentFile()
	record := dir.Path(strings.TrimSuffix(file, experiment.StudentEnding) + ".json")
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	var of experiment.Record
	if err := json.Unmarshal(fields["Record"], &of); err != nil {
		t.Fatal(err)
	}
	of.Source, of.Preset = nil, ""
	delete(fields, "sha256")
	if fields["Record"], err = json.Marshal(of); err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteJSON(filepath.Base(record), fields); err != nil {
		t.Fatal(err)
	}
	line := "resume " + dir.Path(file)
	bare, _, err := newShell(shell.NewTerminal(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if err := bare.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), "load these first") {
		t.Errorf("without a teacher: error %v", err)
	}
	sh, _ := testShell(t)
	if err := sh.Line(t.Context(), "teacher resnet8; "+line+"; eval 10"); err != nil {
		t.Fatal(err)
	}
	if sh.State.finished() != 5 || len(sh.State.score.student.Top1) != 10 {
		t.Errorf("taken up as %+v", sh.State)
	}
	if err := sh.Line(t.Context(), "teacher resnet20; "+line); err == nil || !strings.Contains(err.Error(), "resnet20") {
		t.Errorf("with another teacher: error %v", err)
	}
}
