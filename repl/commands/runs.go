package commands

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/repl/shell"
)

// Files of a run folder, beside run.json.
const (
	studentFile    = "student.safetensors"
	sessionFile    = "session.json"
	evaluationFile = "evaluation.json"
	roundingFile   = "rounding.state"
	metricsFile    = "metrics.jsonl"
	savingFolder   = "saving" // what isn't saved completely yet
)

func (e *engine) runCommands() []command {
	return []command{
		{Name: "save", Group: groupRuns, Saves: true, Help: "write the session to a run folder", Run: e.do(save),
			More: "An earlier session in the folder is replaced; a run of another command is not. The folder has run.json " +
				"(settings, seeds, images, versions, hashes and what was typed), the student, the losses, and what eval found. " +
				"A rounding that is under way is saved too, at its step.",
			Args: []shell.Argument{{Name: "dir", Help: "default runs/TEACHER-wWaA-sSEED"}}},
		{Name: "resume", Group: groupRuns, Changes: true, Saves: true, Help: "take up a saved session", Run: e.do(resume),
			More: "Teacher and images are loaded as they were, and checked. A rounding that was under way goes on at its " +
				"step; what its unit sees is observed, and corrected, again.",
			Args: []shell.Argument{{Name: "dir", Help: "a run folder that save wrote", Need: true}}},
		{Name: "runs", Group: groupRuns, Help: "list the run folders", Run: e.do(listRuns),
			Args: []shell.Argument{{Name: "dir", Help: "where they lie; default runs"}}},
		{Name: "compare", Group: groupRuns, Help: "compare two runs: settings and accuracies, paired if they were tested " +
			"on the same images", Run: e.do(compareRuns),
			Args: []shell.Argument{{Name: "run", Help: "a run folder", Need: true},
				{Name: "other", Help: "another", Need: true}}},
		e.ablateCommand(),
	}
}

// saved is what session.json holds, beside what run.json says.
type saved struct {
	Teacher  experiment.Source
	Data     string // the calibration images' data set; "": the teacher's
	Preset   string
	Config   pdq.Config
	Units    []savedUnit
	Student  string // SHA-256 of the student's file, in hex
	UnderWay bool   // a rounding is: roundingFile has it
}

type savedUnit struct {
	Unit       string
	Corrected  bool
	Correction pdq.CorrectionConfig // if so
	Rounded    int                  // steps
	Finished   bool
	Norms      []look.NormView
}

// metric is a line of metrics.jsonl.
type metric struct {
	Unit string
	Step string
	At   int
	Loss pdq.Loss
}

func save(c *call) (session, error) {
	s, dir := c.s, c.Values["dir"]
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	if len(s.student.Weights) == 0 {
		return s, errors.New("repl: nothing is quantised yet, so there is nothing to save; begin: scales weights")
	}
	if dir == "" {
		dir = fmt.Sprintf("runs/%s-w%da%d-s%d", s.teacher.Name, s.config.Bits.W, s.config.Bits.A, s.config.Seed)
	}
	var tests datasets.Stream = datasets.Images{}
	if s.score != nil {
		tests = s.score.images
	}
	record, err := experiment.NewRecord(s.teacher.Network, s.teacher.Weights, s.images.calibration, tests,
		[]experiment.Fixed{{Name: "session", Config: s.config}})
	if err != nil {
		return s, err
	}
	record.Backend, record.Command = s.note, strings.Join(c.Typed(), "; ")
	folder, err := experiment.CreateFolder(dir)
	if err != nil {
		return s, err
	}
	unlock, err := folder.Lock()
	if err != nil {
		return s, err
	}
	defer func() { _ = unlock() }() // the process's end does it too
	if exists(folder.Path(experiment.RecordFile)) && !exists(folder.Path(sessionFile)) {
		return s, fmt.Errorf("repl: %s holds a run that save didn't write; choose another folder: save DIR", folder)
	}
	if err := s.saveIn(folder, q, record); err != nil {
		return s, err
	}
	c.Print("saved in %s: %d of %d units", folder, s.finished(), len(s.units))
	if unit, steps := s.underWay(); steps > 0 {
		c.Print("and the rounding of %s at step %d", unit, steps)
	}
	return s, nil
}

