package commands

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
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
	namesFolder    = "names"  // a session for each student that has a name
	savingFolder   = "saving" // what isn't saved completely yet
)

func (e *engine) runCommands() []command {
	return []command{
		{Name: "save", Group: groupRuns, Saves: true, Help: "write the session to a run folder", Run: e.do(save),
			More: "An earlier session in the folder is replaced; a run of another command is not. The folder has run.json " +
				"(settings, seeds, images, versions, hashes and what was typed), the student, the losses, and what eval found. " +
				"A rounding that is under way is saved too, at its step.",
			Args: []shell.Argument{{Name: "dir", Help: "default runs/TEACHER-wWaA-sSEED"}}},
		{Name: "resume", Group: groupRuns, Changes: true, Saves: true, Run: e.do(resume),
			Help: "take up a saved session, or a student that grid, quantise, demo, ablate or reproduce wrote",
			More: "Teacher and images are loaded as they were, and checked. A rounding that was under way goes on at its " +
				"step; what its unit sees is observed, and corrected, again. The students in a run folder of those commands " +
				"are listed. A student becomes the one at work, beside those that have names.",
			Args: []shell.Argument{{Name: "run", Help: "a run folder that save wrote, or a student's file: " +
				"runs/grid/resnet8-w2a2-s1-….safetensors", Need: true}}},
		{Name: "runs", Group: groupRuns, Help: "list the run folders", Run: e.do(listRuns),
			Args: []shell.Argument{{Name: "dir", Help: "where they lie; default runs"}}},
		{Name: "compare", Group: groupRuns, Help: "compare two students or runs: settings and accuracies, paired if they " +
			"were tested on the same images", Run: e.do(compareRuns),
			More: "A name of names is that student's, else a run folder's: ./base is a folder in any case.",
			Args: []shell.Argument{{Name: "run", Help: "name of a student, now (the one at work), or a run folder", Need: true},
				{Name: "other", Help: "another", Need: true}}},
		e.ablateCommand(),
	}
}

// saved is what session.json holds, beside what run.json says.
type saved struct {
	Started time.Time `json:"-"` // the record's

	Teacher  experiment.Source
	Data     string // the calibration images' data set; "": the teacher's
	Preset   string
	Config   pdq.Config
	Units    []savedUnit
	Student  string // SHA-256 of the student's file, in hex
	UnderWay bool   // a rounding is: roundingFile has it

	Names []string `json:",omitempty"` // of students, each in its folder of namesFolder
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
	s, dir := c.s.worthSaving(), c.Values["dir"]
	if _, err := c.quantizer(s, s.config); err != nil {
		return c.s, err
	}
	if len(s.student.Weights) == 0 && len(s.names) == 0 {
		return c.s, errors.New("repl: nothing is quantised yet, so there is nothing to save; begin: scales weights")
	}
	if dir == "" {
		dir = fmt.Sprintf("runs/%s-w%da%d-s%d", s.teacher.Name, s.config.Bits.W, s.config.Bits.A, s.config.Seed)
	}
	record, err := s.record()
	if err != nil {
		return c.s, err
	}
	record.Command = strings.Join(c.Typed(), "; ")
	folder, err := experiment.CreateFolder(dir)
	if err != nil {
		return c.s, err
	}
	unlock, err := folder.Lock()
	if err != nil {
		return c.s, err
	}
	defer func() { _ = unlock() }() // the process's end does it too
	if exists(folder.Path(experiment.RecordFile)) && !exists(folder.Path(sessionFile)) {
		return c.s, fmt.Errorf("repl: %s holds a run that save didn't write; choose another folder: save DIR", folder)
	}
	if err := c.saveIn(folder, s, record); err != nil {
		return c.s, err
	}
	c.Print("saved in %s: %d of %d units", folder, s.finished(), len(s.units))
	if unit, steps := s.underWay(); steps > 0 {
		c.Print("and the rounding of %s at step %d", unit, steps)
	}
	return c.s, nil
}

// worthSaving returns s or, where nothing is quantised at work and there are no images to quantise on, the last student
// that has a name, with all that have.
func (s session) worthSaving() session {
	if len(s.names) == 0 || len(s.student.Weights) > 0 || s.images != nil {
		return s
	}
	last := *s.names[len(s.names)-1].of
	last.names = s.names
	return last
}

// record says what the session's student was given.
func (s session) record() (experiment.Record, error) {
	var tests datasets.Stream = datasets.Images{}
	if s.score != nil {
		tests = s.score.images
	}
	record, err := experiment.NewRecord(s.teacher.Network, s.teacher.Weights, s.images.calibration, tests,
		[]experiment.Fixed{{Name: "session", Config: s.config}})
	record.Backend, record.Plan = s.note, s.plan()
	return record, err
}

// saveIn writes s beside an older session in the folder, and takes its place only once all is written.
func (c *call) saveIn(folder experiment.Folder, s session, record experiment.Record) error {
	if err := finishSaving(folder); err != nil {
		return err
	}
	part, err := experiment.CreateFolder(folder.Path(savingFolder))
	if err != nil {
		return err
	}
	if err := c.writeAll(part, s, record); err != nil {
		_ = os.RemoveAll(string(part)) // err says more
		return err
	}
	if err := replace(folder, part); err != nil {
		return err // what is in saving/ must stay: finishSaving goes on with it
	}
	_ = os.Remove(string(part)) // empty; finishSaving removes it too
	return nil
}

