package commands

import (
	"errors"
	"fmt"
	"os"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/export"
	"github.com/pdquant/pdquant/repl/shell"
)

func fineTune(c *call) (session, error) {
	s, config := c.s, c.s.config
	if err := c.Values.Override("steps", 1, 1000000, &config.FineTune.Steps); err != nil {
		return s, err
	}
	switch {
	case s.teacher == nil:
		return s, errNoTeacher()
	case s.finished() < len(s.units):
		return s, fmt.Errorf("repl: %d of %d units are rounded; first: run", s.finished(), len(s.units))
	case config.FineTune.Steps == 0:
		return s, errors.New("repl: FineTune.Steps is 0; say how many: finetune steps=500")
	}
	q, err := c.quantizer(s, config)
	if err != nil {
		return s, err
	}
	changed := true
	q.Warn = func(text string) {
		changed = false
		c.Show(shell.Text(text))
	}
	student, err := q.FineTune(c.Context, s.student)
	if err != nil || !changed {
		return s, err
	}
	s.student, s.score, s.rounding, s.data = student, nil, nil, nil
	c.Print("%d steps over the whole network", config.FineTune.Steps)
	return s, nil
}

func evaluate(c *call) (session, error) {
	s, name := c.s, c.Values["student"]
	if name == "" {
		name = now
	}
	of := s.called(name)
	if of == nil {
		return s, s.noStudent(name)
	}
	file := c.Values["model"]
	if file == "" && c.Values["output"] != "" {
		return s, errors.New("repl: output= is of an ONNX file; give it with model=")
	}
	var model *backend.Model
	if file != "" {
		var err error
		if model, err = openModel(file, backend.ModelOptions{Output: c.Values["output"]}); err != nil {
			return s, err
		}
		defer func() { _ = model.Close() }() // only memory
		if of.teacher == nil || of.images == nil {
			return s, c.evaluateFile(*of, file, model)
		}
	}
	next, err := c.evaluated(*of)
	if err != nil {
		return s, err
	}
	c.Show(next.score.record())
	if model != nil {
		top1, err := export.Evaluate(c.Context, model.Run, next.score.images)
		if err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
		c.Show(fileRecord(file, top1, next.score.student))
	}
	if name == now {
		return next, nil
	}
	return s.withNamed(name, next), nil
}

// evaluateFile tests an ONNX file alone, where there is no student.
func (c *call) evaluateFile(s session, file string, model *backend.Model) error {
	if s.teacher == nil && c.Values["data"] == "" {
		return errors.New("repl: no images to test on; give data=, or load a teacher")
	}
	test, err := c.testImages(s)
	if err != nil {
		return err
	}
	top1, err := export.Evaluate(c.Context, model.Run, test)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	c.Show(fileRecord(file, top1, pdq.Score{}))
	return nil
}

// openModel loads an ONNX file.
func openModel(path string, o backend.ModelOptions) (*backend.Model, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("repl: model: %w; give an ONNX file", err)
	}
	m, err := backend.OpenModelFile(path, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// fileRecord is what eval shows of an ONNX file. Without a student there is nothing to compare.
func fileRecord(path string, file, student pdq.Score) shell.Record {
	a := experiment.AccuracyOf(file)
	r := shell.Record{Line: fmt.Sprintf("%s: %.2f ± %.2f %%", path, a.Percent(), a.StandardError()),
		Fields: []shell.Field{{Name: "file", Value: path}, {Name: "images", Value: a.N},
			{Name: "top1_percent", Value: num("%.2f", a.Percent())},
			{Name: "standard_error", Value: num("%.2f", a.StandardError())}}}
	if len(student.Top1) == 0 {
		r.Line += fmt.Sprintf(" of %d images", a.N)
		return r
	}
	difference := experiment.Paired(file, student)
	r.Line += ", difference to the student " + difference.Signed()
	r.Fields = append(r.Fields, shell.Field{Name: "difference", Value: num("%.2f", difference.Mean)},
		shell.Field{Name: "difference_standard_error", Value: num("%.2f", difference.StandardError)})
	return r
}

// testImages returns those that the options n and data name.
func (c *call) testImages(s session) (datasets.Stream, error) {
	n := 1000
	if err := c.Values.Override("n", 1, 1<<30, &n); err != nil {
		return nil, err
	}
	data, err := s.open(c.Values["data"])
	if err != nil {
		return nil, err
	}
	return data.Test.Evenly(n)
}

// evaluated returns s with the score of its student.
func (c *call) evaluated(s session) (session, error) {
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	result := &score{data: c.Values["data"]}
	images, err := c.testImages(s)
	if err != nil {
		return s, err
	}
	noting := &experiment.Noting{Stream: images}
	result.images = noting
	c.progress.start("full precision")
	result.teacher, err = pdq.EvaluateTeacher(c.Context, s.backend, s.config.Machine, s.teacher.Network,
		s.teacher.Weights, result.images, func(done, total int) {
			c.event(pdq.Event{Step: pdq.StepEvaluate, Done: done, Total: total})
		})
	c.progress.start("")
	if err != nil {
		return s, err
	}
	if text := experiment.SkippedText(noting.Skipped, "test images", images.Len()); text != "" {
		c.Note("%s", text)
	}
	if result.student, err = q.Evaluate(c.Context, s.student, result.images); err != nil {
		return s, err
	}
	s.score = result
	return s, nil
}

// record is what eval shows.
func (r *score) record() shell.Record {
	student, teacher := experiment.AccuracyOf(r.student), experiment.AccuracyOf(r.teacher)
	difference := experiment.Paired(r.student, r.teacher)
	record := shell.Record{Line: fmt.Sprintf("%d images: student %.2f ± %.2f %%, full precision %.2f ± %.2f %%, "+
		"difference %s", student.N, student.Percent(), student.StandardError(), teacher.Percent(), teacher.StandardError(),
		difference.Signed()), Fields: []shell.Field{{Name: "images", Value: student.N}}}
	for _, x := range []struct {
		name  string
		value float64
	}{{"student_top1_percent", student.Percent()}, {"student_standard_error", student.StandardError()},
		{"teacher_top1_percent", teacher.Percent()}, {"teacher_standard_error", teacher.StandardError()},
		{"difference", difference.Mean}, {"difference_standard_error", difference.StandardError}} {
		record.Fields = append(record.Fields, shell.Field{Name: x.name, Value: num("%.2f", x.value)})
	}
	return record
}
