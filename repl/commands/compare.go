package commands

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func listRuns(c *call) (session, error) {
	dir := c.Values["dir"]
	if dir == "" {
		dir = "runs"
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", "run.json"))
	if err != nil {
		return c.s, fmt.Errorf("repl: %w", err)
	}
	if len(found) == 0 {
		return c.s, fmt.Errorf("repl: no runs in %s; save makes one", dir)
	}
	var rows [][]any
	for _, path := range found {
		f := experiment.Folder(filepath.Dir(path))
		var r experiment.Record
		if err := f.ReadJSON(experiment.RecordFile, &r); err != nil {
			rows = append(rows, []any{string(f), "damaged", "", "", "", "", ""})
			continue
		}
		row := []any{string(f), r.Started.Format(time.DateTime), r.Teacher, fmt.Sprint(len(r.Calibration.Indices)), "", "",
			""}
		if len(r.Methods) > 0 {
			last := r.Methods[len(r.Methods)-1]
			row[4], row[5] = fmt.Sprintf("W%dA%d", last.Config.Bits.W, last.Config.Bits.A), last.Name
		}
		results, err := lastResults(f, r)
		if row[6] = ""; err != nil {
			row[6] = "damaged"
		} else if len(results) > 0 {
			row[6] = experiment.Top1(results).String()
		}
		rows = append(rows, row)
	}
	c.Show(shell.Table{Columns: []string{"run", "started", "teacher", "images", "bits", "method", "top-1 %"}, Rows: rows})
	return c.s, nil
}

// lastResults are those of a run's last method, one of each seed; none if it isn't finished.
func lastResults(f experiment.Folder, r experiment.Record) ([]experiment.Result, error) {
	if len(r.Methods) == 0 || !exists(f.Path(sessionFile)) {
		return f.Last(r)
	}
	e, err := readEvaluation(f)
	if e == nil {
		return nil, err
	}
	right := experiment.FromOnes(e.Student)
	return []experiment.Result{{Seed: r.Methods[0].Config.Seed, Test: experiment.AccuracyOf(right), Right: right}}, nil
}

// side is one of two things that compare compares.
type side struct {
	name    string
	record  experiment.Record
	config  pdq.Config          // of its last method
	results []experiment.Result // none: not evaluated
}

// side returns the student called name, else the run folder.
func (c *call) side(name string) (side, error) {
	x := side{name: name}
	s, f := c.s.called(name), experiment.Folder(name)
	var err error
	switch {
	case s != nil && len(s.student.Weights) == 0:
		return x, errors.New("repl: nothing is quantised yet, so there is nothing to compare; begin: scales weights")
	case s != nil:
		x.results = s.results()
		x.record, err = s.record()
	case !exists(f.Path(experiment.RecordFile)):
		return x, fmt.Errorf("repl: no student and no run folder is %q%s", name, shell.Suggestion(name, c.s.studentNames(),
			"names lists the students, runs the folders"))
	default:
		if err = f.ReadJSON(experiment.RecordFile, &x.record); err == nil {
			x.results, err = lastResults(f, x.record)
		}
	}
	if n := len(x.record.Methods); n > 0 {
		x.config = x.record.Methods[n-1].Config
	}
	return x, err
}

func compareRuns(c *call) (session, error) {
	var sides [2]side
	fields, err := pdq.Fields()
	if err != nil {
		return c.s, err
	}
	rows := [][]any{{"top-1 %", "-", "-"}}
	for i, name := range []string{c.Values["run"], c.Values["other"]} {
		if sides[i], err = c.side(name); err != nil {
			return c.s, err
		}
		if len(sides[i].results) > 0 {
			rows[0][i+1] = experiment.Top1(sides[i].results).String()
		}
	}
	for _, x := range []struct {
		name string
		of   func(experiment.Record) string
	}{{"teacher", func(r experiment.Record) string { return r.Teacher }},
		{"weights", func(r experiment.Record) string { return r.TeacherHash[:min(12, len(r.TeacherHash))] }},
		{"calibration images", func(r experiment.Record) string {
			return fmt.Sprintf("%d, seed %d", len(r.Calibration.Indices), r.Calibration.Seed)
		}},
		{"backend", func(r experiment.Record) string { return r.Backend }}} {
		if a, b := x.of(sides[0].record), x.of(sides[1].record); a != b {
			rows = append(rows, []any{x.name, a, b})
		}
	}
	for _, f := range fields {
		a, _ := sides[0].config.Get(f.Name) // Fields lists them
		b, _ := sides[1].config.Get(f.Name)
		if a != b {
			rows = append(rows, []any{f.Name, a, b})
		}
	}
	c.Show(shell.Table{Columns: []string{"what differs", sides[0].name, sides[1].name}, Rows: rows})
	c.Print("%s against %s: %s", sides[1].name, sides[0].name, sides[1].against(sides[0]))
	return c.s, nil
}

// against says how x compares with base, seed by seed or, of one seed each, image by image.
func (x side) against(base side) string {
	switch {
	case len(base.results) == 0 || len(x.results) == 0:
		return "not both are evaluated: no difference"
	case base.record.TestHash != x.record.TestHash:
		return "they were evaluated on different images: no difference"
	}
	if len(base.results) == 1 && len(x.results) == 1 {
		base.results = slices.Clone(base.results)
		base.results[0].Seed = x.results[0].Seed // the images are the same, whatever the seeds
	}
	return experiment.Verdict(x.results, base.results)
}
