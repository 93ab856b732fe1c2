package experiment

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
)

// TestForecast: units that two methods share count once; what is left follows from what is done.
func TestForecast(t *testing.T) {
	g := tinyGrid(t, "nearest; mse; pd-quant; best FineTune.Steps=300")
	g.Settings, g.Preset, g.Images = nil, "glance", 128
	f := newForecast(g)
	alone := g
	alone.Methods = g.Methods[3:]
	tuning := newForecast(alone)
	alone.Methods = g.Methods[1:2]
	if units := newForecast(alone); tuning.total <= units.total {
		t.Errorf("best is %g of work, MSE only %g", tuning.total, units.total)
	}
	alone.Methods = g.Methods[:3]
	if more := f.total - newForecast(alone).total; more <= 0 || more >= 0.9*tuning.total {
		t.Errorf("best adds %g of work behind MSE only, alone it is %g", more, tuning.total)
	}
	if left := f.left(); left >= 0 {
		t.Errorf("at the beginning %v", left)
	}
	before := 0.
	cells := g.Cells()
	for _, c := range cells[1:4] {
		config, _, err := g.Config(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range c.Subject.Network.Units {
			f.event(c, config, pdq.Event{Step: pdq.StepRound, Unit: u.Name, Done: 1, Total: 1})
			if f.done < before {
				t.Errorf("%v, %s: %g done after %g", c, u.Name, f.done, before)
			}
			before = f.done
		}
	}
	best, _, err := g.Config(cells[4])
	if err != nil {
		t.Fatal(err)
	}
	f.event(cells[4], best, pdq.Event{Step: pdq.StepFineTune, Done: 0, Total: 300})
	if share := f.work[f.current] / f.total; share <= 0.1 || share >= 0.9 {
		t.Errorf("fine-tuning is %.2f of the work", share)
	}
	f.began = time.Now().Add(-time.Minute)
	if left := f.left(); left <= 0 {
		t.Errorf("before fine-tuning %v", left)
	}
	whole, done := f.total, f.done
	f.skipCell(cells[4], best)
	if f.total >= whole || f.done != done {
		t.Errorf("a cell that needs no computing counts: %g of %g", f.done, f.total)
	}
}

// TestLeft: as a grid is computed, and gone on with, less and less is left, in the end nothing.
func TestLeft(t *testing.T) {
	for name, g := range map[string]Grid{
		"drawn": tinyGrid(t, "nearest; best FineTune.Steps=2"),
		"given": givenGrid(t, "pd-quant", 1, 2),
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var last Progress
		parts, all := 0, 0
		g.Step = func(p Progress) {
			last = p
			if all++; p.Step == pdq.StepRound && p.Unit == "layer2.0" {
				if parts++; parts == 2 {
					cancel()
				}
			}
		}
		f := Folder(t.TempDir())
		if _, err := g.Run(ctx, f); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: error %v", name, err)
		}
		if last.Left <= 0 || last.Cell.Subject != &g.Subjects[0] {
			t.Errorf("%s: within the run %v left of %v", name, last.Left, last.Cell)
		}
		seen := all
		run(t, g, f)
		if all <= seen || last.Left < 0 || last.Left > time.Second {
			t.Errorf("%s: at the end %v left", name, last.Left)
		}
	}
}

// TestCounted: nearly all work of a grid has events.
func TestCounted(t *testing.T) {
	g := givenGrid(t, "best FineTune.Steps=2; pd-quant", 1, 3)
	r := &gridRun{Grid: g, folder: Folder(t.TempDir()), drawn: map[uint64]datasets.Calibration{}, forecast: newForecast(g)}
	for _, c := range g.Cells() {
		if result, found, err := r.find(t.Context(), c); err != nil || found {
			t.Fatalf("found %t, error %v", found, err)
		} else if _, err := r.compute(t.Context(), c, result); err != nil {
			t.Fatal(err)
		}
	}
	f := r.forecast
	f.reach(f.current, 1)
	if math.Abs(f.done-f.total) > 1e-3*f.total { // the last unit has no normalisation to correct by
		t.Errorf("%g of %g is done at the end", f.done, f.total)
	}
}
