package experiment

import (
	"context"
	"errors"
	"reflect"
	"testing"

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
	g, f := givenGrid(t, "best FineTune.Steps=1; pd-quant", 1, 2, 5), Folder(t.TempDir())
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
		if n != 2*3 || corrected[unit] > 1 || len(corrected) == 0 {
			t.Errorf("%s: %d roundings, want 6; %d corrections, want 1", unit, n, corrected[unit])
		}
	}
	g.Step = nil
	for i, seed := range g.Seeds {
		alone := g
		alone.Seeds = []uint64{seed}
		for k, want := range run(t, alone, Folder(t.TempDir()))[1:] {
			got := results[1+3*k+i]
			if got.Hash != want.Hash || !reflect.DeepEqual(got.Right, want.Right) || !reflect.DeepEqual(got.EachPD, want.EachPD) {
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
