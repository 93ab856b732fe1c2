package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

func demoCommand() command {
	return command{
		name: "demo", group: groupPrograms, help: "quantise a shipped teacher with PD-Quant and compare it with simpler methods",
		options: []option{
			{"teacher", "resnet8", "trained network: " + strings.Join(models.TeacherNames(), ", ")},
			{"w", "2", "bits of weights, 2 to 8"},
			{"a", "2", "bits of activations, 2 to 8"},
			{"images", "256", "calibration images, 1 to 2048"},
			{"seed", "1", "of the calibration draw and the optimisation"},
			{"preset", "quick", "quick, or paper: the reference's steps, which take hours"},
			{"steps", "", "rounding steps per unit, 0 to 1000000; empty: the preset's"},
			{"dc", "", "correction steps per unit, 0 to 100000; empty: the preset's"},
			{"test", "10000", "test images, 1 to 10000"},
			{"backend", "auto", "auto, go, onnx, xla, ..."},
			memoryOption(),
			{"out", "", "run folder, whose earlier results are removed; empty: runs/demo-TEACHER-wWaA-sSEED"},
		},
		run: alone(demo),
	}
}

// job is a demo's input, checked.
type job struct {
	teacher     models.Teacher
	calibration datasets.Calibration
	test        datasets.Images
	config      pdq.Config
	preset      string
	backend     compute.Backend
	note        string // on the backend
	folder      pdq.Folder
}

func demo(ctx context.Context, v values, stdout, stderr io.Writer) error {
	j, err := newJob(v)
	if err != nil {
		return err
	}
	j.describe(stderr)
	methods := pdq.Methods(j.config)
	record, err := pdq.NewRecord(j.teacher.Network, j.teacher.Weights, j.calibration, j.test, methods)
	if err != nil {
		return err
	}
	record.Backend, record.Command = j.note, demoCommand().line(v)
	if err := j.begin(record); err != nil {
		return err
	}
	results, err := j.compare(ctx, methods, stderr)
	if err != nil {
		return err
	}
	return j.report(stdout, results)
}

// begin writes run.json, after removing an earlier run's results: they may be of other settings.
func (j *job) begin(record pdq.Record) error {
	for _, name := range []string{"results.tsv", "chart.png"} {
		if err := os.Remove(j.folder.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("repl: an earlier run's results: %w; choose another folder with out=", err)
		}
	}
	return j.folder.WriteJSON("run.json", record)
}

// compare runs full precision and the methods. results.tsv has what is finished, also after
// an error.
func (j *job) compare(ctx context.Context, methods []pdq.Method, stderr io.Writer) ([]pdq.Result, error) {
	p := j.problem()
	progress := newProgress(stderr)
	defer progress.done()
	teacher, err := pdq.RunTeacher(ctx, j.backend, j.config.Machine.Workers, p, j.test, progress.event)
	if err != nil {
		return nil, err
	}
	results := []pdq.Result{teacher}
	for _, m := range methods {
		progress.start(m.Name)
		r, err := pdq.Run(ctx, j.backend, p, m, j.test, progress.event)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		results = append(results, r)
		if err := j.writeResults(results); err != nil {
			return nil, err
		}
	}
	return results, nil
}

func (j *job) problem() pdq.Problem {
	return pdq.Problem{Network: j.teacher.Network, Weights: j.teacher.Weights, Calibration: j.calibration.Images}
}

func (j *job) writeResults(results []pdq.Result) error {
	var table bytes.Buffer
	writeTSV(&table, results)
	return j.folder.Write("results.tsv", table.Bytes())
}

