package commands

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/export"
	"github.com/pdquant/pdquant/repl/shell"
)

// exportCommands write the student for other programs.
func (e *engine) exportCommands() []command {
	var options []shell.Option
	for _, f := range exportFormats() {
		options = append(options, f.options...)
	}
	return []command{
		{Name: "export", Group: groupRuns, Help: "write the student as an ONNX file and check it, or its weights for PyTorch",
			Run: e.do(exportFile), Options: options,
			More: "The file's ending chooses what is written. FILE.onnx: packed stores weights in 2, 4 or 8 bits, qcdq in 8, " +
				"float on their levels in float32. All compute the same. A student of an ONNX file keeps its graph. The check " +
				"compares the file's logits on calibration images with the student's; it needs ONNX Runtime (make " +
				"onnxruntime). Where an activation lies halfway between two levels, sums in another order may give the other " +
				"level, and other logits. FILE.safetensors: weights on their levels in float32 and biases, normalisation " +
				"folded; FILE.json beside it has scales and zero points. docs/formats.md describes the files and has programs " +
				"that read them.",
			Args: []shell.Argument{{Name: "file", Help: "to write: student.onnx or weights.safetensors", Need: true}}},
		{Name: "encodings", Group: groupRuns, Help: "write the student's scales and zero points", Run: e.do(exportEncodings),
			More: "FILE.json has AIMET's encodings, version 1.0.0: an offset is the zero point times -1. FILE.tsv is a table.",
			Args: []shell.Argument{{Name: "file", Help: "to write: scales.json or scales.tsv", Need: true}}},
	}
}

// exportFormat is a format of files that export writes.
type exportFormat struct {
	ending  string // of its files
	write   func(c *call, q *pdq.Quantizer, path string) error
	options []shell.Option
}

// exportFormats is the table of formats.
func exportFormats() []exportFormat {
	return []exportFormat{
		{".onnx", exportONNX, []shell.Option{formOption(),
			option("opset", "", "of .onnx: version of ONNX's operators, 13 to 25; default the lowest that has all"),
			option("external", "false", "of .onnx: large tensors in FILE.onnx.data beside it: true; from 2 GiB on always"),
			option("images", "128", "of .onnx: calibration images for the check, the first ones")}},
		{".safetensors", exportWeights, []shell.Option{
			option("names", "own", "of .safetensors: the network's own, or torchvision's for MobileNetV2 and RegNetX")}},
	}
}

// exportFile writes a file in the format that its ending names.
func exportFile(c *call) (session, error) {
	path, formats := c.Values["file"], exportFormats()
	i := slices.IndexFunc(formats, func(f exportFormat) bool { return strings.EqualFold(filepath.Ext(path), f.ending) })
	if i < 0 {
		return c.s, fmt.Errorf("repl: export: %s: its ending names no format; end it in .onnx or .safetensors", path)
	}
	for j, f := range formats {
		for _, o := range f.options {
			if j != i && c.Values[o.Name] != o.Value {
				return c.s, fmt.Errorf("repl: export: %s: %s is an option of %s files; leave it out", path, o.Name, f.ending)
			}
		}
	}
	q, err := c.quantizer(c.s, c.s.config)
	if err != nil {
		return c.s, err
	}
	if err := keepsTeacher(path, c.s.teacher.Source); err != nil {
		return c.s, err
	}
	return c.s, formats[i].write(c, q, path)
}

// keepsTeacher is an error if path is a file that the teacher is read from, which a student must not replace.
func keepsTeacher(path string, src experiment.Source) error {
	target, err := os.Stat(path)
	if err != nil {
		return nil // nothing is there
	}
	for _, of := range []string{src.Name, src.Checkpoint} {
		if file, err := os.Stat(of); err == nil && os.SameFile(file, target) {
			return fmt.Errorf("repl: %s is the teacher's file; export to another", path)
		}
	}
	return nil
}

func formOption() shell.Option { return option("form", "packed", "of .onnx: packed, qcdq or float") }

// exportONNX writes the student as an ONNX file, and checks it in ONNX Runtime.
func exportONNX(c *call, q *pdq.Quantizer, path string) (err error) {
	t := target{path: path, teacher: c.s.teacher.File}
	if err := errors.Join(t.options.Form.UnmarshalText([]byte(c.Values["form"])),
		c.Values.Override("opset", 1, 1000, &t.options.Opset)); err != nil {
		return err
	}
	if t.images, err = c.Values.Number("images", 1, 1<<20); err != nil {
		return err
	}
	if t.options.External, err = c.Values.Bool("external"); err != nil {
		return err
	}
	return c.export(q, c.s.student, t)
}

// target is an ONNX file to write, and on how many calibration images to check it.
type target struct {
	path    string
	teacher experiment.File
	options export.Options
	images  int
}

// check is an error if the file can't be written, whatever the student.
func (t target) check() error {
	if strings.ToLower(filepath.Ext(t.path)) != ".onnx" {
		return fmt.Errorf("repl: %s: ONNX files end in .onnx; export %s.onnx", t.path, t.path)
	}
	return shell.CanWrite(t.path)
}

