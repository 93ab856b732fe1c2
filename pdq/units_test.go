package pdq

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/gomlx/compute"
)

// seedRuns returns a run for each seed, and what they were last kept at.
func seedRuns(t *testing.T, b compute.Backend, p Problem, c Config, seeds ...uint64) (runs []*Run, last []State) {
	t.Helper()
	last = make([]State, len(seeds))
	for i, seed := range seeds {
		c.Seed = seed
		q, err := New(b, p, c)
		if err != nil {
			t.Fatal(err)
		}
		keep := func(s State) error { last[i] = s; return nil }
		runs = append(runs, &Run{Quantizer: q, Keeper: Keeper{Every: 500, Keep: keep}})
	}
	return runs, last
}

// TestSeeds: side by side gives what one after the other does, with one correction of each unit.
func TestSeeds(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 20), tinyConfig(t)
		runs, _ := seedRuns(t, b, p, c, 3, 4)
		corrected := map[string]int{}
		for _, r := range runs {
			r.Quantizer.Progress = func(e Event) {
				if e.Step == StepCorrect && e.Done == e.Total {
					corrected[e.Unit]++
				}
			}
		}
		if err := Quantize(t.Context(), runs...); err != nil {
			t.Fatal(err)
		}
		for unit, n := range corrected {
			if n != 1 {
				t.Errorf("%s was corrected %d times", unit, n)
			}
		}
		for i, r := range runs {
			alone, _ := seedRuns(t, b, p, c, []uint64{3, 4}[i])
			if err := Quantize(t.Context(), alone...); err != nil {
				t.Fatal(err)
			}
			if r.Elapsed <= 0 || !reflect.DeepEqual(r.Student, alone[0].Student) {
				t.Errorf("seed %d: side by side and alone differ", r.Quantizer.Config().Seed)
			}
		}
		if len(corrected) == 0 || reflect.DeepEqual(runs[0].Student, runs[1].Student) {
			t.Error("nothing is corrected, or two seeds give the same student")
		}
	})
}

// TestSeedsInterrupted: runs that end within a unit of the second resume, each from its own state.
func TestSeedsInterrupted(t *testing.T) {
	b, p, c := anyBackend(t), tinyProblem(t, 8), tinyConfig(t)
	want, _ := seedRuns(t, b, p, c, 1, 2)
	if err := Quantize(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	runs, last := seedRuns(t, b, p, c, 1, 2)
	runs[1].Quantizer.Progress = func(e Event) {
		if e.Step == StepRound && e.Unit == "layer1.0" && e.Done == 4 {
			cancel()
		}
	}
	if err := Quantize(ctx, runs...); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if last[0].Unit != 2 || last[1].Unit != 1 || last[1].Optimiser.Done != 4 {
		t.Fatalf("kept at units %d and %d, step %d", last[0].Unit, last[1].Unit, last[1].Optimiser.Done)
	}
	again, _ := seedRuns(t, b, p, c, 1, 2)
	for i, r := range again {
		r.State = last[i]
	}
	if err := Quantize(t.Context(), again...); err != nil {
		t.Fatal(err)
	}
	for i := range again {
		if !reflect.DeepEqual(again[i].Student, want[i].Student) {
			t.Errorf("run %d: another student", i)
		}
	}
}

// TestNotOnlySeeds: runs that differ in more than their seeds are refused.
func TestNotOnlySeeds(t *testing.T) {
	b, p, c := anyBackend(t), tinyProblem(t, 8), tinyConfig(t)
	first, _ := seedRuns(t, b, p, c, 1)
	refused := func(want string, other ...*Run) {
		t.Helper()
		if err := Quantize(t.Context(), append(first, other...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	sharper := c
	sharper.Loss.Temperature = 7
	settings, _ := seedRuns(t, b, p, sharper, 2)
	refused("pdq: run 2 beside the first: the configuration is another: the first has Loss.Temperature=", settings...)
	fewer := p
	fewer.Calibration = p.Calibration.Slice(0, 4)
	images, _ := seedRuns(t, b, fewer, c, 2)
	refused("the calibration images are others", images...)
	terms, _ := seedRuns(t, b, p, c, 2)
	terms[0].Quantizer.Terms = terms[0].Quantizer.Terms[:1]
	refused("the loss has other terms", terms...)
	if err := Quantize(t.Context()); err == nil {
		t.Error("no runs are no error")
	}
}
