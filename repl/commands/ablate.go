package commands

import (
	"errors"
	"fmt"
	"strings"

	"gonum.org/v1/gonum/stat"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// ablation is one combination, with a result for each seed.
type ablation struct {
	name    string
	results []result
}

func ablate(c *call) (session, error) {
	s, v := c.s, c.Values
	methods, err := ablations(v, s.config)
	if err != nil {
		return s, err
	}
	count, err := v.Number("seeds", 1, 1000)
	if err != nil {
		return s, err
	}
	var seeds []uint64
	for i := range count {
		seeds = append(seeds, uint64(i+1))
	}
	n, err := v.Number("n", 1, 1<<30)
	if err != nil {
		return s, err
	}
	if _, err := c.quantizer(s, s.config); err != nil {
		return s, err
	}
	if s.images.data != "" {
		return s, errors.New("repl: ablate tests on Fashion-MNIST only so far; draw images of it: calib 256")
	}
	test, err := testImages("")
	if err != nil {
		return s, err
	}
	test = test.Slice(0, min(n, test.Len()))
	problem := pdq.Problem{Network: s.teacher.Network, Weights: s.teacher.Weights, Calibration: s.images.calibration.Images}
	var done []ablation
	for _, m := range methods {
		c.progress.start(m.Name)
		results, failed := runSeeds(c.Context, s.backend, problem, m, seeds, test, c.progress.event)
		if failed != nil {
			err = fmt.Errorf("%s: %w", m.Name, failed)
			break
		}
		done = append(done, ablation{m.Name, results})
	}
	c.progress.start("")
	if len(done) == 0 {
		return s, err
	}
	c.Print("%s W%dA%d, %d test images\n%s", s.teacher.name, s.config.Bits.W, s.config.Bits.A, test.Len(), ablationTable(done))
	c.Show(shell.Text("Mean ± standard deviation over seeds; differences are to the first row, seed by seed."))
	if v["out"] == "" {
		return s, err
	}
	if e := atomicfile.WriteBytes(v["out"], []byte(ablationTSV(done))); e != nil {
		return s, errors.Join(err, fmt.Errorf("repl: %w", e))
	}
	c.Print("table in %s", v["out"])
	return s, err
}

// ablations are the combinations that the options ask for, as changes of c.
func ablations(v shell.Values, c pdq.Config) ([]experiment.Fixed, error) {
	losses, err := choicesOf(v, "loss", "mse", "pd")
	if err != nil {
		return nil, err
	}
	corrections, err := choicesOf(v, "dc", "on", "off")
	if err != nil {
		return nil, err
	}
	var methods []experiment.Fixed
	for _, l := range losses {
		for _, dc := range corrections {
			m := experiment.Fixed{Name: "loss=" + l + " dc=" + dc, Config: c}
			if l == "mse" {
				m.Config.Loss.PD = 0
			} else if c.Loss.PD == 0 {
				return nil, errors.New("repl: loss=pd, but Loss.PD is 0; set it first: set Loss.PD=10, or ablate loss=mse")
			}
			if dc == "off" {
				m.Config.Correction.Steps = 0
			} else if c.Correction.Steps == 0 {
				return nil, errors.New("repl: dc=on, but Correction.Steps is 0; set it first: set Correction.Steps=50, or ablate dc=off")
			}
			methods = append(methods, m)
		}
	}
	return methods, nil
}

func ablationTable(all []ablation) string {
	var rows [][]string
	for _, a := range all {
		var top1, difference, seconds []float64
		for i, r := range a.results {
			acc, _ := r.Test.Accuracy()
			d, _ := r.Test.Minus(all[0].results[i].Test)
			top1, difference, seconds = append(top1, 100*acc), append(difference, 100*d), append(seconds, r.Seconds)
		}
		rows = append(rows, []string{a.name, spread(top1, "%.2f"), spread(difference, "%+.2f"), fmt.Sprintf("%.1f", stat.Mean(seconds, nil))})
	}
	rows[0][2] = "-"
	return grid([]string{"settings", "top-1 %", "difference", "seconds a seed"}, rows)
}

// spread is the mean of xs in a format, with its deviation if there are several.
func spread(xs []float64, format string) string {
	mean, sd := stat.MeanStdDev(xs, nil)
	if len(xs) == 1 {
		return fmt.Sprintf(format, mean)
	}
	return fmt.Sprintf(format+" ± %.2f", mean, sd)
}

// ablationTSV has a row for each combination and seed.
func ablationTSV(all []ablation) string {
	var b strings.Builder
	fmt.Fprintln(&b, "settings\tseed\ttop1\ttest_images\tcalibration_top1\tseconds")
	for _, a := range all {
		for _, r := range a.results {
			acc, _ := r.Test.Accuracy()
			cal, _ := r.Calibration.Accuracy()
			fmt.Fprintf(&b, "%s\t%d\t%.6f\t%d\t%.6f\t%.3f\n", a.name, r.Seed, acc, len(r.Test.Top1), cal, r.Seconds)
		}
	}
	return b.String()
}
