package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/export"
)

// measure quantises a network, unless the run folder has the student, and compares its file with it.
func (s settings) measure(ctx context.Context, subject experiment.Subject, w widths) (row, error) {
	g := s.grid
	g.Subjects, g.Bits = []experiment.Subject{subject}, []experiment.Width{w.width}
	method, err := w.method(subject)
	if err != nil {
		return row{}, err
	}
	g.Methods = []experiment.Method{method}
	folder, err := experiment.CreateFolder(s.runs)
	if err != nil {
		return row{}, err
	}
	results, err := g.Run(ctx, folder)
	if err != nil {
		return row{}, err
	}
	cells := g.Cells()
	q, student, err := g.Student(ctx, folder, cells[len(cells)-1])
	if err != nil {
		return row{}, err
	}
	r := row{network: subject.Name, data: subject.Data, widths: w.name, teacher: results[0].Test,
		images: g.Images, settings: results[1].Settings, seconds: results[1].Seconds}
	var packed, float bytes.Buffer
	if r.written, err = export.ONNX(&packed, q, student, export.Options{Form: export.Packed}); err != nil {
		return r, err
	}
	written, err := export.ONNX(&float, q, student, export.Options{Form: export.Float})
	if err != nil {
		return r, err
	}
	r.floatBytes = written.Bytes
	m, err := backend.OpenModel(packed.Bytes(), backend.ModelOptions{})
	if err != nil {
		return r, err
	}
	r.compared, err = export.Compare(ctx, q, student, subject.Test, m.Run)
	r.runtime = backend.RuntimeVersion()
	return r, errors.Join(err, m.Close())
}

// method is squared error only, at the widths of a row.
func (w widths) method(subject experiment.Subject) (experiment.Method, error) {
	name := "mse"
	if w.mixed {
		name = "mixed"
	}
	folded, _, err := models.Fold(subject.Network, subject.Weights)
	if err != nil {
		return experiment.Method{}, err
	}
	return experiment.Method{Name: name, Change: func(c pdq.Config) (pdq.Config, error) {
		c = c.MSEOnly()
		if !w.mixed {
			return c, nil
		}
		plan, err := c.Bits.Plan(folded)
		if err == nil {
			c.Bits, err = c.Bits.Following(folded, mix(plan))
		}
		return c, err
	}}, nil
}

// row is a line of the table.
type row struct {
	network, data, widths string
	teacher               experiment.Accuracy
	compared              export.Comparison
	written               export.Written // packed
	floatBytes            int            // of the file in the form float
	images                int            // calibration images
	settings              string
	seconds               float64 // that quantising took
	runtime               string  // version of ONNX Runtime
}

// String says what progress shows.
func (r row) String() string {
	c := r.compared
	return fmt.Sprintf("%s %s: student %.2f %%, file %.2f %%, %d of %d predictions the same, logits by %.2g at most",
		r.network, r.widths, experiment.AccuracyOf(c.Student).Percent(), experiment.AccuracyOf(c.Model).Percent(), c.Same,
		len(c.Model.Top1), c.Largest)
}