// export writes the student s of q, and checks the file in ONNX Runtime.
func (c *call) export(q *pdq.Quantizer, s pdq.Student, t target) error {
	const redrawn = "the file has a graph of the network's layers, not the teacher's: %v"
	var err error
	if t.options.Original, err = t.teacher.Open(); err != nil {
		c.Print(redrawn, err)
	}
	written, err := export.ONNXFile(t.path, q, s, t.options)
	if err != nil {
		return err
	}
	if written.Redrawn != nil {
		c.Print(redrawn, written.Redrawn)
	}
	c.Show(writtenRecord(t.path, written))
	m, err := backend.OpenModelFile(t.path, backend.ModelOptions{Output: written.Logits})
	if err != nil {
		c.Print("not checked: %v", err)
		return nil
	}
	defer func() { _ = m.Close() }() // only memory
	sample := q.Problem().Calibration
	compared, err := export.Compare(c.Context, q, s, sample.Slice(0, min(t.images, sample.Len())), m.Run)
	if err == nil {
		c.Show(comparisonRecord(compared, sample.Labelled()))
	}
	return err
}

// exportWeights writes the student's weights for PyTorch, and its scales and zero points beside them.
func exportWeights(c *call, q *pdq.Quantizer, path string) error {
	if err := c.Values.OneOf("names", "own", "torchvision"); err != nil {
		return err
	}
	n, _ := q.Folded()
	var name func(layer string) string
	if c.Values["names"] == "torchvision" {
		name = checkpoint.Torchvision(n)
	}
	scales := strings.TrimSuffix(path, filepath.Ext(path)) + ".json"
	err := shell.WriteFile(scales, func(w io.Writer) error { return export.Encodings(w, q, c.s.student, name) })
	if err == nil {
		err = shell.WriteFile(path, func(w io.Writer) error { return export.Weights(w, q, c.s.student, name) })
	}
	if err == nil {
		c.Print("%d parameters of %s in %s, scales and zero points in %s", len(n.Params()), n.Name, path, scales)
	}
	return err
}

// writtenRecord shows what was written to path.
func writtenRecord(path string, w export.Written) shell.Record {
	size := kilobytes(w.Bytes)
	if w.Data > 0 {
		size += fmt.Sprintf(" and %s in %s", kilobytes(w.Data), export.DataFile(path))
	}
	return shell.Record{
		Line: fmt.Sprintf("%s: opset %d, IR version %d, %s; weights %s, %s in float32", path, w.Opset, w.IR, size,
			kilobytes(w.Weights), kilobytes(w.FloatWeights)),
		Fields: []shell.Field{{Name: "file", Value: path}, {Name: "opset", Value: w.Opset}, {Name: "ir_version", Value: w.IR},
			{Name: "bytes", Value: w.Bytes}, {Name: "data_bytes", Value: w.Data}, {Name: "weight_bytes", Value: w.Weights},
			{Name: "float_weight_bytes", Value: w.FloatWeights}}}
}

// comparisonRecord shows how far ONNX Runtime computes what the student does, with accuracies on labelled images.
func comparisonRecord(c export.Comparison, labelled bool) shell.Record {
	n := len(c.Model.Top1)
	r := shell.Record{
		Line: fmt.Sprintf("in ONNX Runtime %s: %d of %d predictions are the same, the logits of %d images differ by less "+
			"than 1e-4, all by %.2g at most", backend.RuntimeVersion(), c.Same, n, c.Close, c.Largest),
		Fields: []shell.Field{{Name: "images", Value: n}, {Name: "same", Value: c.Same}, {Name: "close", Value: c.Close},
			{Name: "largest_difference", Value: num("%.2g", c.Largest)}}}
	if labelled {
		model, student := experiment.AccuracyOf(c.Model).Percent(), experiment.AccuracyOf(c.Student).Percent()
		r.Line += fmt.Sprintf("; accuracy on calibration images %.2f %%, the student's %.2f %%", model, student)
		r.Fields = append(r.Fields, shell.Field{Name: "file_top1_percent", Value: num("%.2f", model)},
			shell.Field{Name: "student_top1_percent", Value: num("%.2f", student)})
	}
	return r
}

func kilobytes(n int) string { return fmt.Sprintf("%.1f kB", float64(n)/1000) }

func exportEncodings(c *call) (session, error) {
	path := c.Values["file"]
	q, err := c.quantizer(c.s, c.s.config)
	if err != nil {
		return c.s, err
	}
	var write func(w io.Writer) error
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		write = func(w io.Writer) error { return export.Encodings(w, q, c.s.student, nil) }
	case ".tsv":
		write = func(w io.Writer) error { return export.WriteTSV(w, q, c.s.student) }
	default:
		return c.s, fmt.Errorf("repl: %s: name a file that ends in .json or .tsv", path)
	}
	err = shell.WriteFile(path, write)
	if err == nil {
		c.Print("%d weights and %d outputs in %s", len(c.s.student.Weights), len(c.s.student.Acts), path)
	}
	return c.s, err
}