// saveIn writes the session beside an older one in the folder, and takes its place only once all is written.
func (s session) saveIn(folder experiment.Folder, q *pdq.Quantizer, record experiment.Record) error {
	if err := finishSaving(folder); err != nil {
		return err
	}
	part, err := experiment.CreateFolder(folder.Path(savingFolder))
	if err != nil {
		return err
	}
	what := s.saved()
	what.Student, err = part.SaveStudent(q, studentFile, s.student)
	_, steps := s.underWay()
	if what.UnderWay = steps > 0; what.UnderWay && err == nil {
		start := s.rounding.start
		err = part.SaveState(q, roundingFile,
			pdq.State{Unit: start.data.Unit, Student: start.student, Optimiser: s.rounding.state})
	}
	err = errors.Join(err, part.Write(metricsFile, s.metrics()), part.WriteJSON(sessionFile, what), s.saveScore(part),
		part.WriteJSON(experiment.RecordFile, record))
	if err != nil {
		_ = os.RemoveAll(string(part)) // err says more
		return firstLine(err)
	}
	if err := replace(folder, part); err != nil {
		return err // what is in saving/ must stay: finishSaving goes on with it
	}
	_ = os.Remove(string(part)) // empty; finishSaving removes it too
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s session) saved() saved {
	out := saved{Teacher: s.teacher.source, Data: s.images.data, Preset: s.preset, Config: s.config}
	for u, st := range s.units {
		out.Units = append(out.Units,
			savedUnit{s.unitName(u), st.corrected, st.correction, st.rounded, st.finished, st.norms})
	}
	return out
}

// metrics are the losses of all steps, a JSON object a line.
func (s session) metrics() []byte {
	var lines []byte
	for u, st := range s.units {
		for _, l := range st.trace {
			line, err := json.Marshal(metric{s.unitName(u), l.step.String(), l.at, l.Loss})
			if err != nil { // a loss that isn't finite, which steps don't return
				continue
			}
			lines = append(append(lines, line...), '\n')
		}
	}
	return lines
}

// evaluation is what evaluation.json holds: for each image 1 if it was right, else 0.
type evaluation struct {
	Data, Hash       string
	Student, Teacher string
}

func (s session) saveScore(f experiment.Folder) error {
	if s.score == nil {
		return nil
	}
	_, hash := s.score.images.Describe()
	e := evaluation{s.score.data, hash, experiment.Ones(s.score.student), experiment.Ones(s.score.teacher)}
	return f.WriteJSON(evaluationFile, e)
}

func resume(c *call) (session, error) {
	s, f := c.s, experiment.Folder(c.Values["dir"])
	if err := finishSaving(f); err != nil {
		return s, err
	}
	var old saved
	var record experiment.Record
	if err := errors.Join(f.ReadJSON(sessionFile, &old), f.ReadJSON(experiment.RecordFile, &record)); err != nil {
		if err = firstLine(err); record.Command != "" && !exists(f.Path(sessionFile)) {
			err = fmt.Errorf("repl: %s is a run of another command; to go on with it: %s", f, record.Command)
		}
		return s, fmt.Errorf("%w; resume takes a folder that save wrote", err)
	}
	t, err := newTeacher(old.Teacher)
	if err != nil {
		return s, err
	}
	if s, err = c.opened(s, ""); err != nil {
		return c.s, err
	}
	s.teacher, s.preset, s.config, s.logits = t, old.Preset, old.Config, nil
	if s.base, err = s.defaults(old.Preset); err != nil {
		return c.s, err
	}
	s.config.Machine.Workers = s.base.Machine.Workers
	if s.images, err = s.drawAgain(c.Context, old.Data, record.Calibration); err != nil {
		return c.s, err
	}
	s = s.restart()
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return c.s, err
	}
	if err := f.Unchanged(studentFile, old.Student); err != nil {
		return c.s, err
	}
	if s.student, err = f.LoadStudent(q, studentFile); err != nil {
		return c.s, err
	}
	if err := s.takeUnits(f, old.Units); err != nil {
		return c.s, err
	}
	if s.score, err = s.readScore(f); err != nil {
		return c.s, err
	}
	before := c.s
	c.s = s
	if s, err = logits(c); err != nil {
		return before, err
	}
	if old.UnderWay {
		if s, err = c.goOn(s, q, f, old.Units); err != nil {
			return before, err
		}
	}
	c.Print("%s W%dA%d, saved %s: %d of %d units", s.teacher.Name, s.config.Bits.W, s.config.Bits.A,
		record.Started.Format(time.DateTime), s.finished(), len(s.units))
	return s, nil
}

