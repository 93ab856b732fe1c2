package shell

import (
	"slices"
	"testing"
)

func TestClosest(t *testing.T) {
	names := []string{"round", "run", "runs", "resume", "units", "undo", "evaluate", "Rounding.Steps", "Correction.Steps",
		"layer1.0"}
	for word, want := range map[string][]string{
		"rnu": {"run"}, "ruond": {"round"}, "unist": {"units"}, "eval": {"evaluate"},
		"steps":   {"Correction.Steps", "Rounding.Steps"},
		"layer10": {"layer1.0"}, "LAYER1.0": {"layer1.0"}, "quantise": nil, "x": nil, "": nil,
	} {
		if got := closest(word, names); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		n    int
	}{{"", "", 0}, {"a", "", 1}, {"demo", "dmeo", 1}, {"kitten", "sitting", 3}, {"größe", "grösse", 2}} {
		if n := slips(c.a, c.b); n != c.n {
			t.Errorf("%s to %s is %d slips, want %d", c.a, c.b, n, c.n)
		}
	}
}
