package pdq

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
)

// planned returns a folded network and its plan by the reference's rule at W2A4.
func planned(t *testing.T) (*models.Network, Bits, Plan) {
	t.Helper()
	p := tinyProblem(t, 1)
	n, _, err := models.Fold(p.Network, p.Weights)
	if err != nil {
		t.Fatal(err)
	}
	b := Bits{W: 2, A: 4, Rule: QDrop}
	plan, err := b.Plan(n)
	if err != nil {
		t.Fatal(err)
	}
	return n, b, plan
}

// TestPlanFiles: a plan that was written as TSV or JSON is the same when read.
func TestPlanFiles(t *testing.T) {
	_, _, plan := planned(t)
	var tsv strings.Builder
	if err := plan.WriteTSV(&tsv); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{tsv.String(), strings.ReplaceAll(tsv.String(), "\n", "\r\n"), string(text)} {
		got, err := ReadPlan(strings.NewReader(file))
		if err != nil || !slices.Equal(got, plan) {
			t.Errorf("%v, error %v, of %q", got, err, file)
		}
	}
	for file, want := range map[string]string{
		"":                              "line 1",
		"conv1\t2\t\n":                  "line 1",
		planHeader + "\nconv1\t9\t":     "9 bits",
		planHeader + "\nconv1\t2":       "line 2",
		planHeader + "\na\t2\t\na\t2\t": "twice",
		"[{]":                           "invalid",
		`[{"Layer":"a","Weight":1}]`:    "1 bits",
	} {
		if _, err := ReadPlan(strings.NewReader(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", file, err, want)
		}
	}
}

// TestPlanExceptions: changes of a plan become exceptions in Bits, which make the same plan again.
func TestPlanExceptions(t *testing.T) {
	n, b, plan := planned(t)
	changed, err := plan.With("layer1.0.conv1.weight", 3)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err = changed.With("relu.output", 0); err != nil {
		t.Fatal(err)
	}
	b, err = b.Following(n, changed)
	if err != nil {
		t.Fatal(err)
	}
	if want := "relu.output=0 layer1.0.conv1.weight=3"; b.Except != want {
		t.Errorf("exceptions %q, want %q", b.Except, want)
	}
	if again, err := b.Plan(n); err != nil || !slices.Equal(again, changed) {
		t.Errorf("plan %v, want %v, error %v", again, changed, err)
	}
	for text, want := range map[string]string{
		"conv1":               "LAYER.weight=BITS",
		"conv1.weight=two":    "LAYER.weight=BITS",
		"conv1.bias=2":        "LAYER.weight=BITS",
		"conv1.weight=1":      "choose 2 to 8",
		"conv9.weight=4":      "choose one of conv1.weight",
		"layer1.0.add.output": "LAYER.weight=BITS",
	} {
		if _, err := (Bits{W: 2, A: 4, Except: text}).Plan(n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
	if _, err := b.Following(n, Plan{{Layer: "bn1", Weight: 2}}); err == nil ||
		!strings.Contains(err.Error(), "bn1.weight") {
		t.Errorf("a plan for another network: error %v", err)
	}
}

// TestPlanSteps: all steps follow the plan, and tensors without widths stay in full precision.
func TestPlanSteps(t *testing.T) {
	c := tinyConfig(t)
	c.Bits.Except = "layer1.0.conv1.weight=3 layer1.0.relu1.output=0"
	s := quantize(t, anyBackend(t), tinyProblem(t, 8), c)
	if got := s.Weights["layer1.0.conv1"].Bits; got != 3 {
		t.Errorf("layer1.0.conv1 has %d bits", got)
	}
	if a, ok := s.Acts["layer1.0.relu1"]; ok {
		t.Errorf("layer1.0.relu1 is quantised to %d bits", a.Bits)
	}
}
