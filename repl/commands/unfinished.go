package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// Files of a job's folder, beside the students: what it was given, the methods that are finished, and for the
// one under way where to go on.
const (
	recordFile   = "run.json"
	finishedFile = "finished.json"
	chartFile    = "chart.png"
)

func keepOption() shell.Option {
	return option("keep", "500", "rounding steps of a unit after which it is written down where to go on, should the run end")
}

func anewOption() shell.Option {
	return option("anew", "false", "true: begin anew, also where an unfinished run could go on")
}

// finishedMethods is what finished.json holds: full precision, and the methods in their order.
type finishedMethods struct{ Methods []finished }

// finished is a method's result.
type finished struct {
	Method            string
	Seed              uint64
	Test, Calibration string // for each image 1 if it was right, else 0
	Seconds           float64
	PeakMemory        int64
}

// studentName is the file of a method's student, stateName that of where to go on.
func studentName(method string) string { return fileName(method) + ".safetensors" }
func stateName(method string) string   { return fileName(method) + ".state" }

func fileName(method string) string { return strings.ToLower(strings.ReplaceAll(method, " ", "-")) }

// begin takes up the run that the folder holds, or begins one: it writes run.json, after removing an earlier
// run's results, which may be of other settings. It returns the results of methods that are finished.
func (j *job) begin(record experiment.Record, stderr io.Writer) ([]result, error) {
	if exists(j.folder.Path(sessionFile)) {
		return nil, fmt.Errorf("repl: %s holds a session that save wrote; choose another folder with out=", j.folder)
	}
	old, results, err := j.unfinished()
	if err != nil {
		return nil, err
	}
	if old == nil {
		if err := j.clear(); err != nil {
			return nil, err
		}
		return nil, j.folder.WriteJSON(recordFile, record)
	}
	if d := old.Differs(record); d != "" {
		return nil, fmt.Errorf("repl: %s holds an unfinished run of other settings, in %s; finish it with: %s; or choose another folder with out=, or remove it with anew=true", j.folder, d, old.Command)
	}
	if old.Threads != record.Threads {
		fmt.Fprintf(stderr, "warning   the run began with %d threads and goes on with %d: sums may differ in their last bits\n", old.Threads, record.Threads)
	}
	fmt.Fprintf(stderr, "going on  with the run begun %s, of which %d of %d methods are finished\n", old.Started.Format("2006-01-02 15:04"), max(len(results)-1, 0), len(j.methods))
	return results, nil
}

// unfinished returns the record of the folder's run and its finished methods, the first of them full precision; nil if
// there is none to go on with, or if it isn't wanted.
func (j *job) unfinished() (*experiment.Record, []result, error) {
	var old experiment.Record
	begun, err := fs.Glob(os.DirFS(string(j.folder)), stateName("*"))
	if err != nil {
		return nil, nil, fmt.Errorf("repl: %w", err)
	}
	if j.anew || len(begun) == 0 && !exists(j.folder.Path(finishedFile)) {
		return nil, nil, nil
	}
	if err := j.folder.ReadJSON(recordFile, &old); err != nil {
		return nil, nil, fmt.Errorf("%w; choose another folder with out=, or remove what is in it with anew=true", err)
	}
	var list finishedMethods
	if err := j.folder.ReadJSON(finishedFile, &list); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w; choose another folder with out=, or remove what is in it with anew=true", err)
	}
	if len(list.Methods) > len(old.Methods) && exists(j.folder.Path(chartFile)) {
		return nil, nil, nil // finished, and reported
	}
	var results []result
	for _, f := range list.Methods {
		results = append(results, result{Method: f.Method, Seed: f.Seed, Test: fromOnes(f.Test), Calibration: fromOnes(f.Calibration), Seconds: f.Seconds, PeakMemory: f.PeakMemory})
	}
	return &old, results, nil
}

// clear removes what earlier runs left.
func (j *job) clear() error {
	earlier, methods := []string{finishedFile, resultsFile, chartFile}, j.methods
	var old experiment.Record
	if j.folder.ReadJSON(recordFile, &old) == nil {
		methods = slices.Concat(methods, old.Methods)
	}
	for _, m := range methods {
		earlier = append(earlier, studentName(m.Name), stateName(m.Name), experiment.Previous(stateName(m.Name)))
	}
	for _, name := range earlier {
		if err := os.Remove(j.folder.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("repl: an earlier run's results: %w; choose another folder with out=", err)
		}
	}
	return nil
}