// goOn takes up the rounding that was under way when s was saved.
func (c *call) goOn(s session, q *pdq.Quantizer, f experiment.Folder, units []savedUnit) (session, error) {
	state, err := f.LoadState(q, roundingFile)
	if err != nil {
		return s, err
	}
	if state.Unit >= len(units) {
		return s, fmt.Errorf("repl: %s is of no unit; quantise again", f.Path(roundingFile))
	}
	unit := units[state.Unit]
	var data *pdq.UnitData
	for u := range state.Unit + 1 { // one after the other, as they were: the same bits
		before := data
		data, err = q.Observe(c.Context, state.Student, s.logits, u, before)
		before.Free()
		if err != nil {
			return s, err
		}
	}
	c.keep(data) // frees it, should what follows fail
	if unit.Corrected {
		config := s.config
		config.Correction = unit.Correction
		if q, err = c.quantizer(s, config); err != nil {
			return s, err
		}
		if data, err = q.Correct(c.Context, data); err != nil {
			return s, err
		}
		c.keep(data)
	}
	c.takeLosses() // the correction's, which s has
	s.data = data
	s.rounding = &rounding{&roundingStart{state.Student, data, s.config}, state.Optimiser}
	c.Print("%s goes on at step %d", s.unitName(state.Unit), state.Optimiser.Done)
	return s.with(state.Unit, func(st *unitState) {
		st.corrected, st.correction, st.rounded = unit.Corrected, unit.Correction, state.Optimiser.Done
	}), nil
}

// drawAgain draws the calibration images that a run was fitted to.
func (s session) drawAgain(ctx context.Context, data string, r experiment.CalibrationRecord) (*images, error) {
	pool, _, err := s.pool(data)
	if err != nil {
		return nil, err
	}
	im := &images{data: data}
	if im.calibration, err = pool.Calibrate(ctx, len(r.Indices)+len(r.Skipped), r.Seed); err != nil {
		return nil, err
	}
	if hash := im.calibration.Hash(); hash != r.Hash {
		return nil, fmt.Errorf("repl: the calibration images are others than those of the run: their hash is %.12s, "+
			"not %.12s", hash, r.Hash)
	}
	return im, nil
}

// takeUnits takes the units' states and the losses of a saved session.
func (s *session) takeUnits(f experiment.Folder, units []savedUnit) error {
	if len(units) != len(s.units) {
		return fmt.Errorf("repl: %s has %d units, %s has %d", f.Path(sessionFile), len(units), s.teacher.Name, len(s.units))
	}
	at := map[string]int{}
	for u, x := range units {
		s.units[u] = unitState{rounded: x.Rounded, finished: x.Finished, norms: x.Norms}
		if !x.Finished {
			s.units[u].rounded = 0
		}
		at[s.unitName(u)] = u
	}
	file, err := atomicfile.Open(f.Path(metricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var m metric
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("repl: %s: %w", f.Path(metricsFile), err)
		}
		step := pdq.StepRound
		if m.Step == pdq.StepCorrect.String() {
			step = pdq.StepCorrect
		}
		if u, ok := at[m.Unit]; ok {
			s.units[u].trace = append(s.units[u].trace, loss{step, m.At, m.Loss})
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("repl: %s: %w", f.Path(metricsFile), err)
	}
	return nil
}

// readScore reads what eval found, if it did.
func (s session) readScore(f experiment.Folder) (*score, error) {
	var e evaluation
	if err := f.ReadJSON(evaluationFile, &e); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	data, err := s.open(e.Data)
	if err != nil {
		return nil, err
	}
	if n := data.Test.Len(); len(e.Student) > n || len(e.Student) != len(e.Teacher) {
		return nil, fmt.Errorf("repl: %s is of %d images, the test set has %d", f.Path(evaluationFile), len(e.Student), n)
	}
	images, err := data.Test.Evenly(len(e.Student))
	if err != nil {
		return nil, err
	}
	if _, hash := images.Describe(); hash != e.Hash {
		return nil, fmt.Errorf("repl: the test images of %s are others than those of eval: their hash is %.12s, not "+
			"%.12s; put them back, or remove %s", data.Name, hash, e.Hash, f.Path(evaluationFile))
	}
	return &score{data: e.Data, images: images, student: experiment.FromOnes(e.Student),
		teacher: experiment.FromOnes(e.Teacher)}, nil
}
