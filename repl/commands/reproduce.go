package commands

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) reproduceCommand() command {
	return command{
		Name: "reproduce", Group: groupPrograms, Help: "compare with the accuracies of the published reference on CIFAR-10 ResNet-20, for an hour or more",
		Options: []shell.Option{
			option("data", "data/cifar10", "folder with train_lossless_8068.bin and test_first1017.bin, in CIFAR-10's binary form"),
			option("checkpoint", "testdata/cifar10/resnet20-12fca82f.th", "the teacher's weights"),
			option("indices", "testdata/cifar10/calibration.txt", "which training images to calibrate on, a line each"),
			option("baseline", "testdata/golden/baseline.tsv", "the reference's accuracies"),
			option("rows", "", "of the baseline to run, counted from 1, as 1,3; empty: all"),
			option("seeds", "1,2,3", "seeds to run each of them with"),
			option("images", "1024", "calibration images: the first of the indices"),
			option("steps", "1000", "rounding steps per unit, 0 to 1000000"),
			option("dc", "500", "correction steps per unit in rows with DC, 0 to 100000"),
			option("correction", "paper", "paper: the reference's; fast: at ten times the rate, stopped where it no longer pays"),
			option("backend", "auto", "auto, go, onnx, xla, ..."),
			memoryOption(),
			option("out", "testdata/cifar10/reproduction.tsv", "table to append results to; rows and seeds that it has aren't run again"),
		},
		Run: e.alone(writing(reproduce)),
	}
}

// reproduction is the input of the command, checked.
type reproduction struct {
	problem   pdq.Problem
	test      datasets.Images
	reference []baselineRow
	selected  []int // rows of reference, counted from 1
	seeds     []uint64
	steps, dc int
	preset    func(arch string, w, a int) (pdq.Config, error)

	cacheLimit int64
	backend    compute.Backend
	note       string
	out        string
}

func reproduce(ctx context.Context, v shell.Values, stdout, stderr io.Writer) error {
	r, err := newReproduction(v)
	if err != nil {
		return err
	}
	done, err := readResults(r.out)
	if err != nil {
		return err
	}
	if err := r.sameSettings(done); err != nil {
		return err
	}
	progress := newProgress(displayOf(stderr))
	defer progress.done()
	for _, i := range r.selected {
		row := r.reference[i-1]
		seeds := slices.DeleteFunc(slices.Clone(r.seeds), func(s uint64) bool {
			return slices.ContainsFunc(done, func(x reproduced) bool { return x.baselineRow.same(row) && x.seed == s })
		})
		if row.method == fullPrecision && len(seeds) < len(r.seeds) || len(seeds) == 0 {
			continue // no seed enters into full precision: one row is enough
		}
		progress.start(fmt.Sprintf("W%dA%d %s λr %s", row.w, row.a, row.method, row.lambdaR))
		c, err := r.config(row)
		if err != nil {
			return err
		}
		if row.method != fullPrecision {
			q, err := pdq.New(r.backend, r.problem, c)
			if err != nil {
				return err
			}
			fmt.Fprintf(stderr, "%d seeds side by side; the first one's %s\n", len(seeds), planText(q.MemoryPlan(), r.cacheLimit))
		}
		results, err := r.run(ctx, row, c, seeds, progress.event)
		if err != nil {
			return fmt.Errorf("%s: %w", row.method, err)
		}
		lines, err := r.record(row, c, results)
		if err != nil {
			return err
		}
		done = append(done, lines...)
	}
	progress.done()
	fmt.Fprintln(stdout, reproductionTable(r.reference, done))
	return nil
}

func newReproduction(v shell.Values) (*reproduction, error) {
	r := &reproduction{out: v["out"]}
	var images int
	for _, o := range []struct {
		key    string
		lo, hi int
		to     *int
	}{{"images", 1, 1 << 20, &images}, {"steps", 0, 1000000, &r.steps}, {"dc", 0, 100000, &r.dc}} {
		n, err := v.Number(o.key, o.lo, o.hi)
		if err != nil {
			return nil, err
		}
		*o.to = n
	}
	presets := map[string]func(string, int, int) (pdq.Config, error){"paper": pdq.Paper, "fast": pdq.Fast}
	if r.preset = presets[v["correction"]]; r.preset == nil {
		return nil, fmt.Errorf("repl: correction=%s; choose paper or fast", v["correction"])
	}
	var err error
	if r.cacheLimit, err = cacheLimit(v); err != nil {
		return nil, err
	}
	seeds, err := v.List("seeds", 0, 1<<31)
	if err != nil {
		return nil, err
	}
	for _, s := range seeds {
		r.seeds = append(r.seeds, uint64(s))
	}
	if r.reference, err = readBaseline(v["baseline"]); err != nil {
		return nil, err
	}
	if v["rows"] == "" {
		v["rows"] = numbersTo(len(r.reference))
	}
	if r.selected, err = v.List("rows", 1, len(r.reference)); err != nil {
		return nil, err
	}
	if err := r.load(v, images); err != nil {
		return nil, err
	}
	r.backend, r.note, err = backend.Open(v["backend"])
	return r, err
}

// load reads images and weights.
func (r *reproduction) load(v shell.Values, images int) error {
	pool, err := datasets.CIFAR10(filepath.Join(v["data"], "train_lossless_8068.bin"))
	if err != nil {
		return err
	}
	if r.test, err = datasets.CIFAR10(filepath.Join(v["data"], "test_first1017.bin")); err != nil {
		return err
	}
	indices, err := readIndices(v["indices"], images)
	if err != nil {
		return err
	}
	if r.problem.Calibration, err = pool.Select(indices); err != nil {
		return err
	}
	// The checkpoint was trained on images normalised with ImageNet's moments.
	mean, std := datasets.ImageNetMoments()
	r.test.Mean, r.test.Std = mean, std
	r.problem.Calibration.Mean, r.problem.Calibration.Std = mean, std
	if r.problem.Network, err = arch.Design("resnet20", arch.SquareInput(3, 32, 10)); err != nil {
		return err
	}
	r.problem.Weights, err = checkpoint.Load(v["checkpoint"], r.problem.Network)
	return err
}