// writeAll writes s to a folder, and first the students that have names to folders in it.
func (c *call) writeAll(f experiment.Folder, s session, record experiment.Record) error {
	for _, n := range s.names {
		of, err := experiment.CreateFolder(f.Path(filepath.Join(namesFolder, n.name)))
		if err != nil {
			return err
		}
		r, err := n.of.record()
		if err == nil {
			r.Command = record.Command
			err = c.write(of, *n.of, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return c.write(f, s, record)
}

// write writes s to a folder, but for the students that have names.
func (c *call) write(f experiment.Folder, s session, record experiment.Record) error {
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return err
	}
	what := s.saved()
	what.Student, err = f.SaveStudent(q, studentFile, s.student)
	_, steps := s.underWay()
	if what.UnderWay = steps > 0; what.UnderWay && err == nil {
		start := s.rounding.start
		err = f.SaveState(q, roundingFile,
			pdq.State{Unit: start.data.Unit, Student: start.student, Optimiser: s.rounding.state})
	}
	return firstLine(errors.Join(err, f.Write(metricsFile, s.metrics()), f.WriteJSON(sessionFile, what), s.saveScore(f),
		f.WriteJSON(experiment.RecordFile, record)))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s session) saved() saved {
	out := saved{Teacher: s.teacher.Source, Data: s.images.data, Preset: s.preset, Config: s.config,
		Names: s.studentNames()}
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
	Images           int `json:",omitempty"` // that were asked for; 0: as many as there are scores
	Student, Teacher string
}

// readEvaluation reads a session's evaluation.json. nil: there is none.
func readEvaluation(f experiment.Folder) (*evaluation, error) {
	var e evaluation
	if err := f.ReadJSON(evaluationFile, &e); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &e, nil
}

func (s session) saveScore(f experiment.Folder) error {
	if s.score == nil {
		return nil
	}
	_, hash := s.score.images.Describe()
	e := evaluation{s.score.data, hash, s.score.images.Len(), experiment.Ones(s.score.student),
		experiment.Ones(s.score.teacher)}
	return f.WriteJSON(evaluationFile, e)
}

func resume(c *call) (session, error) {
	f := experiment.Folder(c.Values["run"])
	if strings.HasSuffix(string(f), experiment.StudentEnding) {
		return c.resumeStudent(experiment.Folder(filepath.Dir(string(f))), filepath.Base(string(f)))
	}
	if err := finishAlone(f); err != nil {
		return c.s, err
	}
	s, old, err := c.load(f, session{})
	if err != nil {
		return c.s, err
	}
	for _, name := range old.Names {
		if !canName(name) {
			return c.s, fmt.Errorf("repl: %s names a student %q; save the session again", f.Path(sessionFile), name)
		}
		of, _, err := c.load(experiment.Folder(f.Path(filepath.Join(namesFolder, name))), s)
		if err != nil {
			return c.s, fmt.Errorf("%s: %w", name, err)
		}
		s = s.withNamed(name, of)
	}
	before := c.s
	c.s = s
	if s, err = logits(c); err != nil {
		return before, err
	}
	if old.UnderWay {
		q, err := c.quantizer(s, s.config)
		if err == nil {
			s, err = c.goOn(s, q, f, old.Units)
		}
		if err != nil {
			return before, err
		}
	}
	c.Print("%s W%dA%d, saved %s: %d of %d units", s.teacher.Name, s.config.Bits.W, s.config.Bits.A,
		old.Started.Format(time.DateTime), s.finished(), len(s.units))
	return s, nil
}

// resumeStudent takes up the student of a grid, in the folder f, whose file is called name.
func (c *call) resumeStudent(f experiment.Folder, name string) (session, error) {
	record, hash, err := f.StudentRecord(name)
	if err == nil && len(record.Methods) != 1 {
		err = fmt.Errorf("repl: %s has no method; give a student of grid, quantise, demo, ablate or reproduce", f.Path(name))
	}
	if err != nil {
		return c.s, err
	}
	old := saved{Preset: record.Preset, Config: record.Methods[0].Config}
	switch {
	case record.Source != nil:
		old.Teacher = *record.Source
	case c.s.teacher != nil:
		old.Teacher = c.s.teacher.Source
	default:
		return c.s, fmt.Errorf("repl: %s is of a version that didn't say where its teacher and images are; load these "+
			"first (teacher, with the options that the run had): %s", f.Path(name), record.Command)
	}
	if old.Preset == "" {
		old.Preset = c.s.preset
	}
	s, err := c.given(old, record, c.s)
	if err != nil {
		return c.s, err
	}
	s.names = c.s.names
	if s, err = c.taken(s, f, name, hash); err != nil {
		return c.s, err
	}
	for u := range s.units {
		s.units[u] = unitState{rounded: s.config.Rounding.Steps, finished: true}
	}
	before := c.s
	c.s = s
	if s, err = logits(c); err != nil {
		return before, err
	}
	c.Print("%s W%dA%d, %s, seed %d", s.teacher.Name, s.config.Bits.W, s.config.Bits.A, record.Methods[0].Name,
		s.config.Seed)
	return s, nil
}

// taken returns s with the student whose file is called name.
func (c *call) taken(s session, f experiment.Folder, name, hash string) (session, error) {
	q, err := c.quantizer(s, s.config)
	if err == nil {
		err = f.Unchanged(name, hash)
	}
	if err == nil {
		s.student, err = f.LoadStudent(q, name)
	}
	return s, err
}

// studentList lists the commands that take up the students of a grid in the folder f, or says why there is none.
func studentList(f experiment.Folder) string {
	results, err := f.Results()
	if err != nil {
		return "\n" + err.Error()
	}
	list := ""
	for _, r := range results {
		if path := f.Path(r.StudentFile()); exists(path) {
			list += fmt.Sprintf("\n  resume %s # %s, seed %d, %.2f %%", path, r.Method, r.Seed, r.Test.Percent())
		}
	}
	if list != "" {
		list = "\nits students:" + list
	}
	return list
}

// load reads a session that write wrote, without what a rounding under way needs. Teacher and images are those of
// near, where they are the same.
func (c *call) load(f experiment.Folder, near session) (session, saved, error) {
	var old saved
	var record experiment.Record
	if err := errors.Join(f.ReadJSON(sessionFile, &old), f.ReadJSON(experiment.RecordFile, &record)); err != nil {
		if err = firstLine(err); record.Command != "" && !exists(f.Path(sessionFile)) {
			return c.s, old, fmt.Errorf("repl: %s is a run of another command; to go on with it: %s%s",
				f, record.Command, studentList(f))
		}
		return c.s, old, fmt.Errorf("%w; resume takes a folder that save wrote", err)
	}
	old.Started = record.Started
	s, err := c.given(old, record, near)
	if err != nil {
		return s, old, err
	}
	if s, err = c.taken(s, f, studentFile, old.Student); err != nil {
		return s, old, err
	}
	if err := s.takeUnits(f, old.Units); err != nil {
		return s, old, err
	}
	s.score, err = s.readScore(f)
	return s, old, err
}

// given returns a session with the teacher, images and settings of a saved one.
func (c *call) given(old saved, record experiment.Record, near session) (session, error) {
	s := c.s
	s.names, s.teacher = nil, near.teacher
	var err error
	if near.teacher == nil || !reflect.DeepEqual(near.teacher.Source, old.Teacher) {
		if s.teacher, err = newTeacher(old.Teacher); err != nil {
			return s, err
		}
	}
	if s, err = c.opened(s, "", record.Backend); err != nil {
		return s, err
	}
	if s.teacher != near.teacher {
		if s, err = s.measured(c.Context); err != nil {
			return s, err
		}
	}
	s.preset, s.config, s.logits = old.Preset, old.Config, nil
	if s.base, err = s.defaults(old.Preset); err != nil {
		return s, err
	}
	s.config.Machine = experiment.Suited(s.config.Machine, s.backend)
	if im := near.images; im != nil && im.data == old.Data && im.calibration.Hash() == record.Calibration.Hash {
		s.images = im
	} else if s.images, err = s.drawAgain(c.Context, old.Data, record.Calibration); err != nil {
		return s, err
	}
	return s.restart(), nil
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
	losses, err := readLosses(f)
	if err != nil {
		return err
	}
	for u, x := range units {
		s.units[u] = unitState{rounded: x.Rounded, finished: x.Finished, norms: x.Norms, trace: losses[s.unitName(u)]}
	}
	return nil
}

// readLosses reads the losses of a session's units, by name. Without the file there are none.
func readLosses(f experiment.Folder) (map[string][]loss, error) {
	file, err := atomicfile.Open(f.Path(metricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("repl: %w", err)
	}
	defer file.Close()
	losses := map[string][]loss{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var m metric
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return nil, fmt.Errorf("repl: %s: %w", f.Path(metricsFile), err)
		}
		step := pdq.StepRound
		if m.Step == pdq.StepCorrect.String() {
			step = pdq.StepCorrect
		}
		losses[m.Unit] = append(losses[m.Unit], loss{step, m.At, m.Loss})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("repl: %s: %w", f.Path(metricsFile), err)
	}
	return losses, nil
}

// readScore reads what eval found, if it did.
func (s session) readScore(f experiment.Folder) (*score, error) {
	e, err := readEvaluation(f)
	if e == nil {
		return nil, err
	}
	data, err := s.open(e.Data)
	if err != nil {
		return nil, err
	}
	if n := data.Test.Len(); max(e.Images, len(e.Student)) > n || len(e.Student) != len(e.Teacher) {
		return nil, fmt.Errorf("repl: %s is of %d images, the test set has %d", f.Path(evaluationFile), len(e.Student), n)
	}
	images, err := data.Test.Evenly(cmp.Or(e.Images, len(e.Student)))
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
