package experiment

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// Effort is how much a notebook computes.
type Effort struct {
	Name       string
	Images     int // to calibrate on
	Tests      int // images to test on; 0: all
	Seeds      int // 1 to this number
	Steps      int // of rounding per unit
	Correction int // steps per unit, at most
	FineTune   int // steps over the whole network, in methods that fine-tune
}

// Efforts lists them: quick only checks that all of it runs, desk takes two cores hours, full is the paper's and
// takes days.
func Efforts() []Effort {
	return []Effort{{"quick", 32, 500, 1, 10, 5, 5}, {"desk", 128, 2000, 3, 100, 50, 300},
		{"full", 1024, 0, 5, 20000, 500, 2000}}
}

// FindEffort returns the effort called name; "": the first. The error lists the names.
func FindEffort(name string) (Effort, error) {
	var names []string
	for _, e := range Efforts() {
		if e.Name == name || name == "" {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Effort{}, fmt.Errorf("experiment: no effort %q; choose one of %s", name, strings.Join(names, ", "))
}

// String says what the effort is.
func (e Effort) String() string {
	tests := "all test images"
	if e.Tests > 0 {
		tests = fmt.Sprintf("%d test images", e.Tests)
	}
	seeds := "seed 1"
	if e.Seeds > 1 {
		seeds = fmt.Sprintf("seeds 1 to %d", e.Seeds)
	}
	return fmt.Sprintf("setting %s: %d calibration images, %s, %s, %d rounding steps and at most %d correction "+
		"steps a unit, %d steps of fine-tuning where it is on", e.Name, e.Images, tests, seeds, e.Steps, e.Correction,
		e.FineTune)
}

// Few returns the first of the values at the least effort, else all of them.
func Few[T any](e Effort, values ...T) []T {
	if e.Name == Efforts()[0].Name {
		return values[:1]
	}
	return values
}

// Notebook computes results for a notebook, which keeps them in runs/notebooks/results: a cell that is run again
// shows them at once.
type Notebook struct {
	Effort
	Backend compute.Backend
	Note    string            // which backend computes
	Step    func(e pdq.Event) // sees every step; nil: silent
	Until   time.Time         // when to begin nothing new; zero: no limit

	root   string // folder of data sets and checkpoints
	folder Folder
}

// OpenNotebook opens the backend and the folder of results. The environment says how much is computed:
// PDQUANT_NOTEBOOKS names an Effort, PDQUANT_MINUTES after how many minutes nothing new is begun, PDQUANT_DATA the
// folder of data sets, PDQUANT_ROOT the repository.
func OpenNotebook() (*Notebook, error) {
	e, err := FindEffort(os.Getenv("PDQUANT_NOTEBOOKS"))
	if err != nil {
		return nil, fmt.Errorf("%w (PDQUANT_NOTEBOOKS)", err)
	}
	n := &Notebook{Effort: e, root: os.Getenv("PDQUANT_DATA")}
	if n.root == "" {
		n.root = filepath.Join(repository(), "data")
	}
	if limit := os.Getenv("PDQUANT_MINUTES"); limit != "" {
		minutes, err := strconv.ParseFloat(limit, 64)
		if err != nil {
			return nil, fmt.Errorf("experiment: PDQUANT_MINUTES=%s is no number", limit)
		}
		n.Until = time.Now().Add(time.Duration(minutes * float64(time.Minute)))
	}
	if n.folder, err = CreateFolder(filepath.Join(repository(), "runs", "notebooks", "results")); err != nil {
		return nil, err
	}
	if n.Backend, n.Note, err = backend.Open("auto"); err != nil {
		return nil, err
	}
	n.Note = backend.WithoutPath(n.Note)
	return n, nil
}

// repository is the folder of this repository, for a program started in it or in its notebooks.
func repository() string {
	if dir := os.Getenv("PDQUANT_ROOT"); dir != "" {
		return dir
	}
	if _, err := os.Stat("go.mod"); err == nil {
		return "."
	}
	return ".."
}

// Subject opens a network of the registry with its images.
func (n *Notebook) Subject(name string) (Subject, error) {
	return Open(Source{Name: name, Root: n.root, Tests: n.Tests})
}

// Config returns PD-Quant's settings: those of the paper at full effort; else fewer steps, at rates raised as much
// as was tried.
func (n *Notebook) Config(s Subject, w, a int) (pdq.Config, error) {
	preset := pdq.Quick
	if n.Name == "full" {
		preset = pdq.Paper
	}
	c, err := preset(s.Design, w, a)
	if fewer := float64(c.Rounding.Steps) / float64(n.Steps); fewer > 1 {
		const most = 2.5 // what was tried
		c.Rounding.LearningRate *= min(fewer, most)
		c.Rounding.ScaleLearningRate *= min(fewer, most)
	}
	c.Rounding.Steps, c.Correction.Steps = n.Steps, n.Correction
	c.Machine.Workers = backend.Workers(n.Backend)
	return c, err
}

// Results returns a result for each seed of a configuration, calibrated on the given number of images: those of
// fewer seeds, or none, once the time is up.
func (n *Notebook) Results(ctx context.Context, s Subject, m Fixed, images int) ([]Result, error) {
	preset := "quick"
	if n.Name == "full" {
		preset = "paper"
	}
	g := Grid{Subjects: []Subject{s}, Bits: []Width{{m.Config.Bits.W, m.Config.Bits.A}},
		Methods: []Method{m.Method()}, Seeds: Seeds(n.Seeds),
		Images: images, Preset: preset, Backend: n.Backend, Note: n.Note, Machine: m.Config.Machine,
		Step: n.step, Until: n.Until}
	results, err := g.Run(ctx, n.folder)
	return Of(results, m.Name), err
}

func (n *Notebook) step(p Progress) {
	if n.Step != nil {
		n.Step(p.Event)
	}
}

// FullPrecision returns the accuracy of the network itself.
func (n *Notebook) FullPrecision(ctx context.Context, s Subject) (Accuracy, error) {
	score, err := pdq.EvaluateTeacher(ctx, n.Backend, backend.Workers(n.Backend), s.Network, s.Weights, s.Test, nil)
	return AccuracyOf(score), err
}

// Fixed is a configuration under a name.
type Fixed struct {
	Name   string
	Config pdq.Config
}

// Method returns the method that f is, whatever the preset. Seed and machine are the grid's.
func (f Fixed) Method() Method {
	return Method{f.Name, func(pdq.Config) (pdq.Config, error) { return f.Config, nil }}
}
