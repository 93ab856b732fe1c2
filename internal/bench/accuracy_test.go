package main

import (
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
)

func TestQuickMethods(t *testing.T) {
	methods, err := experiment.ParseMethods(quickMethods)
	if err != nil {
		t.Fatal(err)
	}
	preset, err := pdq.Quick("resnet20", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range methods {
		c, err := m.Change(preset)
		if err == nil {
			err = c.Validate()
		}
		if err != nil || c.Rounding.Steps > 250 || c.Loss.PD != 0 {
			t.Errorf("%s: %d steps, weight of PD %g, error %v", m.Name, c.Rounding.Steps, c.Loss.PD, err)
		}
	}
}

// TestTimesTable: a mean counts from the published accuracy on, and seconds are compared with those of this machine.
func TestTimesTable(t *testing.T) {
	p := published{"squared error", 80, 100}
	for _, c := range []struct {
		method       string
		top1, factor float64
		want         string
	}{
		{"enough", 80, 1, "0.300"},
		{"enough, on a machine of half the speed", 80, 2, "0.150"},
		{"not enough", 79.99, 1, "-"},
		{experiment.FullPrecision, 91, 1, "-"},
	} {
		if got := p.fraction(c.top1, 30, c.factor, c.method); got != c.want {
			t.Errorf("%s: %s, want %s", c.method, got, c.want)
		}
	}
	r := experiment.Result{Method: "MSE only", Seconds: 34.3, Test: experiment.Accuracy{Right: 80, N: 100}}
	if got := timesTable(experiment.Summarise([]experiment.Result{r}), 1); !strings.Contains(got, "0.100") ||
		!strings.Contains(got, "0.029") {
		t.Errorf("34.3 s of 343 and 1173:\n%s", got)
	}
}
