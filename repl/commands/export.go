package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/export"
	"github.com/pdquant/pdquant/repl/shell"
)

// exportCommands write the student for other programs.
func (e *engine) exportCommands() []command {
	return []command{
		{Name: "export", Group: groupRuns, Help: "write the student as an ONNX file, and check it in ONNX Runtime",
			Run: e.do(exportONNX),
			More: "packed stores weights in 2, 4 or 8 bits, qcdq in 8, float on their levels in float32. All compute the " +
				"same. A student of an ONNX file keeps that file's graph and names. The check compares the file's logits on " +
				"calibration images with the student's; it needs ONNX Runtime (make onnxruntime). Where an activation lies " +
				"halfway between two levels, sums in another order may give the other level, and other logits. " +
				"docs/formats.md describes the file and has a program that runs it.",
			Args: []shell.Argument{{Name: "file", Help: "to write: student.onnx", Need: true}},
			Options: []shell.Option{option("form", "packed", "packed, qcdq or float"),
				option("opset", "", "version of ONNX's operators, 13 to 25; default the lowest that has all that is needed"),
				option("images", "128", "calibration images for the check, the first ones")}},
		{Name: "encodings", Group: groupRuns, Help: "write the student's scales and zero points", Run: e.do(exportEncodings),
			More: "FILE.json has AIMET's encodings, version 1.0.0: an offset is the zero point times -1. FILE.tsv is a table.",
			Args: []shell.Argument{{Name: "file", Help: "to write: scales.json or scales.tsv", Need: true}}},
	}
}

func exportONNX(c *call) (session, error) {
	s, path := c.s, c.Values["file"]
	var o export.Options
	if err := errors.Join(o.Form.UnmarshalText([]byte(c.Values["form"])),
		c.Values.Override("opset", 1, 1000, &o.Opset)); err != nil {
		return s, err
	}
	images, err := c.Values.Number("images", 1, 1<<20)
	if err != nil {
		return s, err
	}
	if strings.ToLower(filepath.Ext(path)) != ".onnx" {
		return s, fmt.Errorf("repl: %s: ONNX files end in .onnx; export %s.onnx", path, path)
	}
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	if o.Original, err = s.teacher.source.OpenFile(s.teacher.Subject); err != nil {
		c.Print("the file has a graph of the network's layers, not the teacher's: %v", err)
	}
	var model bytes.Buffer
	written, err := export.ONNX(&model, q, s.student, o)
	if err != nil {
		return s, err
	}
	if err := shell.WriteFile(path, func(w io.Writer) error { _, err := w.Write(model.Bytes()); return err }); err != nil {
		return s, err
	}
	if written.Redrawn != nil {
		c.Print("the file has a graph of the network's layers, not the teacher's: %v", written.Redrawn)
	}
	c.Show(writtenRecord(path, written))
	m, err := backend.OpenModel(model.Bytes(), written.Ends.Input, written.Ends.Output)
	if err != nil {
		c.Print("not checked: %v", err)
		return s, nil
	}
	defer func() { _ = m.Close() }() // only memory
	sample := q.Problem().Calibration
	compared, err := export.Compare(c.Context, q, s.student, sample.Slice(0, min(images, sample.Len())),
		export.Batched(m.Run, written.Ends.Batch))
	if err == nil {
		c.Show(comparisonRecord(compared))
	}
	return s, err
}

// writtenRecord shows what was written to path.
func writtenRecord(path string, w export.Written) shell.Record {
	return shell.Record{
		Line: fmt.Sprintf("%s: opset %d, IR version %d, %s; weights %s, %s in float32", path, w.Opset, w.IR,
			kilobytes(w.Bytes), kilobytes(w.Weights), kilobytes(w.FloatWeights)),
		Fields: []shell.Field{{Name: "file", Value: path}, {Name: "opset", Value: w.Opset}, {Name: "ir_version", Value: w.IR},
			{Name: "bytes", Value: w.Bytes}, {Name: "weight_bytes", Value: w.Weights},
			{Name: "float_weight_bytes", Value: w.FloatWeights}}}
}

// comparisonRecord shows how far ONNX Runtime computes what the student does.
func comparisonRecord(c export.Comparison) shell.Record {
	n, model, student := len(c.Model.Top1), experiment.AccuracyOf(c.Model), experiment.AccuracyOf(c.Student)
	return shell.Record{
		Line: fmt.Sprintf("in ONNX Runtime %s: %d of %d predictions are the same, the logits of %d images differ by less "+
			"than 1e-4, all by %.2g at most; accuracy on calibration images %.2f %%, the student's %.2f %%",
			backend.RuntimeVersion(), c.Same, n, c.Close, c.Largest, model.Percent(), student.Percent()),
		Fields: []shell.Field{{Name: "images", Value: n}, {Name: "same", Value: c.Same}, {Name: "close", Value: c.Close},
			{Name: "largest_difference", Value: num("%.2g", c.Largest)},
			{Name: "file_top1_percent", Value: num("%.2f", model.Percent())},
			{Name: "student_top1_percent", Value: num("%.2f", student.Percent())}}}
}

func kilobytes(n int) string { return fmt.Sprintf("%.1f kB", float64(n)/1000) }

func exportEncodings(c *call) (session, error) {
	path := c.Values["file"]
	q, err := c.quantizer(c.s, c.s.config)
	if err != nil {
		return c.s, err
	}
	var write func(w io.Writer, q *pdq.Quantizer, s pdq.Student) error
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		write = export.Encodings
	case ".tsv":
		write = export.WriteTSV
	default:
		return c.s, fmt.Errorf("repl: %s: name a file that ends in .json or .tsv", path)
	}
	err = shell.WriteFile(path, func(w io.Writer) error { return write(w, q, c.s.student) })
	if err == nil {
		c.Print("%d weights and %d outputs in %s", len(c.s.student.Weights), len(c.s.student.Acts), path)
	}
	return c.s, err
}
