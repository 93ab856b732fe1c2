package lab

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// withRight is a result with so many of 100 test images right, the first ones.
func withRight(n int) Result {
	var r Result
	for i := range 100 {
		r.Test.Top1 = append(r.Test.Top1, i < n)
	}
	r.Calibration.Top1 = []bool{true, true, true, false}
	return r
}

func withEach(right ...int) (all []Result) {
	for _, n := range right {
		all = append(all, withRight(n))
	}
	return all
}

func TestAgainst(t *testing.T) {
	for _, c := range []struct {
		name      string
		rs, other []Result
		want      string // the verdict's beginning
		text      string // of the difference
	}{
		{"clear", withEach(80, 82, 81), withEach(70, 72, 71), "seen here: ", "+10.00 ± 0.00"},
		{"clear, the other way", withEach(70, 71, 73), withEach(80, 82, 83), "the opposite is seen here: ", "-10.33 ± 0.33"},
		// Differences 1, 3, 5: 3 ± 1.155, t = 2.6 where three seeds need 4.3.
		{"three seeds that vary", withEach(71, 73, 75), withEach(70, 70, 70), "not decided here: ", "+3.00 ± 1.15"},
		{"one seed, over images", withEach(80), withEach(70), "seen here: ", "+10.00 ± 3.00"},
		{"as many as both have", withEach(80, 82), withEach(70, 72, 99), "seen here: ", "+10.00 ± 0.00"},
		{"none", nil, withEach(70), "not run", "not run"},
	} {
		d := Against(c.rs, c.other)
		if !strings.HasPrefix(d.Verdict(), c.want) || d.String() != c.text {
			t.Errorf("%s: %v, %s; want %s, %s", c.name, d, d.Verdict(), c.text, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	rs := withEach(70, 72, 74)
	if got := Top1(rs); got.String() != "72.00 ± 2.00" || math.Abs(got.StandardError()-2/math.Sqrt(3)) > 1e-9 {
		t.Errorf("%v, standard error %g", got, got.StandardError())
	}
	if got := Gap(rs).String(); got != "3.00 ± 2.00" {
		t.Errorf("gap %s", got)
	}
	if got := Top1(rs[:1]); got.String() != "70.00" || got.StandardError() != 0 {
		t.Errorf("of one seed %v ± %g", got, got.StandardError())
	}
	if got := Top1(nil).String(); got != "not run" {
		t.Errorf("of no seed %s", got)
	}
	for _, row := range [][]string{Row("a", rs, rs), Row("b", rs, withEach(70, 71, 72)), Row("c", nil, rs)} {
		if len(row) != len(Headers("method")) {
			t.Errorf("%d cells under %d headers: %q", len(row), len(Headers("method")), row)
		}
	}
}

// testLab is a lab in an empty folder of results, with so few images and steps that it takes seconds.
func testLab(t *testing.T) *Lab {
	t.Setenv("PDQUANT_ROOT", t.TempDir())
	t.Setenv("PDQUANT_NOTEBOOKS", "")
	t.Setenv("PDQUANT_MINUTES", "")
	t.Setenv("PDQUANT_DATA", "")
	l, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	l.Setting = Setting{"test", 8, 40, 2, 2, 1, 1}
	return l
}

// TestResults: what was computed is kept, found again by all that it depends on, and nothing is begun once the time is up.
func TestResults(t *testing.T) {
	l := testLab(t)
	s, err := l.Subject("resnet8")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Config(s, 2, 2)
	if err != nil || c.Rounding.Steps != 2 || c.Correction.Steps != 1 {
		t.Fatalf("settings %+v, error %v", c, err)
	}
	computed := 0
	l.Progress = func(pdq.Event) { computed++ }
	first, err := l.Results(t.Context(), s, pdq.Method{Name: "a", Config: c.Nearest()}, l.Images)
	if err != nil || len(first) != 2 || len(first[1].Test.Top1) != 40 || first[1].Seed != 2 || computed == 0 {
		t.Fatalf("%d results after %d events, error %v", len(first), computed, err)
	}
	computed = 0
	same := c.Nearest()
	same.FineTune.LearningRate /= 2 // it is off
	again, err := l.Results(t.Context(), s, pdq.Method{Name: "another name", Config: same}, l.Images)
	if err != nil || computed != 0 || !reflect.DeepEqual(again[0].Test, first[0].Test) {
		t.Errorf("%d events, error %v", computed, err)
	}
	l.until = time.Now().Add(-time.Second)
	if rs, err := l.Results(t.Context(), s, pdq.Method{Config: c.MSEOnly()}, l.Images); err != nil || rs != nil {
		t.Errorf("after the time %v, error %v", rs, err)
	}
	if rs, err := l.Results(t.Context(), s, pdq.Method{Config: c.Nearest()}, l.Images); err != nil || len(rs) != 2 {
		t.Errorf("after the time %d of what is kept, error %v", len(rs), err)
	}
	files, err := filepath.Glob(l.folder.Path("*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %q, error %v", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Results(t.Context(), s, pdq.Method{Config: c.Nearest()}, l.Images); err == nil || !strings.Contains(err.Error(), filepath.Base(files[0])) && !strings.Contains(err.Error(), filepath.Base(files[1])) {
		t.Errorf("a broken file: %v", err)
	}
}

// TestUntuned: methods that only fine-tune otherwise take the units once, and come to what they would have come to alone.
func TestUntuned(t *testing.T) {
	l := testLab(t)
	s, err := l.Subject("resnet8")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Config(s, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	c = c.MSEOnly()
	steps := map[pdq.Step]int{}
	l.Progress = func(e pdq.Event) { steps[e.Step]++ }
	for i, rate := range []float64{0.02, 0.01} {
		clear(steps)
		c.FineTune.Steps, c.FineTune.LearningRate = 2, rate
		m := pdq.Method{Name: "tuned", Config: c}
		got, err := l.Results(t.Context(), s, m, l.Images)
		if err != nil {
			t.Fatal(err)
		}
		if rounded := steps[pdq.StepRound] > 0; rounded != (i == 0) || steps[pdq.StepFineTune] == 0 {
			t.Errorf("rate %g: events %v", rate, steps)
		}
		cal, err := s.Pool.Calibrate(t.Context(), l.Images, 2)
		if err != nil {
			t.Fatal(err)
		}
		m.Config.Seed = 2
		alone, err := pdq.Run(t.Context(), l.Backend, pdq.Problem{Network: s.Network, Weights: s.Weights, Calibration: cal.Images}, m, s.Test, nil)
		if err != nil || !reflect.DeepEqual(got[1].Test, alone.Test) || !reflect.DeepEqual(got[1].Calibration, alone.Calibration) {
			t.Errorf("rate %g: after kept units the test is %v, alone %v, error %v", rate, got[1].Test, alone.Test, err)
		}
	}
	clear(steps)
	c.FineTune.Steps = 0
	if rs, err := l.Results(t.Context(), s, pdq.Method{Config: c}, l.Images); err != nil || len(rs) != 2 || len(steps) != 0 {
		t.Errorf("without fine-tuning %d results, events %v, error %v", len(rs), steps, err)
	}
	students, err := filepath.Glob(l.folder.Path("*.safetensors"))
	if err != nil || len(students) != 6 {
		t.Fatalf("students %q, error %v", students, err)
	}
	for _, f := range students { // as results of before, that were kept without
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	c.FineTune.Steps = 1
	if rs, err := l.Results(t.Context(), s, pdq.Method{Config: c}, l.Images); err != nil || len(rs) != 2 || steps[pdq.StepRound] == 0 {
		t.Errorf("without kept students %d results, events %v, error %v", len(rs), steps, err)
	}
}

// TestInterrupted: what ended early goes on where it was, be it in its units or in its fine-tuning, and comes to what it would
// have come to without; in the end no state is left.
func TestInterrupted(t *testing.T) {
	l := testLab(t)
	l.Seeds = 1
	s, err := l.Subject("resnet8")
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Config(s, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	tuned := pdq.Method{Name: "tuned", Config: c.MSEOnly()}
	tuned.Config.FineTune.Steps = 2
	untuned := pdq.Method{Name: "untuned", Config: c.MSEOnly()}
	untuned.Config.FineTune.LearningRate /= 2 // it is off: another run of the same units goes on all the same
	taken := map[string]int{}                 // steps, by unit; "": of fine-tuning
	run := func(m pdq.Method, until string) ([]Result, error) {
		clear(taken)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l.Progress = func(e pdq.Event) {
			if e.Step != pdq.StepRound && e.Step != pdq.StepFineTune {
				return
			}
			if taken[e.Unit]++; e.Unit == until && e.Done == 1 {
				cancel()
			}
		}
		return l.Results(ctx, s, m, l.Images)
	}
	want, err := run(tuned, "never")
	if err != nil {
		t.Fatal(err)
	}
	l.folder = experiment.Folder(t.TempDir())
	for _, x := range []struct {
		m     pdq.Method
		until string
		taken map[string]int // of two steps a unit
	}{
		{untuned, "layer1.0", map[string]int{"conv1": 2, "layer1.0": 1}},
		{tuned, "fc", map[string]int{"layer1.0": 1, "layer2.0": 2, "layer3.0": 2, "fc": 1}},
		{tuned, "", map[string]int{"fc": 1, "": 1}},
	} {
		if _, err := run(x.m, x.until); !errors.Is(err, context.Canceled) || !reflect.DeepEqual(taken, x.taken) {
			t.Errorf("%s until %q: steps %v, want %v, error %v", x.m.Name, x.until, taken, x.taken, err)
		}
	}
	got, err := run(tuned, "never")
	if err != nil || !reflect.DeepEqual(taken, map[string]int{"": 1}) {
		t.Fatalf("at last steps %v, error %v", taken, err)
	}
	if !reflect.DeepEqual(got[0].Test, want[0].Test) || !reflect.DeepEqual(got[0].Calibration, want[0].Calibration) || !reflect.DeepEqual(got[0].PD, want[0].PD) {
		t.Error("another result than without interruptions")
	}
	if left, err := filepath.Glob(l.folder.Path("*.state*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, error %v", left, err)
	}
}

// TestKept: of a damaged state the one before it serves, then the beginning; one of other settings is an error that says what to do.
func TestKept(t *testing.T) {
	l := testLab(t)
	s, err := l.Subject("resnet8")
	if err != nil {
		t.Fatal(err)
	}
	quantizer := func(w int) *pdq.Quantizer {
		c, err := l.Config(s, w, 2)
		if err != nil {
			t.Fatal(err)
		}
		cal, err := s.Pool.Calibrate(t.Context(), l.Images, 1)
		if err != nil {
			t.Fatal(err)
		}
		q, err := pdq.New(l.Backend, pdq.Problem{Network: s.Network, Weights: s.Weights, Calibration: cal.Images}, c)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	const state = "a.state"
	q := quantizer(2)
	check := func(what string, elapsed time.Duration, none bool) {
		t.Helper()
		from, err := l.kept(q, state)
		if from.Elapsed != elapsed || errors.Is(err, fs.ErrNotExist) != none || err != nil && !none {
			t.Errorf("%s: after %v, error %v", what, from.Elapsed, err)
		}
	}
	damage := func(name string) {
		if err := os.WriteFile(l.folder.Path(name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check("no file", 0, true)
	for elapsed := range time.Duration(2) {
		if err := l.keep(q, state, pdq.State{Elapsed: elapsed + 1}); err != nil {
			t.Fatal(err)
		}
	}
	check("whole", 2, false)
	if _, err := l.kept(quantizer(4), state); err == nil || !strings.Contains(err.Error(), l.folder.Path(state)+": ") || !strings.HasSuffix(err.Error(), "; remove the file") {
		t.Errorf("of other settings: %v", err)
	}
	damage(state)
	check("damaged", 1, false)
	damage(experiment.Previous(state))
	check("both damaged", 0, true)
	if err := l.folder.RemoveState(state); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(l.folder.Path("*")); err != nil || len(left) > 0 {
		t.Errorf("%q are left, error %v", left, err)
	}
}

// TestMissing: a network that can't be computed here says what is missing and where to get it.
func TestMissing(t *testing.T) {
	l := testLab(t)
	for name, want := range map[string]string{"resnet18": "image-net.org", "resnet20-cifar10": "download cifar10"} {
		if _, err := l.Subject(name); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Subject("resnet9"); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("a network that isn't known: %v", err)
	}
}

func TestSettings(t *testing.T) {
	for name, want := range map[string]string{"": "quick", "full": "full"} {
		if s, err := settingOf(name); err != nil || s.Name != want {
			t.Errorf("%q: %v, error %v", name, s, err)
		}
	}
	t.Setenv("PDQUANT_NOTEBOOKS", "fast")
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), "quick, desk, full") {
		t.Errorf("an unknown setting: %v", err)
	}
	t.Setenv("PDQUANT_NOTEBOOKS", "quick")
	t.Setenv("PDQUANT_MINUTES", "soon")
	if _, err := Open(); err == nil {
		t.Error("soon is a number of minutes")
	}
	quick, desk := Settings()[0], Settings()[1]
	if len(Few(quick, 1, 2, 3)) != 1 || len(Few(desk, 1, 2, 3)) != 3 {
		t.Error("quick takes more than one, or desk fewer")
	}
}

func TestRoot(t *testing.T) {
	t.Setenv("PDQUANT_ROOT", "")
	for folder, want := range map[string]string{"../..": ".", "..": ".."} { // the repository, and its notebooks
		t.Run(want, func(t *testing.T) {
			t.Chdir(folder)
			if got := root(); got != want {
				t.Errorf("root is %q, want %q", got, want)
			}
		})
	}
}
