package main

import (
	"encoding/csv"
	"fmt"
	"math"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
	"gonum.org/v1/gonum/stat"

	"github.com/pdquant/pdquant/notebooks/lab"
)

// line is what a setting gave on a network with some bits, beside what the study's first setting did there.
type line struct {
	network       string
	bits          [2]int
	setting, all  string
	results, base []lab.Result
}

// tsv is a table with a row for each seed. The differences are to the study's first setting, and their standard errors over images.
func tsv(lines []line, backend string, tested string) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = '\t'
	_ = w.Write(strings.Fields("network w a settings all seed top1_percent standard_error difference difference_error prediction_difference prediction_change prediction_change_error test_images tested calibration_top1_percent calibration_images seconds backend threads")) // a builder takes all
	for _, x := range lines {
		for i, r := range x.results {
			acc, se := r.Test.Accuracy()
			cal, _ := r.Calibration.Accuracy()
			d, dse := math.NaN(), math.NaN()
			if i < len(x.base) {
				d, dse = r.Test.Minus(x.base[i].Test)
			}
			pd, change, changeError := predictions(r, x.base, i)
			_ = w.Write([]string{x.network, fmt.Sprint(x.bits[0]), fmt.Sprint(x.bits[1]), x.setting, x.all, fmt.Sprint(r.Seed), points(acc), points(se), points(d), points(dse), pd, change, changeError,
				fmt.Sprint(len(r.Test.Top1)), tested, points(cal), fmt.Sprint(len(r.Calibration.Top1)), fmt.Sprintf("%.0f", r.Seconds), backend, fmt.Sprint(r.Record.Threads)})
		}
	}
	w.Flush()
	return b.String()
}

// predictions are the prediction difference of the i-th seed's result, by how much it is above that of base, and the standard error of
// that over images; empty where it wasn't measured.
func predictions(r lab.Result, base []lab.Result, i int) (pd, change, changeError string) {
	if len(r.PD) == 0 {
		return "", "", ""
	}
	pd = fmt.Sprintf("%.5f", meanPD(r))
	if i >= len(base) || len(base[i].PD) != len(r.PD) {
		return pd, "", ""
	}
	differences := make([]float64, len(r.PD))
	for k, d := range r.PD {
		differences[k] = float64(d) - float64(base[i].PD[k])
	}
	mean, deviation := stat.MeanStdDev(differences, nil)
	return pd, fmt.Sprintf("%.5f", mean), fmt.Sprintf("%.5f", stat.StdErr(deviation, float64(len(differences))))
}

// meanPD is the mean prediction difference of the test images, NaN if it wasn't measured.
func meanPD(r lab.Result) float64 {
	sum := 0.0
	for _, d := range r.PD {
		sum += float64(d)
	}
	return sum / float64(len(r.PD))
}

// spreadPD is the mean over seeds ± their deviation.
func spreadPD(rs []lab.Result) string {
	var means []float64
	for _, r := range rs {
		means = append(means, meanPD(r))
	}
	switch s := lab.SpreadOf(means); {
	case math.IsNaN(s.Mean):
		return ""
	case math.IsNaN(s.Deviation):
		return fmt.Sprintf("%.4f", s.Mean)
	default:
		return fmt.Sprintf("%.4f ± %.4f", s.Mean, s.Deviation)
	}
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
	t := table.New().Border(lipgloss.NormalBorder()).Headers(append([]string{"network", "bits"}, append(lab.Headers("settings"), "prediction difference")...)...).
		StyleFunc(func(_, _ int) lipgloss.Style { return lipgloss.NewStyle().Padding(0, 1) })
	for _, x := range lines {
		t.Row(append([]string{x.network, fmt.Sprintf("W%dA%d", x.bits[0], x.bits[1])}, append(lab.Row(x.setting, x.results, x.base), spreadPD(x.results))...)...)
	}
	return t.Render() + "\nTested on " + tested + ". Mean ± standard deviation over seeds; differences are to the first settings, seed by seed, ± the standard error of their mean."
}
