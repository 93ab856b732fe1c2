package commands

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) reproduceCommand() command {
	return command{
		Name: "reproduce", Group: groupPrograms,
		Help: "compare with the accuracies of the published reference on CIFAR-10 ResNet-20, for an hour or more",
		More: "All seeds calibrate on the same images, and a row's seeds run side by side. " + goesOn,
		Options: []shell.Option{
			option("data", "data/cifar10", "folder of CIFAR-10's training and test images, in its binary or Python form"),
			option("checkpoint", "", "the teacher's weights; empty: the shipped ones"),
			option("indices", "testdata/cifar10/calibration.txt", "which training images to calibrate on, a number a line"),
			option("baseline", "testdata/golden/baseline.tsv", "the reference's accuracies"),
			option("rows", "", "of the baseline to run, counted from 1, as 1,3; empty: all"),
			option("seeds", "3", "to run each row with: how many, 1 to 3; or which, as 2,5 or 7..9"),
			option("images", "1024", "calibration images: the first of the indices"),
			option("steps", "1000", "rounding steps per unit, 0 to 1000000"),
			option("dc", "500", "correction steps per unit in rows with DC, 0 to 1000000"),
			option("preset", "paper", "paper: the reference's correction; fast: at ten times the rate, stopped where it no "+
				"longer pays"),
			backendOption(), memoryOption(), keepOption(),
			option("out", "runs/reproduce", "run folder"),
		},
		Run: e.alone(reproduce),
	}
}

// baselineRow is a row of the reference's results, of one seed.
type baselineRow struct {
	experiment.Width
	method, lambdaR string
	percent         float64
	ours            experiment.Method // that gives the row's counterpart; no Change: of full precision
}

func reproduce(c *call) error {
	g, rows, err := newReproduction(c.Values)
	if err != nil {
		return err
	}
	f, err := c.gridFolder(&g, "")
	if err != nil {
		return err
	}
	g.Start = func(_ experiment.Record, q *pdq.Quantizer) {
		c.Note("%s side by side; the first one's %s", seedsText(g.Seeds), planText(q))
		if over := overText(q); over != "" {
			c.Note("%s", over)
		}
	}
	ours := make([][]experiment.Result, len(rows))
	var full []experiment.Result
	for i, row := range rows {
		if row.ours.Change == nil {
			continue
		}
		g.Bits, g.Methods = []experiment.Width{row.Width}, []experiment.Method{row.ours}
		results, err := c.compute(g, f)
		if err != nil {
			return err
		}
		full, ours[i] = experiment.Of(results, experiment.FullPrecision), experiment.Of(results, row.ours.Name)
	}
	for i, row := range rows {
		if row.method == experiment.FullPrecision {
			ours[i] = full
		}
	}
	c.Show(reproductionTable(rows, ours))
	c.Print("Ours: mean over seeds ± its standard error, of one seed and of full precision over images; the reference: " +
		"one seed.")
	c.Print("Table of all results: %s", f.Path(experiment.ResultsFile))
	return nil
}

// newReproduction reads and checks the options. The grid is that of the first row.
func newReproduction(v shell.Values) (g experiment.Grid, rows []baselineRow, err error) {
	src := experiment.Source{Name: "resnet20-cifar10", Checkpoint: v["checkpoint"], Set: "cifar10", Data: v["data"],
		Indices: v["indices"], Fixed: true}
	if err := v.OneOf("preset", "paper", "fast"); err != nil {
		return g, nil, err
	}
	if err := readGrid(v, &src, &g); err != nil {
		return g, nil, err
	}
	if err := readSteps(v, &g); err != nil {
		return g, nil, err
	}
	if rows, err = selectRows(v); err != nil {
		return g, nil, err
	}
	for _, row := range rows {
		if row.ours.Change != nil && g.Methods == nil {
			g.Bits, g.Methods = []experiment.Width{row.Width}, []experiment.Method{row.ours}
		}
	}
	if g.Methods == nil {
		return g, nil, fmt.Errorf("repl: rows=%s has full precision only, which is computed with any other row; add one",
			v["rows"])
	}
	s, err := experiment.Open(src)
	if err != nil {
		return g, nil, err
	}
	g.Subjects = []experiment.Subject{s}
	return g, rows, nil
}

