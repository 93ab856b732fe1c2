package experiment

import (
	"strings"
	"testing"
	"time"
)

// testNotebook has nothing of this machine's environment.
func testNotebook(t *testing.T) *Notebook {
	t.Setenv("PDQUANT_ROOT", t.TempDir())
	for _, name := range []string{"PDQUANT_NOTEBOOKS", "PDQUANT_MINUTES", "PDQUANT_DATA"} {
		t.Setenv(name, "")
	}
	n, err := OpenNotebook()
	if err != nil {
		t.Fatal(err)
	}
	n.Effort = Effort{"test", 8, 40, 2, 2, 1, 1}
	return n
}

// TestNotebook: results are kept whatever their name, and once the time is up nothing new is begun.
func TestNotebook(t *testing.T) {
	n := testNotebook(t)
	s, err := n.Subject("resnet8")
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Config(s, 2, 2)
	if err != nil || c.Rounding.Steps != 2 || c.Correction.Steps != 1 {
		t.Fatalf("settings %+v, error %v", c, err)
	}
	first, err := n.Results(t.Context(), s, Fixed{"a", c.Nearest()}, n.Images)
	if err != nil || len(first) != 2 || first[0].Test.N != 40 || first[1].Seed != 2 {
		t.Fatalf("%+v, error %v", first, err)
	}
	n.Until = time.Now().Add(-time.Second)
	same := c.Nearest()
	same.FineTune.LearningRate /= 2 // it is off
	again, err := n.Results(t.Context(), s, Fixed{"another name", same}, n.Images)
	if err != nil || len(again) != 2 || again[0].Method != "another name" || again[1].Test != first[1].Test {
		t.Errorf("%+v, error %v", again, err)
	}
	if rs, err := n.Results(t.Context(), s, Fixed{"b", c.MSEOnly()}, n.Images); err != nil || len(rs) != 0 {
		t.Errorf("after the time %+v, error %v", rs, err)
	}
}

func TestEfforts(t *testing.T) {
	for name, want := range map[string]string{"": "quick", "full": "full"} {
		if e, err := FindEffort(name); err != nil || e.Name != want {
			t.Errorf("%q: %v, error %v", name, e, err)
		}
	}
	t.Setenv("PDQUANT_NOTEBOOKS", "fast")
	if _, err := OpenNotebook(); err == nil || !strings.Contains(err.Error(), "quick, desk, full") {
		t.Errorf("an unknown effort: %v", err)
	}
	t.Setenv("PDQUANT_NOTEBOOKS", "quick")
	t.Setenv("PDQUANT_MINUTES", "soon")
	if _, err := OpenNotebook(); err == nil {
		t.Error("soon is a number of minutes")
	}
	quick, desk := Efforts()[0], Efforts()[1]
	if len(Few(quick, 1, 2, 3)) != 1 || len(Few(desk, 1, 2, 3)) != 3 {
		t.Error("quick takes more than one, or desk fewer")
	}
}

func TestRepository(t *testing.T) {
	t.Setenv("PDQUANT_ROOT", "")
	for folder, want := range map[string]string{"../..": ".", "../../notebooks": ".."} {
		t.Run(want, func(t *testing.T) {
			t.Chdir(folder)
			if got := repository(); got != want {
				t.Errorf("the repository is %q, want %q", got, want)
			}
		})
	}
}
