package experiment

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// tinyGrid is a grid of seconds: resnet8, few images and steps.
func tinyGrid(t *testing.T, methods string) Grid {
	t.Helper()
	s, err := Open(Source{Name: "resnet8", Root: t.TempDir(), Tests: 40})
	if err != nil {
		t.Fatal(err)
	}
	ms, err := ParseMethods(methods)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := ParseSettings("Rounding.Steps=2 Correction.Steps=1 Scales.Candidates=10 Scales.Images=8 " +
		"Rounding.BatchSize=4 FineTune.BatchSize=4")
	if err != nil {
		t.Fatal(err)
	}
	b, note, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	return Grid{Subjects: []Subject{s}, Bits: []Width{{2, 2}}, Methods: ms, Seeds: Seeds(1), Images: 8, Preset: "quick",
		Settings: settings, Backend: b, Note: note}
}

func run(t *testing.T, g Grid, f Folder) []Result {
	t.Helper()
	results, err := g.Run(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// TestGrid: each cell is what Quantize and Evaluate give, and comes from the table the second time.
func TestGrid(t *testing.T) {
	g, f := tinyGrid(t, "nearest; pd"), Folder(t.TempDir())
	g.Seeds, g.Bits = Seeds(2), []Width{{2, 2}, {4, 8}}
	results := run(t, g, f)
	if len(results) != 1+2*2*2 || results[0].Method != FullPrecision || results[0].Test.N != 40 {
		t.Fatalf("%d results, the first %+v", len(results), results[0])
	}
	c := g.Cells()[3] // W2A2 PD without DC, seed 1
	config, _, err := g.Config(c)
	if err != nil {
		t.Fatal(err)
	}
	cal, err := g.Subjects[0].Pool.Calibrate(t.Context(), g.Images, c.Seed)
	if err != nil {
		t.Fatal(err)
	}
	problem := pdq.Problem{Network: g.Subjects[0].Network, Weights: g.Subjects[0].Weights, Calibration: cal.Images}
	q, err := pdq.New(g.Backend, problem, config)
	if err != nil {
		t.Fatal(err)
	}
	student, err := q.Quantize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	right, err := q.Evaluate(t.Context(), student, g.Subjects[0].Test)
	if err != nil {
		t.Fatal(err)
	}
	own, err := q.Evaluate(t.Context(), student, cal.Images)
	if err != nil || !reflect.DeepEqual(right, results[3].Right) || AccuracyOf(own) != results[3].Calibration {
		t.Errorf("in the grid another result than alone, error %v", err)
	}
	if want := "Scales.Images=8 Scales.Candidates=10"; !strings.Contains(results[3].Settings, "Rounding.Steps=2") ||
		len(results[3].EachPD) != 40 {
		t.Errorf("settings %q, want %q among them; %d prediction differences", results[3].Settings, want,
			len(results[3].EachPD))
	}
	g.Began = func(c Cell, _, _ int) { t.Errorf("%v is computed again", c) }
	again := run(t, g, f)
	for i := range again {
		if again[i].Hash != results[i].Hash || again[i].Test != results[i].Test ||
			!reflect.DeepEqual(again[i].Right, results[i].Right) {
			t.Errorf("from the table %+v, was %+v", again[i], results[i])
		}
	}
	table := Compare(again)
	if len(table.Rows) != 1+2*2 || len(table.Rows[0]) != len(table.Columns) || table.Rows[2][7] != "2" ||
		len(Bars(again)) != 5 {
		t.Errorf("table %+v", table)
	}
}

// TestTwice: what would count twice is refused.
func TestTwice(t *testing.T) {
	for want, change := range map[string]func(g *Grid){
		"method nearest rounding": func(g *Grid) { g.Methods = append(g.Methods, g.Methods[0]) },
		"setting of bits W2A2":    func(g *Grid) { g.Bits = append(g.Bits, g.Bits[0]) },
		"network resnet8 on ":     func(g *Grid) { g.Subjects = append(g.Subjects, g.Subjects[0]) },
	} {
		g := tinyGrid(t, "nearest")
		change(&g)
		if err := g.Check(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "twice") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestOtherGrid: a result that another grid computed under another preset is shown as this grid has it.
func TestOtherGrid(t *testing.T) {
	g, f := tinyGrid(t, "mse"), Folder(t.TempDir())
	run(t, g, f)
	g.Preset, g.Seeds = "best", Seeds(2)
	results := run(t, g, f)
	if s := Summarise(results); len(s) != 2 || len(s[1].Results) != 2 || s[1].Results[0].Preset != "best" {
		t.Errorf("%d groups, the last of %d results", len(s), len(s[len(s)-1].Results))
	}
}

// TestUnlabelled: images to calibrate on need no labels; there is no accuracy on them then.
func TestUnlabelled(t *testing.T) {
	g, f := tinyGrid(t, "nearest"), Folder(t.TempDir())
	pool := g.Subjects[0].Pool.(datasets.Images)
	pool.Labels = slices.Repeat([]int32{datasets.Unlabelled}, pool.Len())
	g.Subjects[0].Pool = pool
	results := run(t, g, f)
	again, err := f.Results()
	if err != nil || len(again) != 2 {
		t.Fatalf("%d results, error %v", len(again), err)
	}
	for i, r := range results {
		if r.Test.N != 40 || r.Test.Right == 0 || r.Calibration.N != 0 || again[i].Calibration.N != 0 {
			t.Errorf("%s: %+v", r.Method, r)
		}
	}
	if row := Compare(results).Rows[1]; row[6] != "-" {
		t.Errorf("row %q", row)
	}
	g.Subjects[0].Weights = maps.Clone(g.Subjects[0].Weights)
	for name, w := range g.Subjects[0].Weights {
		g.Subjects[0].Weights[name] = tensors.FromShape(w.Shape())
	}
	if _, err := g.Run(t.Context(), Folder(t.TempDir())); err == nil ||
		!strings.Contains(err.Error(), "of 40 test images, no better than guessing") {
		t.Errorf("weights of 0: error %v", err)
	}
}

// TestVariant: a result isn't that of another graph, other units or other pixels of the same name.
func TestVariant(t *testing.T) {
	g := tinyGrid(t, "nearest")
	s, of := &g.Subjects[0], map[string]bool{}
	r := gridRun{Grid: g}
	for _, change := range []func(){
		func() {},
		func() { s.File = File{SHA256: "ab"} },
		func() { s.File.Options.Units = `a\d` },
		func() { s.Test = datasets.Files{Config: datasets.ImageNetConfig()} },
		func() { s.Test = datasets.Files{Config: datasets.ImageConfig{Height: 224, Width: 224, Resize: 232}} },
	} {
		change()
		of[r.hashOf(s, datasets.Calibration{}, pdq.Config{})] = true
	}
	s.File, s.Source.Images.Resize = File{}, 232
	of[r.hashOf(s, datasets.Calibration{}, pdq.Config{})] = true
	if len(of) != 6 {
		t.Errorf("%d hashes of 6 subjects", len(of))
	}
}

// TestJoin: processes that share a folder compute each result once, wait for what another one is at, take it over when
// that one ends, and all return the same results.
func TestJoin(t *testing.T) {
	g, f := tinyGrid(t, "nearest; mse; best FineTune.Steps=1"), Folder(t.TempDir())
	g.Bits = []Width{{2, 2}, {4, 8}}
	want := run(t, g, Folder(t.TempDir()))
	g.Join = true
	killed, err := f.claim("resnet8-W4A8-s1") // of a process that never finishes
	if err != nil || killed == nil {
		t.Fatalf("the claim of a new folder fails: %v", err)
	}
	var mu sync.Mutex
	computed, waiting := map[string]int{}, make(chan bool, 2)
	results, errs := make([][]Result, 2), make([]error, 2)
	var all sync.WaitGroup
	for i := range results {
		mine := g
		mine.Finished = func(r Result) {
			mu.Lock()
			defer mu.Unlock()
			computed[r.label()]++
		}
		mine.Warn = func(text string) {
			if strings.HasPrefix(text, "other processes are computing the last ") {
				waiting <- true
			}
		}
		all.Go(func() { results[i], errs[i] = mine.Run(t.Context(), f) })
	}
	<-waiting
	<-waiting
	alone := g
	alone.Join = false
	if _, err := alone.Run(t.Context(), f); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("alone in the folder of others: error %v", err)
	}
	if err := killed(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for label, n := range computed {
		if n != 1 {
			t.Errorf("computed %d times: %s", n, label)
		}
	}
	if len(computed) != len(want) {
		t.Errorf("%d results are computed, want %d", len(computed), len(want))
	}
	for _, got := range results {
		for i := range want {
			if len(got) != len(want) || got[i].Hash != want[i].Hash || !reflect.DeepEqual(got[i].Right, want[i].Right) {
				t.Fatalf("%d results, %d alone; result %d differs", len(got), len(want), i)
			}
		}
	}
}

// TestShared: fine-tuning goes on from the units of "MSE only", in either order, and gives what it gives alone.
func TestShared(t *testing.T) {
	var want []Result
	for _, methods := range []string{"mse; best FineTune.Steps=2; best FineTune.Steps=1",
		"best FineTune.Steps=1; best FineTune.Steps=2; mse"} {
		g, steps := tinyGrid(t, methods), map[pdq.Step]int{}
		g.Step = func(e Progress) { steps[e.Step]++ }
		results := run(t, g, Folder(t.TempDir()))
		if units := len(g.Subjects[0].Network.Units); steps[pdq.StepRound] != 2*units || steps[pdq.StepFineTune] < 3 {
			t.Errorf("%s: %d rounding steps, want %d; %d of fine-tuning", methods, steps[pdq.StepRound], 2*units,
				steps[pdq.StepFineTune])
		}
		if want == nil {
			want = results
			continue
		}
		for i, k := range []int{0, 3, 2, 1} {
			if results[i].Hash != want[k].Hash || !reflect.DeepEqual(results[i].Right, want[k].Right) {
				t.Errorf("%s: result %d is another", methods, i)
			}
		}
	}
}

// TestInterrupted: a run that is stopped within a unit, or within fine-tuning, goes on at the step where it was.
func TestInterrupted(t *testing.T) {
	g, f := tinyGrid(t, "best FineTune.Steps=2"), Folder(t.TempDir())
	want := run(t, g, Folder(t.TempDir()))
	for _, until := range []struct {
		unit  string
		taken map[string]int // steps by unit; "": of fine-tuning
	}{
		{"layer1.0", map[string]int{"conv1": 2, "layer1.0": 1}},
		{"fc", map[string]int{"layer1.0": 1, "layer2.0": 2, "layer3.0": 2, "fc": 1}},
		{"", map[string]int{"fc": 1, "": 1}},
		{"never", map[string]int{"": 1}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		taken := map[string]int{}
		g.Step = func(e Progress) {
			if e.Step != pdq.StepRound && e.Step != pdq.StepFineTune {
				return
			}
			if taken[e.Unit]++; e.Unit == until.unit && e.Done == 1 {
				cancel()
			}
		}
		results, err := g.Run(ctx, f)
		cancel()
		if !reflect.DeepEqual(taken, until.taken) {
			t.Errorf("until %q: steps %v, want %v", until.unit, taken, until.taken)
		}
		if until.unit != "never" {
			if !errors.Is(err, context.Canceled) || len(results) != 1 {
				t.Errorf("until %q: %d results, error %v", until.unit, len(results), err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(results[1].Right, want[1].Right) ||
			!reflect.DeepEqual(results[1].EachPD, want[1].EachPD) {
			t.Errorf("another result than without interruptions, error %v", err)
		}
	}
	if left, err := filepath.Glob(f.Path("*.state*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, error %v", left, err)
	}
}

// TestKilled: after a process was killed, its states are what the next one finds: the last whole one is gone on from.
func TestKilled(t *testing.T) {
	g, f := tinyGrid(t, "mse"), Folder(t.TempDir())
	g.Every = 1
	want := run(t, g, Folder(t.TempDir()))
	killed := errors.New("killed")
	func() {
		defer func() { _ = recover() }()
		g.Step = func(e Progress) {
			if e.Step == pdq.StepRound && e.Unit == "layer2.0" && e.Done == 2 {
				panic(killed)
			}
		}
		_, _ = g.Run(t.Context(), f)
	}()
	states, err := filepath.Glob(f.Path("*.state"))
	if err != nil || len(states) != 1 {
		t.Fatalf("states %q, error %v", states, err)
	}
	if err := f.Write(filepath.Base(states[0]), []byte("{")); err != nil { // half written
		t.Fatal(err)
	}
	units := map[string]bool{}
	g.Step = func(e Progress) {
		if e.Step == pdq.StepRound {
			units[e.Unit] = true
		}
	}
	if results := run(t, g, f); units["conv1"] || !units["layer2.0"] ||
		!reflect.DeepEqual(results[1].Right, want[1].Right) {
		t.Errorf("units %v were rounded again, or the result is another", units)
	}
}

// TestRefused: results of other settings, backends and versions aren't mixed, and two processes don't share a folder.
func TestRefused(t *testing.T) {
	g, f := tinyGrid(t, "nearest"), Folder(t.TempDir())
	run(t, g, f)
	unlock, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Run(t.Context(), f); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a locked folder: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	table, err := f.Results()
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(r *Result){
		"another backend":  func(r *Result) { r.Backend = "xla" },
		"another versions": func(r *Result) { r.Versions = "go0" },
		"of this name":     func(r *Result) { r.Hash = "0" },
	} {
		changed := table[1]
		change(&changed)
		other := Folder(t.TempDir())
		if err := other.Append(changed); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
	g.Images = 0
	if _, err := g.Run(t.Context(), f); err == nil || !strings.Contains(err.Error(), "0 calibration images") {
		t.Errorf("no images: %v", err)
	}
}
