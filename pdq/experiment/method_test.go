package experiment

import (
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq"
)

func TestMethods(t *testing.T) {
	preset, err := pdq.Quick("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	best, err := pdq.Best("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	set := func(c pdq.Config, pairs ...string) pdq.Config {
		for i := 0; i < len(pairs); i += 2 {
			if c, err = c.Set(pairs[i], pairs[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	for text, want := range map[string]pdq.Config{
		"nearest":                     preset.Nearest(),
		"mse":                         preset.MSEOnly(),
		"pd-quant":                    preset,
		"pd":                          set(preset, "Correction.Steps", "0"),
		"dc":                          set(preset, "Loss.PD", "0"),
		"best":                        best,
		"best FineTune.Steps=300":     set(best, "FineTune.Steps", "300"),
		"pd-quant temperature=1 pd=2": set(preset, "Loss.PD", "2", "Loss.Temperature", "1"),
	} {
		ms, err := ParseMethods(" ; " + text)
		if err != nil || len(ms) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		if c, err := ms[0].Change(preset); err != nil || c != want {
			t.Errorf("%s: differs in %s, error %v", text, c.Differs(want), err)
		}
	}
	for text, want := range map[string]string{
		"pd": "pd, but Loss.PD is 0", "dc": "dc, but Correction.Steps is 0", "pd-quant Loss.PD=2": "Loss.PD is 0",
	} {
		ms, err := ParseMethods(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ms[0].Change(best); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s of preset best: error %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"":              "no methods",
		"pdq":           `no method "pdq"; choose from nearest, mse, pd, dc, pd-quant, best`,
		"pd steps=3":    `"steps" may be Correction.Steps, Rounding.Steps, FineTune.Steps`,
		"pd Loss.P=1":   `no field "Loss.P"`,
		"pd Loss.PD":    "give a field and its value",
		"pd Loss.PD=no": "give a number",
		"mse Bits.W=4":  "Bits.W is no setting of a method", "mse seed=5": "Seed is no setting",
		"mse Machine.Workers=1": "Machine.Workers is no setting",
	} {
		if _, err := ParseMethods(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"2/2,4", "2/2; 4/4", "2/2 4/4", "2/2.5", "2/2/2", ""} {
		if ws, err := ParseWidths(text); err == nil || !strings.Contains(err.Error(), "as 2/4") {
			t.Errorf("bits %q: %v, error %v", text, ws, err)
		}
	}
	if ws, err := ParseWidths("2/2, 4/8"); err != nil || !slices.Equal(ws, []Width{{2, 2}, {4, 8}}) {
		t.Errorf("bits %v, error %v", ws, err)
	}
}

func TestParseSeeds(t *testing.T) {
	for text, want := range map[string][]uint64{
		"1": {1}, "3": {1, 2, 3}, "2,5": {2, 5}, "7..7": {7}, "0,4..6, 9": {0, 4, 5, 6, 9},
		"": nil, "0": nil, "1001": nil, "-1": nil, "5,": nil, "3..2": nil, "0..1000": nil, "a": nil, "1..2,2": nil,
		"18446744073709551615..18446744073709551615": {1<<64 - 1},
	} {
		got, err := ParseSeeds(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, error %v; want %v", text, got, err, want)
		}
	}
}
