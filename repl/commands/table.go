package commands

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"

	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

// resultTable lays out results, the first of which is full precision, for a terminal.
func resultTable(results []result) string {
	right := lipgloss.NewStyle().Align(lipgloss.Right).Padding(0, 1)
	t := table.New().Border(lipgloss.NormalBorder()).
		Headers("method", "top-1 %", "to full precision", "calibration top-1 %", "seconds", "peak MiB").
		StyleFunc(func(row, col int) lipgloss.Style {
			if col == 0 {
				return lipgloss.NewStyle().Padding(0, 1)
			}
			return right
		})
	for _, r := range results {
		acc, se := r.Test.Accuracy()
		cal, _ := r.Calibration.Accuracy()
		diff, dse := r.Test.Minus(results[0].Test)
		difference := "-"
		if r.Method != results[0].Method {
			difference = fmt.Sprintf("%+.2f ± %.2f", 100*diff, 100*dse)
		}
		peak := "-"
		if r.PeakMemory > 0 {
			peak = fmt.Sprint(r.PeakMemory >> 20)
		}
		t.Row(r.Method, fmt.Sprintf("%.2f ± %.2f", 100*acc, 100*se), difference, fmt.Sprintf("%.2f", 100*cal), fmt.Sprintf("%.1f", r.Seconds), peak)
	}
	return t.Render()
}

// writeTSV writes the same numbers, unrounded, for programs.
func writeTSV(w io.Writer, results []result) {
	fmt.Fprintln(w, "method\ttop1\ttop1_stderr\tto_full_precision\tto_full_precision_stderr\tcalibration_top1\ttest_images\tcalibration_images\tseconds\tpeak_bytes")
	for _, r := range results {
		acc, se := r.Test.Accuracy()
		cal, _ := r.Calibration.Accuracy()
		diff, dse := r.Test.Minus(results[0].Test)
		fmt.Fprintf(w, "%s\t%.6f\t%.6f\t%.6f\t%.6f\t%.6f\t%d\t%d\t%.3f\t%d\n", r.Method, acc, se, diff, dse, cal, len(r.Test.Top1), len(r.Calibration.Top1), r.Seconds, r.PeakMemory)
	}
}

// verdicts says in a line each how the methods after MSE only compare with it; without it, the last with the one before.
func verdicts(results []result) []string {
	k := slices.IndexFunc(results, func(r result) bool { return r.Method == "MSE only" })
	if k < 0 || k == len(results)-1 {
		k = len(results) - 2
	}
	var lines []string
	for _, r := range results[k+1:] {
		lines = append(lines, verdict(r, results[k]))
	}
	return lines
}

// verdict says in one line how a method compares with another.
func verdict(r, base result) string {
	diff, se := r.Test.Minus(base.Test)
	word := "no difference beyond two standard errors"
	if math.Abs(diff) > 2*se {
		word = "better"
		if diff < 0 {
			word = "worse"
		}
	}
	return fmt.Sprintf("%s against %s, paired: %+.2f ± %.2f points: %s.", r.Method, base.Method, 100*diff, 100*se, word)
}

// chart draws the results into the run folder.
func (j *job) chart(results []result) error {
	var bars []plot.Bar
	for _, r := range results {
		acc, se := r.Test.Accuracy()
		bars = append(bars, plot.Bar{Label: r.Method, Value: 100 * acc, Error: 100 * se})
	}
	b := j.config.Bits
	name, _ := j.test.Describe()
	return plot.Bars(j.folder.Path("chart.png"), fmt.Sprintf("%s, W%dA%d, %s", j.network.Name, b.W, b.A, name),
		fmt.Sprintf("%d test images, %d calibration images, seed %d, %s preset, %s", j.test.Len(), j.calibration.Len(), j.config.Seed, j.preset, j.backend),
		"top-1 accuracy (%)", bars)
}

// grid lays out rows under their headers.
func grid(headers []string, rows [][]string) string {
	return shell.Table{Columns: headers, Rows: shell.Strings(rows)}.Text(0)
}

// thousands writes n with commas.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