// selectRows reads the baseline's rows that the options ask for, and finds their methods.
func selectRows(v shell.Values) ([]baselineRow, error) {
	all, err := readBaseline(v["baseline"])
	if err != nil {
		return nil, err
	}
	rows := all
	if v["rows"] != "" {
		numbers, err := v.List("rows", 1, len(all))
		if err != nil {
			return nil, err
		}
		rows = nil
		for _, n := range numbers {
			rows = append(rows, all[n-1])
		}
	}
	for i := range rows {
		if rows[i].ours, err = rows[i].counterpart(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// counterpart returns our method for the row, without Change if the row is of full precision.
func (row baselineRow) counterpart() (experiment.Method, error) {
	none := experiment.Method{Name: experiment.FullPrecision}
	if row.method == experiment.FullPrecision {
		return none, nil
	}
	word, known := map[string]string{"MSE": "mse", "PD": "pd", "PD+DC": "pd-quant"}[row.method]
	if !known {
		return none, fmt.Errorf("repl: the baseline's method %q is unknown; known are %s, MSE, PD and PD+DC", row.method,
			experiment.FullPrecision)
	}
	methods, err := experiment.ParseMethods(word)
	if err != nil {
		return none, err
	}
	if row.method == "MSE" {
		return methods[0].Changed(row.method, func(*pdq.Config) {}), nil
	}
	lambda, err := strconv.ParseFloat(row.lambdaR, 64)
	if err != nil || !(lambda > 0) {
		return none, fmt.Errorf("repl: λr %q of the baseline's method %s isn't a number above 0", row.lambdaR, row.method)
	}
	name := fmt.Sprintf("%s, λr %s", row.method, row.lambdaR)
	return methods[0].Changed(name, func(c *pdq.Config) { c.Loss.PD = 1 / lambda }), nil
}

// reproductionTable has each row of the reference beside our results for it.
func reproductionTable(reference []baselineRow, ours [][]experiment.Result) shell.Table {
	t := shell.Table{Columns: []string{"bits", "method", "λr", "reference %", "ours %", "difference", "seeds",
		"seconds a seed"}}
	for i, row := range reference {
		top1 := experiment.Top1(ours[i])
		difference := top1
		difference.Mean -= row.percent
		seconds := "-"
		if row.method != experiment.FullPrecision {
			seconds = fmt.Sprintf("%.0f", experiment.Seconds(ours[i]).Mean)
		}
		t.Rows = append(t.Rows, []any{row.Width, row.method, row.lambdaR, num("%.2f", row.percent), top1.String(),
			difference.Signed(), len(ours[i]), seconds})
	}
	return t
}

// readBaseline reads the reference's results.
func readBaseline(path string) ([]baselineRow, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("repl: %w", err)
	}
	defer file.Close()
	r := csv.NewReader(file)
	r.Comma, r.Comment, r.FieldsPerRecord, r.LazyQuotes = '\t', '#', 6, true
	var rows []baselineRow
	for header := true; ; header = false {
		cells, err := r.Read()
		if err == io.EOF {
			break
		}
		if err == nil && !header {
			rows = append(rows, baselineRow{})
			err = rows[len(rows)-1].parse(cells)
		}
		if err != nil {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("repl: %s:%d: %w", path, line, err)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("repl: %s has no rows", path)
	}
	return rows, nil
}

// parse reads the cells w, a, method, λr, per cent and seconds.
func (row *baselineRow) parse(cells []string) error {
	row.method, row.lambdaR = cells[2], cells[3]
	var errs [3]error
	row.W, errs[0] = strconv.Atoi(cells[0])
	row.A, errs[1] = strconv.Atoi(cells[1])
	row.percent, errs[2] = strconv.ParseFloat(cells[4], 64)
	return errors.Join(errs[:]...)
}
