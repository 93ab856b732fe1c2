package experiment

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
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
	if units := newForecast(alone); tuning.sum().total <= units.sum().total {
		t.Errorf("best is %g of work, MSE only %g", tuning.sum().total, units.sum().total)
	}
	alone.Methods = g.Methods[:3]
	if more := f.sum().total - newForecast(alone).sum().total; more <= 0 || more >= 0.9*tuning.sum().total {
		t.Errorf("best adds %g of work behind MSE only, alone it is %g", more, tuning.sum().total)
	}
	var clock fakeClock
	f.now, f.last = clock.now, clock.now()
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
			clock.seconds += 10
			f.event(c, config, pdq.Event{Step: pdq.StepRound, Unit: u.Name, Done: 1, Total: 1})
			if done := f.sum().done; done < before {
				t.Errorf("%v, %s: %g done after %g", c, u.Name, done, before)
			} else {
				before = done
			}
		}
	}
	best, _, err := g.Config(cells[4])
	if err != nil {
		t.Fatal(err)
	}
	f.event(cells[4], best, pdq.Event{Step: pdq.StepFineTune, Done: 0, Total: 300})
	if share := f.work[f.current] / f.sum().total; share <= 0.1 || share >= 0.9 {
		t.Errorf("fine-tuning is %.2f of the work", share)
	}
	if left := f.left(); left <= 0 {
		t.Errorf("before fine-tuning %v", left)
	}
	whole := f.sum()
	f.skipCell(cells[4], best)
	if now := f.sum(); now.total >= whole.total || now.done != whole.done {
		t.Errorf("a cell that needs no computing counts: %g of %g", now.done, now.total)
	}
}

// fakeClock is a clock that a test moves.
type fakeClock struct{ seconds float64 }

func (c *fakeClock) now() time.Time { return time.Unix(0, int64(c.seconds*1e9)) }

// liteSteps are the seconds of a step of PD on 32 images in the units of EfficientNet-Lite0 at 224x224 pixels, and
// liteCorrections those of 50 steps of correction on 500 images, measured on two cores with AVX-512, with ONNX Runtime
// 1.30.0.
func liteSteps() []float64 {
	return []float64{0.67, 0.74, 1.03, 0.72, 0.60, 0.55, 0.36, 0.34, 0.32, 0.37, 0.43, 0.42, 0.25, 0.21, 0.21, 0.155,
		0.156, 0.07, 0.037}
}

func liteCorrections() []float64 {
	return []float64{44.9, 66.6, 153.1, 82.2, 71.4, 31.4, 28.8, 20.4, 18.8, 24, 34.6, 36.2, 29, 21.2, 21.4, 22.5, 24, 10.5,
		0}
}

// TestForecastOfLite: after the first unit, and in a run that goes on within a unit, the time left is right within
// 20 %, though units differ much. Only the measured steps of rounding and correction take time here.
func TestForecastOfLite(t *testing.T) {
	n, err := arch.Design("efficientnet-lite0", arch.SquareInput(3, 224, 1000))
	if err != nil {
		t.Fatal(err)
	}
	g := tinyGrid(t, "pd-quant")
	g.Settings = nil
	g.Images, g.Bits = 500, []Width{{4, 4}}
	g.Subjects[0].Design, g.Subjects[0].Network = "efficientnet-lite0", n
	full, cell := g.Cells()[0], g.Cells()[1]
	config, _, err := g.Config(cell)
	if err != nil {
		t.Fatal(err)
	}
	for _, begin := range []struct{ unit, steps int }{{0, 0}, {5, 100}} {
		var clock fakeClock
		f := newForecast(g)
		f.now, f.last = clock.now, clock.now()
		f.skipCell(full, pdq.Config{})
		f.skipUnits(cell, config, begin.unit)
		type moment struct {
			unit     string
			at, left float64
		}
		var moments []moment
		for u, unit := range n.Units {
			tell := func(step pdq.Step, seconds float64, done, total int) {
				clock.seconds += seconds
				f.event(cell, config, pdq.Event{Step: step, Unit: unit.Name, Done: done, Total: total})
			}
			tell(pdq.StepObserve, 0, 1, 1)
			if u < begin.unit {
				continue
			}
			if seconds := liteCorrections()[u]; seconds > 0 {
				tell(pdq.StepCorrect, seconds, 800, 800)
			}
			first := 0
			if u == begin.unit {
				first = begin.steps
			}
			if first == 0 {
				tell(pdq.StepActivationScales, 0, 1, 1)
			}
			for k := first; k < config.Rounding.Steps; k++ {
				tell(pdq.StepRound, liteSteps()[u], k+1, config.Rounding.Steps)
			}
			moments = append(moments, moment{unit.Name, clock.seconds, f.left().Seconds()})
		}
		for _, m := range moments[:8] {
			if ratio := m.left / (clock.seconds - m.at); ratio < 0.8 || ratio > 1.2 {
				t.Errorf("begun in unit %d, after %s: %.0f s left, in truth %.0f", begin.unit, m.unit, m.left, clock.seconds-m.at)
			}
		}
	}
}

// TestSkipLabelled: what the table has takes no time, also behind what it doesn't have.
func TestSkipLabelled(t *testing.T) {
	g := tinyGrid(t, "mse; pd-quant")
	r := &gridRun{Grid: g, forecast: newForecast(g)}
	last, config, err := r.labelled(g.Cells()[2], g.Images)
	if err != nil {
		t.Fatal(err)
	}
	r.table = []Result{last}
	whole := r.forecast.sum().total
	r.skipLabelled()
	alone := newForecast(g)
	alone.skipCell(g.Cells()[2], config)
	if left := r.forecast.sum().total; left >= whole || left != alone.sum().total {
		t.Errorf("%g of work, with a result in the table %g, want %g", whole, left, alone.sum().total)
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
	// The last unit has no normalisation to correct by.
	if all := f.sum(); math.Abs(all.done-all.total) > 1e-3*all.total {
		t.Errorf("%g of %g is done at the end", all.done, all.total)
	}
}
