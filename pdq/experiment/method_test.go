package experiment

import (
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
		"":              "no methods",
		"pdq":           `no method "pdq"; choose from nearest, mse, pd, dc, pd-quant, best`,
		"pd steps=3":    `"steps" may be Correction.Steps, Rounding.Steps, FineTune.Steps`,
		"pd Loss.P=1":   `no field "Loss.P"`,
		"pd Loss.PD":    "give a field and its value",
		"pd Loss.PD=no": "give a number",
	} {
		if _, err := ParseMethods(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	if _, err := ParseWidths("2/2,4"); err == nil || !strings.Contains(err.Error(), "as 2/4") {
		t.Errorf("bits: error %v", err)
	}
}