// write writes the results so far, from which the run could go on.
func (j *job) write(results []result) error {
	var list finishedMethods
	for _, r := range results {
		list.Methods = append(list.Methods, finished{r.Method, r.Seed, ones(r.Test.Top1), ones(r.Calibration.Top1), r.Seconds, r.PeakMemory})
	}
	var table strings.Builder
	writeTSV(&table, results)
	return errors.Join(j.folder.WriteJSON(finishedFile, list), j.folder.Write(resultsFile, []byte(table.String())))
}

// state returns where to go on with a method; the zero State if it hasn't begun.
func (j *job) state(q *pdq.Quantizer, method string, stderr io.Writer) (pdq.State, error) {
	name := stateName(method)
	s, err := j.folder.LoadState(q, name)
	if errors.Is(err, fs.ErrNotExist) {
		return pdq.State{}, nil
	}
	if errors.Is(err, pdq.ErrDamaged) {
		fmt.Fprintln(stderr, "warning  ", err)
		s, err = j.folder.LoadState(q, experiment.Previous(name))
	}
	if err != nil {
		return s, fmt.Errorf("%w; choose another folder with out=, or begin anew with anew=true", err)
	}
	steps := "rounding steps"
	if s.Unit == len(j.network.Units) {
		steps = "steps of fine-tuning"
	}
	fmt.Fprintf(stderr, "%s goes on after %d units and %d %s, which took %.0f s\n", method, s.Unit, s.Optimiser.Done, steps, s.Elapsed.Seconds())
	return s, nil
}

// quantise takes a method from where it is to its end: where an earlier run of it stopped, or where a finished method
// leaves off whose units are the same. Where to go on is in the folder all the while.
func (j *job) quantise(ctx context.Context, m experiment.Fixed, finished []result, progress *progress, stderr io.Writer) (result, error) {
	q, err := pdq.New(j.backend, j.problem(), m.Config)
	if err != nil {
		return result{}, err
	}
	from, err := j.state(q, m.Name, stderr)
	if err != nil {
		return result{}, err
	}
	if from.Unit == 0 && from.Optimiser.Done == 0 {
		if from, err = j.sharedUnits(q, m, finished, stderr); err != nil {
			return result{}, err
		}
	}
	progress.forecast.skip(m.Name, j.network.Units, from)
	q.Progress = progress.event
	name := stateName(m.Name)
	r, err := runFrom(ctx, q, m.Name, j.test, from, pdq.Keeper{Every: j.keep, Keep: func(s pdq.State) error { return j.folder.SaveState(q, name, s) }})
	if err != nil {
		return r, err
	}
	return r, j.folder.SaveStudent(q, studentName(m.Name), r.Student)
}

// startsFrom returns the index of the method whose units m shares: that of the same settings but without fine-tuning; -1
// if there is none.
func startsFrom(m experiment.Fixed, methods []experiment.Fixed) int {
	if m.Config.FineTune.Steps == 0 {
		return -1
	}
	m.Config.FineTune.Steps = 0
	return slices.IndexFunc(methods, func(o experiment.Fixed) bool { return reflect.DeepEqual(o.Config, m.Config) })
}

// sharedUnits returns the end of the units that a finished method shares with m, the zero State if there is none.
func (j *job) sharedUnits(q *pdq.Quantizer, m experiment.Fixed, finished []result, stderr io.Writer) (pdq.State, error) {
	k := startsFrom(m, j.methods)
	if k < 0 || k+1 >= len(finished) { // the first that is finished is full precision
		return pdq.State{}, nil
	}
	r := finished[k+1]
	s, err := j.folder.LoadStudent(q, studentName(r.Method))
	if err != nil {
		return pdq.State{}, fmt.Errorf("%w; begin anew with anew=true", err)
	}
	fmt.Fprintf(stderr, "%s goes on from the units of %s, which took %.0f s\n", m.Name, r.Method, r.Seconds)
	return pdq.State{Unit: len(j.network.Units), Student: s, Elapsed: time.Duration(r.Seconds * float64(time.Second))}, nil
}
