package experiment

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
)

// givenGrid is a tiny grid of seeds that calibrate on the same images.
func givenGrid(t *testing.T, methods string, seeds ...uint64) Grid {
	g := tinyGrid(t, methods)
	cal, err := g.Subjects[0].Pool.Calibrate(t.Context(), 12, 7)
	if err != nil {
		t.Fatal(err)
	}
	g.Subjects[0].Pool, g.Seeds = Given(cal), seeds
	return g
}

// TestGivenImages: seeds that calibrate on the same images give what each gives alone, and correct once.
func TestGivenImages(t *testing.T) {
	g, f := givenGrid(t, "best FineTune.Steps=1; pd-quant", 1, 5), Folder(t.TempDir())
	corrected, rounded := map[string]int{}, map[string]int{}
	g.Step = func(e Progress) {
		if e.Step == pdq.StepCorrect && e.Done == e.Total {
			corrected[e.Unit]++
		}
		if e.Step == pdq.StepRound && e.Done == e.Total {
			rounded[e.Unit]++
		}
	}
	results := run(t, g, f)
	for unit, n := range rounded {
		if n != 2*2 || corrected[unit] > 1 || len(corrected) == 0 {
			t.Errorf("%s: %d roundings, want 4; %d corrections, want 1", unit, n, corrected[unit])
		}
	}
	g.Step = nil
	for i, seed := range g.Seeds {
		alone := g
		alone.Seeds = []uint64{seed}
		for k, want := range run(t, alone, Folder(t.TempDir()))[1:] {
			got := results[1+2*k+i]
			if got.Hash != want.Hash || !reflect.DeepEqual(got.Right, want.Right) ||
				!reflect.DeepEqual(got.EachPD, want.EachPD) {
				t.Errorf("%s, seed %d: side by side %+v, alone %+v", want.Method, seed, got, want)
			}
			if got.Seconds <= 0 {
				t.Errorf("%s, seed %d: %g seconds", want.Method, seed, got.Seconds)
			}
		}
	}
}