// newJob reads and checks the options. What doesn't need the backend is checked first.
func newJob(v values) (*job, error) {
	j := &job{preset: v["preset"]}
	var w, a, images, seed, tests int
	for _, o := range []struct {
		key    string
		lo, hi int
		to     *int
	}{{"w", 2, 8, &w}, {"a", 2, 8, &a}, {"images", 1, datasets.FashionMNISTPoolSize, &images}, {"seed", 0, 1 << 31, &seed}, {"test", 1, 10000, &tests}} {
		n, err := v.number(o.key, o.lo, o.hi)
		if err != nil {
			return nil, err
		}
		*o.to = n
	}
	var err error
	if j.teacher, err = models.LoadTeacher(v["teacher"]); err != nil {
		return nil, err
	}
	presets := map[string]func(string, int, int) (pdq.Config, error){"quick": pdq.Quick, "paper": pdq.Paper}
	preset, ok := presets[j.preset]
	if !ok {
		return nil, fmt.Errorf("repl: preset=%s; choose quick or paper", j.preset)
	}
	if j.config, err = preset(j.teacher.Network.Name, w, a); err != nil {
		return nil, err
	}
	j.config.Seed = uint64(seed)
	if err := v.override("steps", 0, 1000000, &j.config.Rounding.Steps); err != nil {
		return nil, err
	}
	if err := v.override("dc", 0, 100000, &j.config.Correction.Steps); err != nil {
		return nil, err
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		return nil, err
	}
	if j.calibration, err = datasets.Calibrate(pool, images, uint64(seed)); err != nil {
		return nil, err
	}
	test, err := datasets.FashionMNISTTest()
	if err != nil {
		return nil, err
	}
	j.test = test.Slice(0, tests)
	if j.backend, j.note, err = backend.Open(v["backend"]); err != nil {
		return nil, err
	}
	j.config.Machine.Workers = backend.Workers(j.backend)
	if j.config.Machine.CacheLimit, err = v.cacheLimit(); err != nil {
		return nil, err
	}
	out := v["out"]
	if out == "" {
		out = fmt.Sprintf("runs/demo-%s-w%da%d-s%d", v["teacher"], w, a, seed)
	}
	j.folder, err = pdq.CreateFolder(out)
	return j, err
}

// describe prints what will run, the bits of every tensor among it.
func (j *job) describe(w io.Writer) {
	c := j.config
	fmt.Fprintf(w, "folder    %s\n", j.folder)
	fmt.Fprintf(w, "backend   %s\n", j.note)
	fmt.Fprintf(w, "teacher   %s, trained on Fashion-MNIST by: %s\n", j.teacher.Network.Name, j.teacher.Record["command"])
	fmt.Fprintf(w, "images    %d for calibration (seed %d), %d for testing\n", j.calibration.Len(), j.calibration.Seed, j.test.Len())
	fmt.Fprintf(w, "preset    %s: %d rounding and %d correction steps per unit, batch %d, λr %g, λc %g, T %g\n", j.preset,
		c.Rounding.Steps, c.Correction.Steps, c.Rounding.BatchSize, 1/c.Loss.PD, 1/c.Correction.Weight, c.Loss.Temperature)
	fmt.Fprintf(w, "bits      W%dA%d, rule %v\n", c.Bits.W, c.Bits.A, c.Bits.Rule)
	q, err := pdq.New(j.backend, j.problem(), c)
	if err != nil {
		return // Run reports it
	}
	folded, _ := q.Folded()
	fmt.Fprintf(w, "memory    %s\n", planText(q.MemoryPlan(), c.Machine.CacheLimit))
	for _, lb := range c.Bits.Map(folded) {
		fmt.Fprintf(w, "          %-24s %s\n", lb.Layer, bitsText(lb))
	}
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
func (j *job) report(w io.Writer, results []pdq.Result) error {
	if err := j.chart(results); err != nil {
		return err
	}
	fmt.Fprintln(w, resultTable(results))
	fmt.Fprintln(w, verdict(results))
	fmt.Fprintf(w, "One calibration draw and one seed; ± is one standard error over %d test images, not over seeds.\n", j.test.Len())
	fmt.Fprintf(w, "Run folder: %s (run.json, results.tsv, chart.png)\n", j.folder)
	return nil
}
