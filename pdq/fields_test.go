package pdq

import (
	"strings"
	"testing"
)

// TestFields: every field has a comment, and can be read and set by its name.
func TestFields(t *testing.T) {
	fields, err := Fields()
	if err != nil {
		t.Fatal(err)
	}
	if len(fields) < 25 {
		t.Errorf("%d fields", len(fields))
	}
	c, err := Paper("resnet20", 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	var none Config
	for _, f := range fields {
		if f.Meaning == "" {
			t.Errorf("%s has no comment", f.Name)
		}
		text, err := c.Get(f.Name)
		if err != nil {
			t.Fatal(err)
		}
		if none, err = none.Set(f.Name, text); err != nil {
			t.Errorf("%s=%s: %v", f.Name, text, err)
		}
	}
	if none != c {
		t.Errorf("fields set one by one give\n%+v\nwant\n%+v", none, c)
	}
}

func TestSetRefuses(t *testing.T) {
	for field, want := range map[string]string{
		"Rounding.Step=1":        `no field "Rounding.Step"`,
		"Rounding=1":             "is a group of fields",
		"Rounding.Steps=1.5":     "give a whole number",
		"Seed=-1":                "isn't negative",
		"Loss.PD=much":           "give a number",
		"Loss.PD=NaN":            "give a number",
		"Loss.Balanced=half":     "give true or false",
		"Bits.Rule=low":          "choose one of all-low, qdrop, brecq",
		"Scales.Metric.Name=lp":  "no field",
		"Rounding.BetaStart=inf": "give a number",
	} {
		name, value, _ := strings.Cut(field, "=")
		c, err := Quick("resnet20", 2, 2)
		if err != nil {
			t.Fatal(err)
		}
		after, err := c.Set(name, value)
		if err == nil || !strings.Contains(err.Error(), want) || after != c {
			t.Errorf("%s: error %v, want %q", field, err, want)
		}
	}
}
