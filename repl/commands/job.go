package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// job is the input of a whole program that quantises, checked.
type job struct {
	network     *models.Network
	weights     models.Weights
	trained     string // how the network was
	calibration datasets.Calibration
	test        datasets.Stream
	methods     []experiment.Fixed
	published   string // figures to compare with; "": none
	table       string // where results over several seeds are; "": nowhere
	anyway      bool   // go on with a network at chance level
	anew        bool   // don't go on with an unfinished run
	keep        int    // rounding steps between states to go on from
	config      pdq.Config
	preset      string
	backend     compute.Backend
	note        string // on the backend
	folder      experiment.Folder
}

// do runs the methods and reports on them. command is what was typed.
func (j *job) do(ctx context.Context, command string, stdout, stderr io.Writer) (err error) {
	unlock, err := j.folder.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	j.describe(stderr)
	record, err := experiment.NewRecord(j.network, j.weights, j.calibration, j.test, j.methods)
	if err != nil {
		return err
	}
	record.Backend, record.Command = j.note, command
	results, err := j.begin(record, stderr)
	if err != nil {
		return err
	}
	results, err = j.compare(ctx, results, stderr)
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(stderr, "what was computed is kept in %s; the same command goes on from there%s\n", j.folder, j.without())
	}
	if err != nil {
		return err
	}
	return j.report(stdout, results)
}

// without says what to leave out of the command, should it be typed again to go on.
func (j *job) without() string {
	if j.anew {
		return ", without anew=true"
	}
	return ""
}

