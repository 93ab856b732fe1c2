package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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
	var e evaluation
	if err := f.ReadJSON(evaluationFile, &e); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	right := experiment.FromOnes(e.Student)
	return []experiment.Result{{Seed: r.Methods[0].Config.Seed, Test: experiment.AccuracyOf(right), Right: right}}, nil
}

func compareRuns(c *call) (session, error) {
	folders := []experiment.Folder{experiment.Folder(c.Values["run"]), experiment.Folder(c.Values["other"])}
	var records [2]experiment.Record
	var configs [2]pdq.Config
	var results [2][]experiment.Result
	fields, err := pdq.Fields()
	if err != nil {
		return c.s, err
	}
	rows := [][]any{{"top-1 %", "-", "-"}}
	for i, f := range folders {
		if err := f.ReadJSON(experiment.RecordFile, &records[i]); err != nil {
			return c.s, fmt.Errorf("%w; runs lists what there is", err)
		}
		if n := len(records[i].Methods); n > 0 {
			configs[i] = records[i].Methods[n-1].Config
		}
		if results[i], err = lastResults(f, records[i]); err != nil {
			return c.s, err
		}
		if len(results[i]) > 0 {
			rows[0][i+1] = experiment.Top1(results[i]).String()
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
		if a, b := x.of(records[0]), x.of(records[1]); a != b {
			rows = append(rows, []any{x.name, a, b})
		}
	}
	for _, f := range fields {
		a, _ := configs[0].Get(f.Name) // Fields lists them
		b, _ := configs[1].Get(f.Name)
		if a != b {
			rows = append(rows, []any{f.Name, a, b})
		}
	}
	c.Show(shell.Table{Columns: []string{"what differs", string(folders[0]), string(folders[1])}, Rows: rows})
	c.Print("%s against %s: %s", folders[1], folders[0], against(records, results))
	return c.s, nil
}

// against says how a run compares with the first, seed by seed or, of one seed each, image by image.
func against(records [2]experiment.Record, results [2][]experiment.Result) string {
	switch {
	case len(results[0]) == 0 || len(results[1]) == 0:
		return "not both are evaluated: no difference"
	case records[0].TestHash != records[1].TestHash:
		return "they were evaluated on different images: no difference"
	}
	if len(results[0]) == 1 && len(results[1]) == 1 {
		results[0][0].Seed = results[1][0].Seed // the images are the same, whatever the seeds
	}
	return experiment.Verdict(results[1], results[0])
}
