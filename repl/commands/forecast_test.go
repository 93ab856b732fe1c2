package commands

import (
	"testing"
	"time"

	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
)

// TestForecast: best's units are those of MSE only, and count once; what is left follows from what is done.
func TestForecast(t *testing.T) {
	n, err := arch.Design("resnet8", arch.Input{Channels: 1, Height: 28, Width: 28, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pdq.Glance("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	methods := withBest(c, 300)
	if k := startsFrom(methods[3], methods); k != 1 || methods[k].Name != "MSE only" {
		t.Errorf("best starts from method %d", k)
	}
	f := newForecast(n, 128, 5000, methods)
	if left := f.left(); left != "" {
		t.Errorf("at the beginning %q", left)
	}
	var before float64
	for _, m := range methods {
		for _, u := range n.Units {
			f.event(m.Name, pdq.Event{Step: pdq.StepRound, Unit: u.Name, Done: 1, Total: 1})
			if done := f.done + f.share*f.work[f.current]; done < before {
				t.Errorf("%s, %s: %g done after %g", m.Name, u.Name, done, before)
			} else {
				before = done
			}
		}
	}
	f.event("best", pdq.Event{Step: pdq.StepFineTune, Done: 0, Total: 300})
	tuning := f.work[f.current]
	if share := 1 - tuning/f.total; share <= 0.1 || share >= 0.9 {
		t.Errorf("the units are %.2f of the work", share)
	}
	f.began = time.Now().Add(-time.Minute)
	if left := f.left(); left == "" {
		t.Error("no forecast before fine-tuning")
	}
	f.event("best", pdq.Event{Step: pdq.StepFineTune, Done: 300, Total: 300})
	whole := f.total
	f.skip("MSE only", n.Units, pdq.State{Unit: len(n.Units)})
	if f.total >= whole {
		t.Error("units that need no computing count")
	}
}
