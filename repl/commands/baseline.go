package commands

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
	"gonum.org/v1/gonum/stat"
)

const fullPrecision = "full precision"

// resultColumns names the columns of the table of results.
func resultColumns() []string {
	return strings.Fields("w a method lambda_r seed top1_percent test_images calibration_top1_percent calibration_images rounding_steps correction_steps seconds peak_mib backend gomaxprocs date")
}

// baselineRow is a row of the reference's results.
type baselineRow struct {
	w, a            int
	method, lambdaR string
	percent         float64
	seconds         string
}

func (r baselineRow) same(o baselineRow) bool {
	return r.w == o.w && r.a == o.a && r.method == o.method && r.lambdaR == o.lambdaR
}

// reproduced is a row of ours.
type reproduced struct {
	baselineRow
	seed     uint64
	percent  float64
	settings string // what a seed was given that isn't the row's
}

// readBaseline reads the reference's results.
func readBaseline(path string) ([]baselineRow, error) {
	var rows []baselineRow
	err := eachRow(path, 6, func(f []string) error {
		row, err := parseRow(f[:5])
		row.seconds = f[5]
		rows = append(rows, row)
		return err
	})
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("repl: %s has no rows", path)
	}
	return rows, err
}

// readResults reads the table at path, which needn't exist.
func readResults(path string) ([]reproduced, error) {
	var done []reproduced
	err := eachRow(path, len(resultColumns()), func(f []string) error {
		row, err := parseRow([]string{f[0], f[1], f[2], f[3], f[5]})
		if err != nil {
			return err
		}
		seed, err := strconv.ParseUint(f[4], 10, 64)
		done = append(done, reproduced{row, seed, row.percent, givenText(f[8], f[9], f[10])})
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return done, err
}

// givenText tells the numbers of calibration images and of a unit's rounding and correction steps.
func givenText(images, rounding, correction string) string {
	return fmt.Sprintf("%s images, %s rounding and %s correction steps", images, rounding, correction)
}

// parseRow reads w, a, method, λr and percent.
func parseRow(f []string) (baselineRow, error) {
	row := baselineRow{method: f[2], lambdaR: f[3]}
	var errs [3]error
	row.w, errs[0] = strconv.Atoi(f[0])
	row.a, errs[1] = strconv.Atoi(f[1])
	row.percent, errs[2] = strconv.ParseFloat(f[4], 64)
	return row, errors.Join(errs[:]...)
}

// eachRow calls f with the fields of each row at path, without comments and the header.
func eachRow(path string, fields int, f func(fields []string) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.Comma, r.Comment, r.FieldsPerRecord, r.LazyQuotes = '\t', '#', fields, true
	for header := true; ; header = false {
		row, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err == nil && !header {
			err = f(row)
		}
		if err != nil {
			line, _ := r.FieldPos(0)
			return fmt.Errorf("repl: %s:%d: %w", path, line, err)
		}
	}
}

func tsvWriter(w io.Writer) *csv.Writer {
	t := csv.NewWriter(w)
	t.Comma = '\t'
	return t
}

// reproductionTable compares ours with the reference's rows: mean and deviation over seeds.
func reproductionTable(reference []baselineRow, ours []reproduced) string {
	right := lipgloss.NewStyle().Align(lipgloss.Right).Padding(0, 1)
	t := table.New().Border(lipgloss.NormalBorder()).Headers("bits", "method", "λr", "reference %", "ours %", "seeds", "difference").
		StyleFunc(func(_, _ int) lipgloss.Style { return right })
	for _, row := range reference {
		var xs []float64
		for _, x := range ours {
			if x.same(row) {
				xs = append(xs, x.percent)
			}
		}
		mean, difference := "-", "-"
		if m, sd := stat.MeanStdDev(xs, nil); len(xs) == 1 {
			mean, difference = fmt.Sprintf("%.2f", m), fmt.Sprintf("%+.2f", m-row.percent)
		} else if len(xs) > 1 {
			mean, difference = fmt.Sprintf("%.2f ± %.2f", m, sd), fmt.Sprintf("%+.2f", m-row.percent)
		}
		t.Row(fmt.Sprintf("W%dA%d", row.w, row.a), row.method, row.lambdaR, fmt.Sprintf("%.2f", row.percent), mean, fmt.Sprint(len(xs)), difference)
	}
	return t.Render() + "\nOurs: mean ± standard deviation over seeds; the reference: one seed."
}
