// Package lab computes what the notebooks compare: methods, each with several seeds. Every result is kept in
// a file, and so is how far the one under way has come, so that a run which ended early goes on where it stopped, and a
// cell shows what an earlier one computed without computing it again.
//
//	l, err := lab.Open()
//	subject, err := l.Subject("resnet8")
//	config, err := l.Config(subject, 2, 2)
//	results, err := l.Results(ctx, subject, pdq.Method{Name: "PD-Quant", Config: config}, l.Images)
//	fmt.Println(lab.Top1(results), lab.Against(results, others))
//
// Results are found again by all that they depend on (experiment.Record), but not by the version of this repository:
// remove the folder after a change of the algorithm.
package lab

import (
	"fmt"
	"os"
	"strings"
)

// Setting says how much is computed.
type Setting struct {
	Name       string
	Images     int // to calibrate on
	Tests      int // images to test on; 0: all
	Seeds      int // each draws its own calibration images, batches and what drops out
	Steps      int // of rounding per unit
	Correction int // steps per unit, at most
	FineTune   int // steps over the whole network, where that is on
}

// Settings lists what PDQUANT_NOTEBOOKS may name: a check that all of it runs, what two cores compute in an hour or two,
// and the paper's numbers, for days.
func Settings() []Setting {
	return []Setting{{"quick", 32, 500, 1, 10, 5, 5}, {"desk", 128, 2000, 3, 100, 50, 300}, {"full", 1024, 0, 5, 20000, 500, 2000}}
}

// settingOf returns the setting called name; "": the first one.
func settingOf(name string) (Setting, error) {
	var names []string
	for _, s := range Settings() {
		if s.Name == name || name == "" {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Setting{}, fmt.Errorf("lab: PDQUANT_NOTEBOOKS=%s; choose one of %s", name, strings.Join(names, ", "))
}

// String tells all numbers.
func (s Setting) String() string {
	tests := "all test images"
	if s.Tests > 0 {
		tests = fmt.Sprintf("%d test images", s.Tests)
	}
	seeds := "seed 1"
	if s.Seeds > 1 {
		seeds = fmt.Sprintf("seeds 1 to %d", s.Seeds)
	}
	return fmt.Sprintf("setting %s: %d calibration images, %s, %s, %d rounding steps and at most %d correction steps a unit, %d steps of fine-tuning where it is on", s.Name, s.Images, tests, seeds, s.Steps, s.Correction, s.FineTune)
}

// Few returns the values, in quick only the first of them.
func Few[T any](s Setting, values ...T) []T {
	if s.Name == Settings()[0].Name {
		return values[:1]
	}
	return values
}

// root is the repository's folder: PDQUANT_ROOT, or the one a command is started in, or the one above the notebooks.
func root() string {
	if dir := os.Getenv("PDQUANT_ROOT"); dir != "" {
		return dir
	}
	if _, err := os.Stat("go.mod"); err == nil {
		return "."
	}
	return ".."
}
