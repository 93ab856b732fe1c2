package commands

import (
	"bytes"
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/repl/shell"
)

// rig is a shell with what it computes by.
type rig struct {
	*Shell
	*engine
}

// testShell is a shell with a small teacher, few images and few steps, after lines.
func testShell(t *testing.T, lines ...string) (*rig, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	s, e, err := newShell(shell.NewTerminal(&out, &out))
	if err != nil {
		t.Fatal(err)
	}
	sh := &rig{s, e}
	t.Cleanup(func() {
		if err := sh.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, line := range append([]string{"teacher resnet8 backend=" + ofTests() + "; calib 8",
		"set rounding.steps=4 correction.steps=2 scales.images=8"}, lines...) {
		if err := sh.Line(t.Context(), line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return sh, &out
}

// TestRoundAnew: rounding that was given up begins again with searched scales, not with those that it had trained.
func TestRoundAnew(t *testing.T) {
	want, _ := testShell(t, "logits; scales weights; run conv1")
	for _, between := range []string{"logits", "name half; use half; logits"} {
		sh, _ := testShell(t, "logits; scales weights; scales acts conv1", "step conv1 n=2", between, "run conv1")
		if !reflect.DeepEqual(sh.State.student.Acts, want.State.student.Acts) {
			t.Errorf("after %s: %v, want %v", between, sh.State.student.Acts, want.State.student.Acts)
		}
	}
}

// TestCommandsAreSteps: run, and the steps one by one, give the student that Quantize does.
func TestCommandsAreSteps(t *testing.T) {
	sh, _ := testShell(t, "run")
	q, err := sh.quantizer(sh.State, sh.State.config)
	if err != nil {
		t.Fatal(err)
	}
	q.Progress = nil
	want, err := q.Quantize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(sh.State.student, want) {
		t.Error("run gives another student than Quantize")
	}
	single, _ := testShell(t, "logits; scales weights", "dc conv1; scales acts conv1; round conv1",
		"dc 1; scales acts 1; step 1 n=1; step n=2; undo; undo; step n=1; inspect layer1.0.conv1; round 1",
		"run layer2.0; step layer2.0 n=1; undo; dc 3; scales acts 3; step n=4", "run")
	if !reflect.DeepEqual(single.State.student, want) {
		t.Error("the steps one by one, with undo, give another student than Quantize")
	}
}

// TestFailure: after a command that fails, the session is what it was.
func TestFailure(t *testing.T) {
	sh, _ := testShell(t, "logits; scales weights; scales acts conv1; step n=2")
	before, depth := sh.State, sh.Undoable()
	for _, line := range []string{"round layer2.0", "run conv1 layer1.0 nothing", "set seed=2 loss.pd=x", "eval n=0",
		"eval x", "teacher resnet9", "bits w=3 rule=x", "scales acts conv1 metric=x",
		"resume nowhere", "save /dev/null/x", "sweep fc of=output", "step n=0", "undo 99", "calib 9999", "backend tpu", "dc",
		"run layer2.0", "set rounding.learningrate=1e30; nonsense"} {
		if strings.Contains(line, ";") {
			before, depth = session{}, -1 // what ran before the failing one counts
		}
		if err := sh.Line(t.Context(), line); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line", line, err)
		}
		if depth >= 0 && (!reflect.DeepEqual(sh.State, before) || sh.Undoable() != depth) {
			t.Fatalf("%s changed the session", line)
		}
	}
	before = sh.State
	if err := sh.Line(t.Context(), "set loss.pd=1e39; step n=4"); err == nil ||
		!strings.Contains(err.Error(), "lower Rounding.") {
		t.Errorf("a step whose loss isn't finite: error %v", err)
	}
	if sh.State.rounding.state.Done != before.rounding.state.Done {
		t.Error("a step that failed counts")
	}
	if err := sh.Line(t.Context(), "undo; undo; step n=1"); err != nil {
		t.Errorf("after it, %v", err)
	}
}

// TestCancel: what was finished before Ctrl-C is kept, and undo takes it back.
func TestCancel(t *testing.T) {
	script := filepath.Join(t.TempDir(), "log.pdq")
	sh, _ := testShell(t, "set rounding.steps=1000", "log "+script)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	q, err := sh.quantizer(sh.State, sh.State.config)
	if err != nil {
		t.Fatal(err)
	}
	q.Progress = func(e pdq.Event) {
		if n++; e.Step == pdq.StepRound && e.Unit == "conv1" && e.Done == 3 {
			cancel()
		}
		sh.event(e)
	}
	if err := sh.Line(ctx, "run"); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Fatalf("error %v", err)
	}
	st := sh.State.units[0]
	if !st.corrected || st.rounded != 3 || st.finished || !sh.State.scaled(0) || sh.State.scaled(1) ||
		!strings.Contains(sh.State.prompt(), "conv1 3/1000> ") {
		t.Errorf("state %+v, prompt %s", st, sh.State.prompt())
	}
	replayed, _ := testShell(t, "set rounding.steps=1000", "source "+script)
	if !reflect.DeepEqual(replayed.State.student, sh.State.student) {
		text, _ := os.ReadFile(script)
		t.Errorf("the log does not lead to what was kept:\n%s", text)
	}
	if err := sh.Line(t.Context(), "step n=1; trace conv1"); err != nil || len(sh.State.units[0].trace) < 4 ||
		sh.State.units[0].rounded != 4 {
		t.Errorf("going on: error %v, %+v", err, sh.State.units[0])
	}
	if err := sh.Line(t.Context(), "undo; undo"); err != nil || sh.State.units[0].corrected || sh.State.scaled(0) {
		t.Errorf("undone: error %v, %+v", err, sh.State.units[0])
	}
}

// TestUndoKeepsData: data lives as long as undo can return to it, and no longer.
func TestUndoKeepsData(t *testing.T) {
	sh, _ := testShell(t, "logits; scales weights; dc conv1; scales acts conv1; round conv1; dc 1")
	for range 3 {
		if err := sh.Line(t.Context(), "scales acts 1; step 1 n=1; undo 3; round conv1 steps=2; undo 2; scales acts "+
			"conv1; round conv1; dc 1; dc 1"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range shell.UndoDepth + 5 { // pushes everything else out
		if err := sh.Line(t.Context(), "set seed="+string(rune('1'+i%9))); err != nil {
			t.Fatal(err)
		}
	}
	if len(sh.datas) > 2 { // the unit's, as observed and as corrected
		t.Errorf("%d data are kept", len(sh.datas))
	}
	if err := sh.Line(t.Context(), "calib 4"); err != nil {
		t.Fatal(err)
	}
	for i := range shell.UndoDepth + 5 { // some change nothing, and aren't kept
		if err := sh.Line(t.Context(), "set seed="+string(rune('1'+i%9))); err != nil {
			t.Fatal(err)
		}
	}
	if len(sh.datas) > 0 || len(sh.all) > 0 || sh.live != nil {
		t.Errorf("%d data, %d logits and a rounder %v are kept of images that are gone", len(sh.datas), len(sh.all), sh.live)
	}
}

// TestInside: every look inside prints something and changes nothing, before and after the steps.
func TestInside(t *testing.T) {
	sh, out := testShell(t)
	dir := t.TempDir()
	look := func(lines ...string) {
		for _, line := range lines {
			before := sh.State
			out.Reset()
			if err := sh.Line(t.Context(), line); err != nil || out.Len() == 0 {
				t.Errorf("%s: printed %d bytes, error %v", line, out.Len(), err)
			}
			if !reflect.DeepEqual(sh.State, before) {
				t.Errorf("%s changed the session", line)
			}
		}
	}
	for line, want := range map[string]string{"backend go; sweep fc; undo": "16 scales, PD on 8 images",
		"sweep fc": " scales, PD on 8 images"} {
		if err := sh.Line(t.Context(), line); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: error %v, printed %s", line, err, out)
		}
	}
	look("units", "layers", "layers fc", "inspect conv1", "inspect relu", "sweep layer1.0.conv1 points=4",
		"sweep layer1.0.relu1 points=4 metric=pd", "bn layer3.0", "bn fc", "show", "show pd", "history", "help", "help plot",
		"bits")
	if err := sh.Line(t.Context(), "run conv1; dc 1; scales acts 1; step 1 n=3"); err != nil {
		t.Fatal(err)
	}
	look("units", "inspect layer1.0.conv1", "inspect fc", "inspect layer1.0.relu1", "sweep layer1.0.relu1 points=4",
		"bn conv1", "bn 1", "bn 2", "trace conv1", "trace 1", "trace 1 step=dc", "diff", "diff 1", "worst",
		"prefix n=20")
	for _, what := range []string{"inspect relu", "sweep relu points=4", "bn 1", "trace 1", "diff", "worst",
		"prefix n=20"} {
		path := filepath.Join(dir, strings.Fields(what)[0]+".svg")
		look("plot " + what + " file=" + path)
		if data, err := os.ReadFile(path); err != nil || !bytes.Contains(data, []byte("<svg")) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	if err := sh.Line(t.Context(), "inspect layer1.0.conv1"); err != nil ||
		!strings.Contains(out.String(), "rounding variables at step 3") {
		t.Errorf("error %v, printed %s", err, out)
	}
}

// TestSaveAndResume: a resumed session goes on to the same student.
func TestSaveAndResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	sh, _ := testShell(t, "set loss.temperature=3", "run conv1 layer1.0; eval n=20; save "+dir, "run")
	other, out := testShell(t, "resume "+dir)
	if len(other.State.units) != 5 || other.State.finished() != 2 || other.State.config != sh.State.config ||
		len(other.State.score.student.Top1) != 20 {
		t.Errorf("resumed %+v", other.State)
	}
	for _, line := range []string{"trace conv1", "bn layer1.0", "run", "eval n=20", "save " + dir + "2",
		"runs " + filepath.Dir(dir), "compare " + dir + " " + dir + "2"} {
		if err := other.Line(t.Context(), line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if !reflect.DeepEqual(other.State.student, sh.State.student) {
		t.Error("the resumed session ends at another student")
	}
	if !strings.Contains(out.String(), "standard error over 20 images") || !strings.Contains(out.String(), dir+"2") {
		t.Errorf("printed %s", out)
	}
	if err := os.Remove(filepath.Join(dir, metricsFile)); err != nil {
		t.Fatal(err)
	}
	if err := other.Line(t.Context(), "resume "+dir); err != nil {
		t.Errorf("without losses: %v", err)
	}
	for _, name := range []string{studentFile, sessionFile, "run.json", evaluationFile} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(whole)
		flipped[len(flipped)-5] ^= 1
		for _, damaged := range [][]byte{nil, whole[:len(whole)/2], flipped} {
			if name != studentFile && len(damaged) == len(whole) {
				continue // text, in which a letter may be changed
			}
			if err := os.WriteFile(path, damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			before := other.State
			if err := other.Line(t.Context(), "resume "+dir); err == nil || strings.Contains(err.Error(), "\n") ||
				!reflect.DeepEqual(other.State, before) {
				t.Errorf("%s of %d bytes: error %v", name, len(damaged), err)
			}
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	whole := other.State
	other.State = whole.with(0, func(st *unitState) { st.norms = []look.NormView{{Mean: []float64{math.NaN()}}} })
	if err := other.Line(t.Context(), "save "+dir); err == nil {
		t.Error("what JSON can't hold is saved")
	}
	other.State = whole
	if err := other.Line(t.Context(), "resume "+dir); err != nil {
		t.Errorf("after a failed save the session before is gone: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, error %v", left, err)
	}
	if err := os.Remove(filepath.Join(dir, sessionFile)); err != nil {
		t.Fatal(err)
	}
	if err := other.Line(t.Context(), "save "+dir); err == nil || !strings.Contains(err.Error(), "choose another folder") {
		t.Errorf("save over the run of another command: error %v", err)
	}
}

// TestAblate: the session's teacher, images and settings, in a run folder from which the same command goes on.
func TestAblate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	sh, out := testShell(t, "ablate loss=mse,pd dc=off seeds=2 test=10 out="+dir)
	for _, want := range []string{"loss=mse dc=off", "loss=pd dc=off against loss=mse dc=off: ", "over 2 seeds", dir} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	f := experiment.Folder(dir)
	results, err := f.Results()
	if err != nil || len(results) != 1+2*2 {
		t.Fatalf("%d results, error %v", len(results), err)
	}
	seed2, err := f.LoadStudent(newQuantizer(t, sh, 2), results[2].StudentFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.Line(t.Context(), "set loss.pd=0 correction.steps=0 seed=2; run; eval n=10"); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(seed2, sh.State.student) {
		t.Error("the ablation's student of seed 2 is another than the session's")
	}
	if err := sh.Line(t.Context(), "undo; undo; ablate loss=mse dc=off seeds=2,3 test=10 out="+dir); err != nil {
		t.Fatal(err)
	}
	if results, err := f.Results(); err != nil || len(results) != 1+2*2+1 {
		t.Errorf("%d results, after one more seed of one method; error %v", len(results), err)
	}
	for line, want := range map[string]string{"ablate loss=x": "give one or more of mse, pd",
		"ablate dc=on,on": "give one or more of on, off", "ablate seeds=0": "0 seeds; give 1 to 1000",
		"ablate test=x": "test=x", "ablate data=/nowhere": "/nowhere"} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", line, err)
		}
	}
	for off, remedy := range map[string]string{"Loss.PD": "set Loss.PD=10, or ablate loss=mse",
		"Correction.Steps": "set Correction.Steps=50, or ablate dc=off"} {
		if err := sh.Line(t.Context(), "set "+off+"=0; ablate"); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("without %s: error %v", off, err)
		}
		if err := sh.Line(t.Context(), "undo"); err != nil {
			t.Fatal(err)
		}
	}
}

// newQuantizer returns the steps of loss=mse dc=off for a shell's session with a seed.
func newQuantizer(t *testing.T, sh *rig, seed uint64) *pdq.Quantizer {
	t.Helper()
	s := sh.State
	c := s.config
	c.Loss.PD, c.Correction.Steps, c.Seed = 0, 0, seed
	q, err := pdq.New(s.backend, pdq.Problem{Network: s.teacher.Network, Weights: s.teacher.Weights,
		Calibration: s.images.calibration.Images}, c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestComplete: a word's beginning, and what it may become.
func TestComplete(t *testing.T) {
	sh, _ := testShell(t)
	for text, want := range map[string][]string{
		"rou": {"round"}, "eval; sc": {"scales"}, "scales w": {"weights"}, "scales acts layer1": {"layer1.0"},
		"round layer1.0 st": {"steps="},
		"teacher mob":       {"mobilenetv2", "mobilenetv2-1.0"}, "inspect layer1.0.c": {"layer1.0.conv1", "layer1.0.conv2"},
		"scales acts fc metric=c": {"cosine"},
		"set Rounding.W":          {"Rounding.Weight=", "Rounding.Warmup=", "Rounding.WeightEdges="},
		"show Seed":               {"Seed"}, "plot sw": {"sweep"}, "plot sweep fc fi": {"file="},
		"run conv1 layer3": {"layer3.0"},
		"help und":         {"undo"}, "nonsense x": nil, "source shell_t": {"shell_test.go"}, "preset p": {"paper"},
		"runs test":       {"testdata/"},
		"set Bits.Rule=q": {"qdrop"}, "set bits.rule=b": {"brecq"}, "!ls shell_t": {"shell_test.go"}, "resume testd": {},
		"set rounding.w":           {"Rounding.Weight=", "Rounding.Warmup=", "Rounding.WeightEdges="},
		"quantise resnet18 crop":   {"crop="},
		"quantise resnet18 crop=c": {"centre"}, "quantise mn": {"mnasnet-2.0"}, "download ci": {"cifar10"},
	} {
		if _, got := sh.Complete(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestFineTune: the whole network is trained after its units, and not before.
func TestFineTune(t *testing.T) {
	sh, out := testShell(t, "run conv1")
	for line, want := range map[string]string{"finetune steps=2": "1 of 5 units are rounded; first: run",
		"finetune steps=0": "steps=0"} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
	if err := sh.Line(t.Context(), "run; eval 20"); err != nil {
		t.Fatal(err)
	}
	if err := sh.Line(t.Context(), "finetune"); err == nil || !strings.Contains(err.Error(), "finetune steps=500") {
		t.Errorf("without steps: %v", err)
	}
	before := sh.State
	dir := filepath.Join(t.TempDir(), "run")
	if err := sh.Line(t.Context(), "set finetune.learningrate=5; finetune steps=3"); err != nil ||
		!strings.Contains(out.String(), "fine-tuning changed nothing") ||
		!reflect.DeepEqual(sh.State.student, before.student) {
		t.Errorf("at a high rate: error %v, printed %s", err, out)
	}
	if err := sh.Line(t.Context(), "undo; set finetune.batchsize=8 finetune.learningrate=0.005; finetune steps=15; "+
		"eval 20; save "+dir); err != nil || !strings.Contains(out.String(), "15 steps over the whole network") {
		t.Fatalf("error %v, printed %s", err, out)
	}
	if reflect.DeepEqual(sh.State.student, before.student) || sh.State.finished() != 5 {
		t.Error("the student is the one before, or its units aren't finished")
	}
	other, _ := testShell(t, "resume "+dir)
	if !reflect.DeepEqual(other.State.student, sh.State.student) {
		t.Error("the resumed session has another student")
	}
	if err := sh.Line(t.Context(), "undo 2"); err != nil || !reflect.DeepEqual(sh.State.student, before.student) {
		t.Errorf("undo: %v", err)
	}
}

// TestPresetOfBits: the settings of a preset are those for the bits in force, and what was set otherwise stays.
func TestPresetOfBits(t *testing.T) {
	for lines, want := range map[string][2]float64{
		"preset best":                             {0.007, 0},
		"preset best; bits w=4 a=4":               {0.02, 0.25},
		"bits w=4 a=4; preset best; set bits.w=2": {0.007, 0.25},
		"preset best; bits a=4; set finetune.learningrate=0.1; bits w=4": {0.1, 0.25},
	} {
		sh, _ := testShell(t, lines)
		if f := sh.State.config.FineTune; f.LearningRate != want[0] || f.Zoom != want[1] {
			t.Errorf("%s: rate %g and zoom %g, want %g", lines, f.LearningRate, f.Zoom, want)
		}
	}
	sh, _ := testShell(t, "preset best")
	dir := filepath.Join(t.TempDir(), "run")
	if err := sh.Line(t.Context(), "bits w=4 a=4; scales weights; save "+dir); err != nil {
		t.Fatal(err)
	}
	other, _ := testShell(t, "resume "+dir)
	if other.State.base != sh.State.base || other.State.config != sh.State.config {
		t.Errorf("resumed: %+v on %+v, want %+v on %+v", other.State.config, other.State.base, sh.State.config, sh.State.base)
	}
}

// TestToNearest: no step of a unit's rounding is left after rounding it to nearest.
func TestToNearest(t *testing.T) {
	want, _ := testShell(t, "logits; scales weights; scales acts conv1; round conv1 steps=0")
	for _, before := range []string{"step conv1 n=2", "round conv1", "round conv1; scales acts 1"} {
		sh, _ := testShell(t, "logits; scales weights; scales acts conv1; "+before+"; round conv1 steps=0")
		for name, w := range sh.State.student.Weights {
			if w.Levels != nil {
				t.Errorf("%s: %s keeps its levels", before, name)
			}
		}
		if before != "round conv1; scales acts 1" && !reflect.DeepEqual(sh.State.student, want.State.student) {
			t.Errorf("%s: another student than without steps", before)
		}
	}
}

// TestGivenUp: a rounding under way isn't given up silently.
func TestGivenUp(t *testing.T) {
	sh, out := testShell(t, "run conv1; logits; scales acts layer1.0; step layer1.0 n=2")
	dir := filepath.Join(t.TempDir(), "run")
	if err := sh.Line(t.Context(), "save "+dir); err != nil ||
		!strings.Contains(out.String(), "and the rounding of layer1.0 at step 2") {
		t.Errorf("save: error %v, printed %s", err, out)
	}
	const given = "the rounding of layer1.0, at step 2, is given up; undo takes this back"
	for line, want := range map[string]bool{"dc conv1": true, "dc layer1.0": true, "teacher resnet8": true,
		"scales weights": true, "step n=1": false, "run layer1.0": false, "units": false, "eval n=10": false,
		"set seed=1": false} {
		out.Reset()
		if err := sh.Line(t.Context(), line); err != nil || strings.Contains(out.String(), given) != want {
			t.Errorf("%s: error %v, printed %s", line, err, out)
		}
		out.Reset()
		if line == "units" || line == "set seed=1" || line == "eval n=10" {
			continue // nothing to undo
		}
		if err := sh.Line(t.Context(), "undo"); err != nil || strings.Contains(out.String(), "given up") ||
			sh.State.rounding.state.Done != 2 {
			t.Errorf("undo of %s: error %v, printed %s", line, err, out)
		}
	}
}

// TestResumeRounding: a rounding that was under way goes on where it was saved, to the same bits.
func TestResumeRounding(t *testing.T) {
	for _, dc := range []string{"dc layer1.0; ", "dc layer1.0 steps=2; ", ""} {
		dir := filepath.Join(t.TempDir(), "run")
		sh, _ := testShell(t, "run conv1; "+dc+"scales acts layer1.0; step layer1.0 n=2; save "+dir+"; step n=2")
		other, out := testShell(t, "resume "+dir+"; step n=2")
		if !strings.Contains(out.String(), "layer1.0 goes on at step 2") || other.State.units[1].corrected != (dc != "") {
			t.Errorf("printed %s", out)
		}
		if !reflect.DeepEqual(other.State.student, sh.State.student) ||
			!reflect.DeepEqual(other.State.rounding.state, sh.State.rounding.state) {
			t.Errorf("%sthe resumed session has another student", dc)
		}
	}
	sh, _ := testShell(t, "run conv1; scales acts layer1.0; set mirror=true")
	if err := sh.Line(t.Context(), "step layer1.0 n=1"); err == nil ||
		!strings.Contains(err.Error(), "no teacher logits yet") {
		t.Errorf("a step after other images are asked for: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "session")
	if err := sh.Line(t.Context(), "undo; save "+dir); err != nil {
		t.Fatal(err)
	}
	if err := runLine(t.Context(),
		"demo teacher=resnet8 images=8 test=40 steps=0 dc=0 finetune=2 anew=true out="+dir+" backend="+ofTests(), io.Discard,
		io.Discard); err == nil || !strings.Contains(err.Error(), "holds a session that save wrote") {
		t.Errorf("a demo in a session's folder: %v", err)
	}
	dir = t.TempDir()
	if err := runLine(t.Context(),
		"demo teacher=resnet8 images=8 test=40 steps=0 dc=0 finetune=2 out="+dir+" backend="+ofTests(), io.Discard,
		io.Discard); err != nil {
		t.Fatal(err)
	}
	sh, _ = testShell(t, "show seed")
	if err := sh.Line(t.Context(), "resume "+dir); err == nil ||
		!strings.Contains(err.Error(), "to go on with it: go run ./repl demo ") {
		t.Errorf("resume of a demo: %v", err)
	}
}

// TestCheckpointTeacher: a teacher and images from files take every step, and resume.
func TestCheckpointTeacher(t *testing.T) {
	files := noiseFiles(t)
	dir := filepath.Join(t.TempDir(), "run")
	sh, out := testShell(t)
	lines := []string{
		"teacher resnet20 checkpoint=../../testdata/cifar10/resnet20-12fca82f.th data=" + files, "calib 8",
		"set rounding.steps=2 correction.steps=1 scales.images=8", "run conv1",
		"eval n=20", "save " + dir,
	}
	for _, line := range lines {
		if err := sh.Line(t.Context(), line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	if !strings.Contains(out.String(), "20 images: student") {
		t.Errorf("printed %s", out)
	}
	other, _ := testShell(t, "resume "+dir)
	if other.State.finished() != 1 || other.State.teacher.Source.Checkpoint == "" ||
		!reflect.DeepEqual(other.State.student, sh.State.student) {
		t.Errorf("resumed %+v", other.State)
	}
	for line, want := range map[string]string{
		"calib 8 data=fashion-mnist":  "but resnet20 takes 3x32x32",
		"calib 20":                    "cannot draw 20 of 12 images",
		"eval n=5 data=fashion-mnist": "3x32x32",
		"calib 8 data=nowhere":        "nowhere",
	} {
		if err := other.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", line, err, want)
		}
	}
}

// TestTable: names are used once, arguments and options have meanings, and prefixes find commands.
func TestTable(t *testing.T) {
	sh, _, err := newShell(shell.NewTerminal(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range sh.Commands() {
		if seen[c.Name] || c.Help == "" || c.Group == "" || c.Run == nil || strings.HasSuffix(c.Help, ".") {
			t.Errorf("command %+v", c)
		}
		seen[c.Name] = true
		keys := c.Keys()
		slices.Sort(keys)
		if len(slices.Compact(keys)) != len(c.Keys()) {
			t.Errorf("%s has two arguments or options of a name: %v", c.Name, c.Keys())
		}
		for _, a := range c.Args {
			if a.Help == "" {
				t.Errorf("%s: argument %s has no help", c.Name, a.Name)
			}
		}
		for _, o := range c.Options {
			if o.Help == "" {
				t.Errorf("%s: option %s has no help", c.Name, o.Name)
			}
		}
	}
	for short, full := range aliases() {
		if !seen[full] || seen[short] {
			t.Errorf("alias %s of %s", short, full)
		}
	}
	for words, want := range map[string]string{"insp x": "inspect", ".quit": "quit", "%his": "history", "? step": "help",
		"step?": "help", "?step": "help", "?": "help", "ev": "eval"} {
		if c, _, err := sh.LookUp(strings.Fields(words)); err != nil || c.Name != want {
			t.Errorf("%s: %s, error %v", words, c.Name, err)
		}
	}
}

// TestRoundAgain: a finished unit that is rounded again begins where it did at first, also after others.
func TestRoundAgain(t *testing.T) {
	sh, _ := testShell(t, "run conv1 layer1.0")
	want := sh.State.student
	for _, again := range []string{"round layer1.0", "run layer1.0", "run layer2.0; dc layer1.0; round layer1.0"} {
		if err := sh.Line(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		for _, layer := range []string{"layer1.0.conv1", "layer1.0.conv2"} {
			if !reflect.DeepEqual(sh.State.student.Weights[layer], want.Weights[layer]) {
				t.Errorf("%s: %s is rounded differently", again, layer)
			}
		}
	}
}

// TestUndoSkipsLooks: commands that only print leave nothing to undo.
func TestUndoSkipsLooks(t *testing.T) {
	sh, _ := testShell(t, "set seed 5", "bits; show seed; backend", "undo")
	if sh.State.config.Seed == 5 {
		t.Error("undo took back a command that changed nothing")
	}
}
