package commands

import (
	"errors"
	"fmt"
	"os"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/look"
)

// reported is a student or a run, as a report shows it.
type reported struct {
	side
	all     []experiment.Result // of all methods, in full precision too
	student pdq.Student         // of the last method and its first seed; no weights: none was kept
	units   []reportedUnit      // none: not kept
}

// reportedUnit is what is known of the steps of a unit.
type reportedUnit struct {
	name          string
	losses        []loss
	before, after float64 // distance to the statistics of batch normalisation; 0: not corrected
}

// reported returns what is known of the student called name, else of the run folder.
func (c *call) reported(name string) (reported, error) {
	x, err := c.side(name)
	r := reported{side: x, all: x.results}
	if err != nil {
		return r, err
	}
	if s := c.s.called(name); s != nil {
		r.student = s.student
		for u, st := range s.units {
			r.units = append(r.units, unitOf(s.unitName(u), st.trace, st.norms))
		}
		if s.score != nil {
			r.withTeacher(s.score.teacher)
		}
		return r, nil
	}
	f := experiment.Folder(name)
	if exists(f.Path(sessionFile)) {
		return r.ofSession(f)
	}
	if r.all, err = f.Results(); err != nil || len(r.results) == 0 {
		return r, err
	}
	r.student, err = readStudent(f, r.results[0].StudentFile())
	return r, err
}

// ofSession adds what a folder has that save wrote.
func (r reported) ofSession(f experiment.Folder) (reported, error) {
	var old saved
	if err := f.ReadJSON(sessionFile, &old); err != nil {
		return r, err
	}
	losses, err := readLosses(f)
	if err != nil {
		return r, err
	}
	for _, u := range old.Units {
		r.units = append(r.units, unitOf(u.Unit, losses[u.Unit], u.Norms))
	}
	e, err := readEvaluation(f)
	if err != nil {
		return r, err
	}
	if e != nil {
		r.withTeacher(experiment.FromOnes(e.Teacher))
	}
	r.student, err = readStudent(f, studentFile)
	return r, err
}

// withTeacher adds the score of a session's teacher to its results, before them.
func (r *reported) withTeacher(teacher pdq.Score) {
	full := experiment.Result{Method: experiment.FullPrecision, Test: experiment.AccuracyOf(teacher), Right: teacher}
	r.all = []experiment.Result{full}
	for _, x := range r.results {
		x.Method, x.Width = "session", experiment.Width{W: r.config.Bits.W, A: r.config.Bits.A}
		x.Images = len(r.record.Calibration.Indices)
		r.all = append(r.all, x)
	}
	for i := range r.all {
		r.all[i].Network = r.record.Teacher
	}
}

// unitOf sums up the steps of a unit.
func unitOf(name string, losses []loss, norms []look.NormView) reportedUnit {
	before, after := distances(norms)
	return reportedUnit{name, losses, before, after}
}

// readStudent reads a student's file. Without the file there is none.
func readStudent(f experiment.Folder, name string) (pdq.Student, error) {
	file, err := atomicfile.Open(f.Path(name))
	if errors.Is(err, os.ErrNotExist) {
		return pdq.Student{}, nil
	} else if err != nil {
		return pdq.Student{}, fmt.Errorf("repl: %w", err)
	}
	defer file.Close()
	s, _, err := pdq.ReadStudent(file)
	if err != nil {
		err = fmt.Errorf("%s: %w", f.Path(name), err)
	}
	return s, err
}
