package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/charmbracelet/lipgloss/table"

	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// published is a result of the published code: ResNet-20 on CIFAR-10 at W2A2, with 1,024 calibration images and 1,000
// steps on each unit. (testdata/golden/baseline.tsv: one seed, 1,017 test images, PyTorch 1.13, 2 threads)
type published struct {
	loss          string
	top1, seconds float64 // per cent; on a machine whose PyTorch took publishedStep for a step of the first block
}

// publishedStep is the milliseconds of the case resnet20-first in PyTorch when the published code was timed: the middle
// of 57 and 66, between which it was on that machine.
const publishedStep = 61.5

func publishedResults() []published {
	return []published{{"squared error", 79.65, 343}, {"prediction difference and correction", 77.29, 1173}}
}

// quickMethods are those that may reach the published code's accuracy in a fraction of its time.
const quickMethods = "mse Rounding.Steps=20; mse Rounding.Steps=50; mse Rounding.Steps=100; mse Rounding.Steps=250; " +
	"best Rounding.Steps=20 FineTune.Steps=50; best Rounding.Steps=20 FineTune.Steps=150; " +
	"best Rounding.Steps=100 FineTune.Steps=500"

// timeToAccuracy computes what the methods reach and in what time, and compares the seconds with the published code's.
func (s settings) timeToAccuracy(ctx context.Context) error {
	if len(s.backends) != 1 {
		return fmt.Errorf("-accuracy on %d backends; name one by -backends=", len(s.backends))
	}
	g, err := s.grid()
	if err != nil {
		return err
	}
	factor, note, err := s.pace(ctx)
	if err != nil {
		return err
	}
	folder, err := experiment.CreateFolder(s.runs)
	if err != nil {
		return err
	}
	g.Finished = func(r experiment.Result) {
		fmt.Printf("%s, seed %d: %.2f ± %.2f %% in %.1f s\n", r.Method, r.Seed, r.Test.Percent(), r.Test.StandardError(),
			r.Seconds)
	}
	results, err := g.Run(ctx, folder)
	if err != nil {
		return err
	}
	fmt.Println(timesTable(experiment.Summarise(results), factor))
	fmt.Printf("%s\nFractions are of the published code's seconds, for means that reach its accuracy. Results: %s\n",
		note, folder.Path(experiment.ResultsFile))
	return nil
}

// grid is the methods on the network, images and bits of the published results.
func (s settings) grid() (g experiment.Grid, err error) {
	subject, err := experiment.Open(experiment.Source{Name: "resnet20-cifar10", Root: s.root,
		Indices: "testdata/cifar10/calibration.txt"})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, experiment.ErrMissing) {
		return g, fmt.Errorf("%w; -root= names the folder with cifar10/", err)
	}
	if err != nil {
		return g, err
	}
	g = experiment.Grid{Subjects: []experiment.Subject{subject}, Bits: []experiment.Width{{W: 2, A: 2}}, Images: 1024,
		Seeds: experiment.Seeds(s.seeds), Preset: "quick", Command: "go run ./internal/bench -accuracy"}
	g.Settings, err = experiment.ParseSettings("Rounding.LearningRate=0.075 Rounding.ScaleLearningRate=0.001")
	if err == nil {
		g.Methods, err = experiment.ParseMethods(quickMethods)
	}
	if err == nil {
		g.Backend, g.Note, err = backend.Open(s.backends[0])
	}
	return g, err
}

// pace measures by which factor PyTorch's step takes longer here than when the published code was timed.
func (s settings) pace(ctx context.Context) (factor float64, note string, err error) {
	if s.python == "" {
		return 1, "PyTorch wasn't measured, so the published code's seconds are those of another machine.", nil
	}
	s.compile = false // only PyTorch's plain step is asked for
	r, err := s.measure(ctx, s.backends[0], cases()[0])
	if err != nil || r.torchStep.median == 0 {
		return 1, "PyTorch couldn't be measured.", err
	}
	factor = r.torchStep.median / publishedStep
	return factor, fmt.Sprintf("The published code's seconds are times %.2f: PyTorch (%s) takes %.1f ms for the first "+
		"block's step here, and took %g then.", factor, r.torch, r.torchStep.median, publishedStep), nil
}

// timesTable has a row for each method, and a column for each published result.
func timesTable(all []experiment.Summary, factor float64) string {
	t := table.New()
	headers := []string{"method", "top-1 %", "seeds", "seconds"}
	for _, p := range publishedResults() {
		headers = append(headers, fmt.Sprintf("%s: %.2f %%, %.0f s", p.loss, p.top1, p.seconds*factor))
	}
	t.Headers(headers...)
	for _, s := range all {
		top1, seconds := experiment.Top1(s.Results), experiment.Seconds(s.Results)
		cells := []string{s.Method, top1.String(), strconv.Itoa(len(s.Results)), fmt.Sprintf("%.1f", seconds.Mean)}
		for _, p := range publishedResults() {
			cells = append(cells, p.fraction(top1.Mean, seconds.Mean, factor, s.Method))
		}
		t.Row(cells...)
	}
	return t.String()
}

// fraction is that of the published code's seconds which a method took, or "-" if it has a lower accuracy.
func (p published) fraction(top1, seconds, factor float64, method string) string {
	if top1 < p.top1 || method == experiment.FullPrecision {
		return "-"
	}
	return fmt.Sprintf("%.3f", seconds/(p.seconds*factor))
}