// TestGivenInterrupted: seeds side by side that stop within a unit go on at the steps where they were.
func TestGivenInterrupted(t *testing.T) {
	g, f := givenGrid(t, "pd", 1, 2), Folder(t.TempDir())
	want := run(t, g, Folder(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	steps := map[string]int{}
	g.Step = func(e Progress) {
		if e.Step != pdq.StepRound {
			return
		}
		if steps[e.Unit]++; e.Unit == "layer1.0" && steps[e.Unit] == 3 { // the first step of seed 2
			cancel()
		}
	}
	if _, err := g.Run(ctx, f); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	results := run(t, g, f)
	for _, u := range g.Subjects[0].Network.Units {
		if steps[u.Name] != 2*2 {
			t.Errorf("%s: %d rounding steps, want 4", u.Name, steps[u.Name])
		}
	}
	for i := range want {
		if !reflect.DeepEqual(results[i].Right, want[i].Right) || !reflect.DeepEqual(results[i].EachPD, want[i].EachPD) {
			t.Errorf("%s, seed %d: another result", want[i].Method, want[i].Seed)
		}
	}
}

// TestRemoveResults: what a grid wrote goes, and only that; then it begins anew.
func TestRemoveResults(t *testing.T) {
	g, f := tinyGrid(t, "nearest; mse"), Folder(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	g.Every = 1
	g.Step = func(p Progress) {
		if p.Step == pdq.StepRound && p.Unit == "layer2.0" {
			cancel()
		}
	}
	if _, err := g.Run(ctx, f); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	others := []string{lockFile, "resnet8-w2a2-s1.json", "session.json", "student.safetensors"}
	for _, name := range others[1:] {
		if err := f.Write(name, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, f)
	if err := f.RemoveResults(); err != nil {
		t.Fatal(err)
	}
	if left := files(t, f); !slices.Equal(left, others) || len(before) < len(others)+5 {
		t.Errorf("%q are left of %q", left, before)
	}
	units := map[string]bool{}
	g.Step = func(p Progress) { units[p.Unit] = true }
	if results := run(t, g, f); len(results) != 3 || !units["conv1"] {
		t.Errorf("%d results, of units %v", len(results), units)
	}
	unlock, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := f.RemoveResults(); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a locked folder: %v", err)
	}
}

// files returns the names of the folder's files.
func files(t *testing.T, f Folder) []string {
	t.Helper()
	files, err := os.ReadDir(string(f))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, file.Name())
	}
	return names
}

// TestRecord: run.json says how to repeat the grid; a run that goes on keeps its beginning, and tells of other threads.
func TestRecord(t *testing.T) {
	g, f := tinyGrid(t, "nearest; pd"), Folder(t.TempDir())
	g.Command = "grid networks=resnet8"
	run(t, g, f)
	var r Record
	if err := f.ReadJSON(RecordFile, &r); err != nil {
		t.Fatal(err)
	}
	if r.Command != g.Command || r.Teacher != "resnet8" || len(r.TeacherHash) != 64 ||
		len(r.Calibration.Indices) != g.Images ||
		len(r.Methods) != 2 || r.Methods[1].Name != "PD without DC" || r.Methods[1].Config.Rounding.Steps != 2 ||
		len(r.Versions) < 1 ||
		len(r.Plan) == 0 || r.Plan[1].Output != 2 {
		t.Errorf("record %#v", r)
	}
	r.Threads, r.Started = 77, r.Started.Add(-time.Hour)
	if err := f.WriteJSON(RecordFile, r); err != nil {
		t.Fatal(err)
	}
	var warned []string
	g.Warn = func(text string) { warned = append(warned, text) }
	run(t, g, f) // nothing to compute
	g.Methods = append(g.Methods, Recipes()[1].Method())
	run(t, g, f)
	var now Record
	if err := f.ReadJSON(RecordFile, &now); err != nil {
		t.Fatal(err)
	}
	if !now.Started.Equal(r.Started) || len(now.Methods) != 3 || len(warned) != 1 ||
		!strings.Contains(warned[0], "77 threads") {
		t.Errorf("begun %v, was %v; %d methods; warned %q", now.Started, r.Started, len(now.Methods), warned)
	}
	if err := f.Write(RecordFile, []byte(`{"Command"`)); err != nil {
		t.Fatal(err)
	}
	g.Seeds = Seeds(2)
	run(t, g, f)
	if err := f.ReadJSON(RecordFile, &now); err != nil || len(warned) != 2 || !strings.Contains(warned[1], RecordFile) {
		t.Errorf("a damaged record: error %v; warned %q", err, warned)
	}
}

// calibrationOf returns what the first seed of g calibrates on.
func calibrationOf(t *testing.T, g Grid) datasets.Calibration {
	t.Helper()
	cal, err := g.Subjects[0].Pool.Calibrate(t.Context(), g.Images, g.Seeds[0])
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

// TestLast: the results of a record's last method are those of its settings, whatever else the folder has.
func TestLast(t *testing.T) {
	g, f := tinyGrid(t, "nearest; pd"), Folder(t.TempDir())
	started := 0
	g.Start = func(r Record, q *pdq.Quantizer) {
		started++
		if len(r.Methods) != 2 || q.Config().Loss.PD == 0 || len(q.MemoryPlan()) != len(g.Subjects[0].Network.Units) {
			t.Errorf("starts with %+v", r.Methods)
		}
	}
	run(t, g, f)
	g.Seeds = Seeds(2)
	results := run(t, g, f)
	run(t, g, f) // nothing to compute
	var r Record
	if err := f.ReadJSON(RecordFile, &r); err != nil || started != 2 {
		t.Fatalf("error %v, started %d times", err, started)
	}
	last, err := f.Last(r)
	if err != nil || len(last) != 2 || last[0].Hash != results[3].Hash || last[1].Hash != results[4].Hash ||
		len(last[1].Right.Top1) == 0 {
		t.Errorf("the last method's results are %#v, error %v", last, err)
	}
	more := g
	more.Images = 12
	run(t, more, f)
	if last, err := f.Last(r); err != nil || len(last) != 2 {
		t.Errorf("with results of other calibration images %d, error %v", len(last), err)
	}
	r.Methods[1].Config.Rounding.Steps++
	if last, err := f.Last(r); err != nil || len(last) > 0 {
		t.Errorf("results of other settings %#v, error %v", last, err)
	}
}