// compare runs full precision and the methods, but for those that have results. The folder has what is finished, also after
// an error.
func (j *job) compare(ctx context.Context, results []result, stderr io.Writer) ([]result, error) {
	progress := newProgress(displayOf(stderr))
	defer progress.done()
	if len(results) == 0 {
		if err := j.checkTeacher(ctx, stderr); err != nil {
			return nil, err
		}
		teacher, err := runTeacher(ctx, j.backend, j.config.Machine.Workers, j.problem(), j.test, progress.event)
		if err != nil {
			return nil, err
		}
		results = append(results, teacher)
	}
	progress.forecast = newForecast(j.network, j.calibration.Len(), j.test.Len(), j.methods[len(results)-1:])
	for _, m := range j.methods[len(results)-1:] {
		progress.start(m.Name)
		r, err := j.quantise(ctx, m, results, progress, stderr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		results = append(results, r)
		if err := j.write(results); err != nil {
			return nil, err
		}
		_ = j.folder.RemoveState(stateName(m.Name)) // that it is finished is written down
	}
	return results, nil
}

// checkTeacher is an error if the network guesses: on some calibration images, before hours go by.
func (j *job) checkTeacher(ctx context.Context, stderr io.Writer) error {
	some := j.calibration.Slice(0, min(j.calibration.Len(), 256))
	score, err := pdq.EvaluateTeacher(ctx, j.backend, j.config.Machine.Workers, j.network, j.weights, some, nil)
	if err != nil || !score.AtChance(j.network.Classes) {
		return err
	}
	warning := chanceWarning(j.network, score)
	if j.anyway {
		_, err := fmt.Fprintln(stderr, "warning  ", warning)
		return err
	}
	return fmt.Errorf("repl: %s; anyway=true goes on", warning)
}

// chanceWarning says what it means that n's score is at chance level.
func chanceWarning(n *models.Network, score pdq.Score) string {
	acc, _ := score.Accuracy()
	return fmt.Sprintf("%s is right on %.1f %% of %d calibration images, no better than guessing among %d classes: its weights, the order of the images' classes or their normalisation are another network's",
		n.Name, 100*acc, len(score.Top1), n.Classes)
}

func (j *job) problem() pdq.Problem {
	return pdq.Problem{Network: j.network, Weights: j.weights, Calibration: j.calibration.Images}
}

// configure takes the preset's settings for the network, and the options that are given.
func (j *job) configure(v shell.Values, w, a, seed int) error {
	var err error
	if j.config, err = pdq.Preset(j.preset, j.network.Name, w, a); err != nil {
		return err
	}
	j.config.Seed = uint64(seed)
	if j.config.Machine.CacheLimit, err = cacheLimit(v); err != nil {
		return err
	}
	if j.keep, err = v.Number("keep", 1, 1000000); err != nil {
		return err
	}
	if err := v.OneOf("anew", "true", "false"); err != nil {
		return err
	}
	j.anew = v["anew"] == "true"
	v["anew"] = "false" // in the record, whose command is one to go on with
	return errors.Join(v.Override("steps", 0, 1000000, &j.config.Rounding.Steps), v.Override("dc", 0, 100000, &j.config.Correction.Steps))
}

// open opens the backend and the run folder, which is option out, or else folder.
func (j *job) open(v shell.Values, folder string) error {
	var err error
	if j.backend, j.note, err = backend.Open(v["backend"]); err != nil {
		return err
	}
	j.config.Machine.Workers = backend.Workers(j.backend)
	for i := range j.methods {
		j.methods[i].Config.Machine.Workers = j.config.Machine.Workers
	}
	if v["out"] != "" {
		folder = v["out"]
	}
	j.folder, err = experiment.CreateFolder(folder)
	return err
}

// describe prints what will run, the bits of every tensor among it.
func (j *job) describe(w io.Writer) {
	c := j.config
	fmt.Fprintf(w, "folder    %s\n", j.folder)
	fmt.Fprintf(w, "backend   %s\n", j.note)
	fmt.Fprintf(w, "teacher   %s, %s\n", j.network.Name, j.trained)
	tests, _ := j.test.Describe()
	fmt.Fprintf(w, "images    %d of %s for calibration (seed %d), %d of %s for testing\n", j.calibration.Len(), j.calibration.Name, j.calibration.Seed, j.test.Len(), tests)
	fmt.Fprintf(w, "preset    %s: %s\n", j.preset, stepsText(c))
	fmt.Fprintf(w, "bits      W%dA%d, rule %v\n", c.Bits.W, c.Bits.A, c.Bits.Rule)
	q, err := pdq.New(j.backend, j.problem(), c)
	if err != nil {
		return // Run reports it
	}
	fmt.Fprintf(w, "memory    %s\n", planText(q.MemoryPlan(), c.Machine.CacheLimit))
	for _, lb := range q.Plan() {
		fmt.Fprintf(w, "          %-24s %s\n", lb.Layer, bitsText(lb))
	}
}

// stepsText tells how many steps of what c takes.
func stepsText(c pdq.Config) string {
	text := fmt.Sprintf("%d rounding steps per unit, batch %d, rounding weight %g, T %g", c.Rounding.Steps, c.Rounding.BatchSize, c.Rounding.Weight, c.Loss.Temperature)
	if c.Loss.PD > 0 {
		text += fmt.Sprintf(", λr %g", 1/c.Loss.PD)
	}
	if c.Correction.Steps > 0 {
		text += fmt.Sprintf(", λc %g, %d correction steps per unit", 1/c.Correction.Weight, c.Correction.Steps)
	}
	if f := c.FineTune; f.Steps > 0 {
		text += fmt.Sprintf(", %d steps over the whole network, batch %d", f.Steps, f.BatchSize)
	}
	return text
}

func bitsText(lb pdq.LayerBits) string {
	var parts []string
	if lb.Weight > 0 {
		parts = append(parts, fmt.Sprintf("weight %d", lb.Weight))
	}
	if lb.Output > 0 {
		parts = append(parts, fmt.Sprintf("output %d", lb.Output))
	}
	return strings.Join(parts, ", ")
}

// report prints the table and writes the chart to the run folder.
func (j *job) report(w io.Writer, results []result) error {
	if err := j.chart(results); err != nil {
		return err
	}
	fmt.Fprintln(w, resultTable(results))
	for _, line := range verdicts(results) {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "One calibration draw and one seed; ± is one standard error over %d test images, not over seeds.\n", len(results[0].Test.Top1))
	if j.table != "" {
		fmt.Fprintln(w, j.table)
	}
	if j.published != "" {
		fmt.Fprintln(w, j.published)
	}
	fmt.Fprintf(w, "Run folder: %s (run.json, results.tsv, chart.png, students)\n", j.folder)
	return nil
}