// run quantises with each seed as the row says, by the reference's settings.
func (r *reproduction) run(ctx context.Context, row baselineRow, c pdq.Config, seeds []uint64, progress func(pdq.Event)) ([]result, error) {
	if row.method == fullPrecision {
		x, err := runTeacher(ctx, r.backend, backend.Workers(r.backend), r.problem, r.test, progress)
		x.Seed = seeds[0]
		return []result{x}, err
	}
	return runSeeds(ctx, r.backend, r.problem, experiment.Fixed{Name: row.method, Config: c}, seeds, r.test, progress)
}

// config is the reference's settings for a row; none for full precision.
func (r *reproduction) config(row baselineRow) (pdq.Config, error) {
	if row.method == fullPrecision {
		return pdq.Config{}, nil
	}
	c, err := r.preset("resnet20", row.w, row.a)
	if err != nil {
		return c, err
	}
	c.Rounding.Steps, c.Correction.Steps = r.steps, r.dc
	c.Machine.Workers, c.Machine.CacheLimit = backend.Workers(r.backend), r.cacheLimit
	switch row.method {
	case "MSE":
		return c.MSEOnly(), nil
	case "PD":
		c.Correction.Steps = 0
	case "PD+DC":
	default:
		return c, fmt.Errorf("repl: the baseline's method %q is unknown; known are %s, MSE, PD and PD+DC", row.method, fullPrecision)
	}
	lambda, err := strconv.ParseFloat(row.lambdaR, 64)
	if err != nil {
		return c, fmt.Errorf("repl: λr %q of the baseline's method %s isn't a number", row.lambdaR, row.method)
	}
	c.Loss.PD = 1 / lambda
	return c, nil
}

// sameSettings is an error if the results that are done have other settings than those to come.
func (r *reproduction) sameSettings(done []reproduced) error {
	for _, i := range r.selected {
		row := r.reference[i-1]
		c, err := r.config(row)
		if err != nil {
			return err
		}
		now := r.settings(c)
		for _, x := range done {
			if x.same(row) && row.method != fullPrecision && x.settings != now {
				return fmt.Errorf("repl: %s has W%dA%d %s with %s, not with %s; give another file with out=", r.out, row.w, row.a, row.method, x.settings, now)
			}
		}
	}
	return nil
}

func (r *reproduction) settings(c pdq.Config) string {
	return givenText(strconv.Itoa(r.problem.Calibration.Len()), strconv.Itoa(c.Rounding.Steps), correctionText(c.Correction))
}

// record appends results to the table, whole or not at all.
func (r *reproduction) record(row baselineRow, c pdq.Config, results []result) ([]reproduced, error) {
	table, err := os.ReadFile(r.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("repl: %w; give another file with out=", err)
	}
	text := bytes.NewBuffer(table)
	w := tsvWriter(text)
	if len(table) == 0 {
		_ = w.Write(resultColumns()) // a buffer takes all
	}
	var done []reproduced
	for _, x := range results {
		acc, _ := x.Test.Accuracy()
		cal, _ := x.Calibration.Accuracy()
		done = append(done, reproduced{row, x.Seed, 100 * acc, r.settings(c)})
		var fields []string
		for _, v := range []any{row.w, row.a, row.method, row.lambdaR, x.Seed, percent(acc), len(x.Test.Top1), percent(cal), len(x.Calibration.Top1),
			c.Rounding.Steps, correctionText(c.Correction), int(x.Seconds), x.PeakMemory >> 20, backend.WithoutPath(r.note), runtime.GOMAXPROCS(0), time.Now().UTC().Format(time.DateOnly)} {
			fields = append(fields, fmt.Sprint(v))
		}
		_ = w.Write(fields)
	}
	w.Flush()
	if err := atomicfile.WriteBytes(r.out, text.Bytes()); err != nil {
		return nil, fmt.Errorf("repl: %w; give another file with out=", err)
	}
	return done, nil
}

// correctionText is how many steps the correction of a unit takes.
func correctionText(c pdq.CorrectionConfig) string {
	if c.Steps > 0 && c.Tolerance > 0 {
		return fmt.Sprintf("at most %d, rate %g, tolerance %g", c.Steps, c.LearningRate, c.Tolerance)
	}
	return strconv.Itoa(c.Steps)
}

func percent(fraction float64) string { return strconv.FormatFloat(100*fraction, 'f', 2, 64) }

// numbersTo lists 1 to n, with commas.
func numbersTo(n int) string {
	var list []string
	for i := range n {
		list = append(list, strconv.Itoa(i+1))
	}
	return strings.Join(list, ",")
}

// readIndices reads the first n numbers of the file at path, one a line.
func readIndices(path string, n int) ([]int, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("repl: %w", err)
	}
	defer f.Close()
	var indices []int
	for s := bufio.NewScanner(f); len(indices) < n && s.Scan(); {
		i, err := strconv.Atoi(s.Text())
		if err != nil {
			return nil, fmt.Errorf("repl: %s:%d: %q isn't an index", path, len(indices)+1, s.Text())
		}
		indices = append(indices, i)
	}
	if len(indices) < n {
		return nil, fmt.Errorf("repl: %s has %d indices; ask for images=%d or fewer", path, len(indices), len(indices))
	}
	return indices, nil
}
