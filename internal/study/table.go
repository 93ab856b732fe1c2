package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"

	"github.com/pdquant/pdquant/notebooks/lab"
)

// line is what a setting gave on a network with some bits, beside what the study's first setting did there.
type line struct {
	network       string
	bits          [2]int
	setting       string
	results, base []lab.Result
}

// tsv is a table with a row for each seed. The differences are to the study's first setting, and their standard errors over images.
func tsv(lines []line, backend string, tested string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = '\t'
	_ = w.Write(strings.Fields("network w a settings seed top1_percent standard_error difference difference_error test_images tested calibration_top1_percent calibration_images seconds backend threads")) // a builder takes all
	for _, x := range lines {
		for i, r := range x.results {
			acc, se := r.Test.Accuracy()
			cal, _ := r.Calibration.Accuracy()
			d, dse := math.NaN(), math.NaN()
			if i < len(x.base) {
				d, dse = r.Test.Minus(x.base[i].Test)
			}
			_ = w.Write([]string{x.network, fmt.Sprint(x.bits[0]), fmt.Sprint(x.bits[1]), x.setting, fmt.Sprint(r.Seed), points(acc), points(se), points(d), points(dse),
				fmt.Sprint(len(r.Test.Top1)), tested, points(cal), fmt.Sprint(len(r.Calibration.Top1)), fmt.Sprintf("%.0f", r.Seconds), backend, fmt.Sprint(r.Record.Threads)})
		}
	}
	w.Flush()
	return b.String()
}

// tested says what a study's test images are.
func (s study) tested() string {
	switch {
	case s.hard:
		return "distorted held-out training images"
	case s.held > 0:
		return "held-out training images"
	}
	return "test images"
}

func points(fraction float64) string { return fmt.Sprintf("%.2f", 100*fraction) }

// summary is a table of means.
func summary(lines []line, tested string) string {
	t := table.New().Border(lipgloss.NormalBorder()).Headers(append([]string{"network", "bits"}, lab.Headers("settings")...)...).
		StyleFunc(func(_, _ int) lipgloss.Style { return lipgloss.NewStyle().Padding(0, 1) })
	for _, x := range lines {
		t.Row(append([]string{x.network, fmt.Sprintf("W%dA%d", x.bits[0], x.bits[1])}, lab.Row(x.setting, x.results, x.base)...)...)
	}
	return t.Render() + "\nTested on " + tested + ". Mean ± standard deviation over seeds; differences are to the first settings, seed by seed, ± the standard error of their mean."
}
