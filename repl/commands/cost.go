package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/export"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) costCommand() command {
	return command{Name: "cost", Group: groupRuns, Run: e.do(cost),
		Help: "measure the time and memory that ONNX Runtime takes to run a file",
		More: "Without a file: the student's three forms of export, and its network in full precision. Each line comes " +
			"from a process of its own, which runs nothing but the file, on batches of noise. Time is that of the fastest " +
			"batch, which other programs on the machine change least. Peak is the most memory that the process had (VmHWM), " +
			"model the part of it that came after ONNX Runtime was loaded.",
		Args: []shell.Argument{{Name: "file", Help: "an ONNX file with one input, of images; none: the student"}},
		Options: []shell.Option{option("threads", "1,2", "of ONNX Runtime, separated by commas"),
			option("batch", "1,32", "images that are run together, separated by commas"),
			option("seconds", "1", "how long each is run, at least eight batches"),
			option("output", "", "the logits among several outputs; empty: the only one"),
			option("into", "", "JSON file for the numbers of one number of threads and images, measured in this process")}}
}

// measurement is one process's.
type measurement struct {
	name           string // of the form, or the file
	path, output   string
	threads, batch int
	seconds        float64
}

func cost(c *call) (session, error) {
	s, v := c.s, c.Values
	threads, err := numbers(v, "threads", 1, 256)
	if err != nil {
		return s, err
	}
	batches, err := numbers(v, "batch", 1, 4096)
	if err != nil {
		return s, err
	}
	seconds, err := strconv.ParseFloat(v["seconds"], 64)
	if err != nil || !(seconds > 0 && seconds <= 600) {
		return s, fmt.Errorf("repl: seconds=%s; give a number above 0, 600 at most", v["seconds"])
	}
	m := measurement{name: filepath.Base(v["file"]), path: v["file"], output: v["output"], seconds: seconds}
	if v["into"] != "" {
		if v["file"] == "" || len(threads)+len(batches) != 2 {
			return s, errors.New("repl: into= takes a file and one number of threads and images: cost a.onnx threads=1 batch=1")
		}
		m.threads, m.batch = threads[0], batches[0]
		return s, m.into(c.Context, v["into"])
	}
	files := []measurement{m}
	if v["file"] == "" {
		dir, err := os.MkdirTemp("", "pdquant-cost-")
		if err != nil {
			return s, fmt.Errorf("repl: cost: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // only what it wrote
		if files, err = c.forms(s, dir, m); err != nil {
			return s, err
		}
	} else if _, err := os.Stat(v["file"]); err != nil {
		return s, fmt.Errorf("repl: cost: %w; give an ONNX file", err)
	}
	return s, c.measureAll(files, threads, batches)
}

// numbers reads an option that has whole numbers separated by commas.
func numbers(v shell.Values, key string, lo, hi int) (ns []int, err error) {
	for text := range strings.SplitSeq(v[key], ",") {
		n, err := shell.Values{key: text}.Number(key, lo, hi)
		if err != nil {
			return nil, err
		}
		ns = append(ns, n)
	}
	return ns, nil
}

// into measures m in this process, and writes the numbers to a file.
func (m measurement) into(ctx context.Context, path string) error {
	if err := shell.CanWrite(path); err != nil {
		return err
	}
	got, err := backend.MeasureModel(ctx, m.path, backend.ModelOptions{Output: m.output, Threads: m.threads}, m.batch,
		time.Duration(m.seconds*float64(time.Second)))
	if err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	return shell.WriteFile(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(got) })
}

// fullPrecision is the name of the network that isn't quantised.
const fullPrecision = "full precision"

// forms writes the student in all forms, and its network in full precision, to dir.
func (c *call) forms(s session, dir string, m measurement) (files []measurement, err error) {
	if s.teacher == nil {
		return nil, errNoTeacher()
	}
	config, none := s.config, s.plan()
	for i := range none {
		none[i].Weight, none[i].Output = 0, 0
	}
	if config.Bits, err = config.Bits.Following(s.teacher.folded, none); err != nil {
		return nil, err
	}
	float, err := c.quantizer(s, config)
	if err != nil {
		return nil, err
	}
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return nil, err
	}
	for _, x := range []struct {
		name    string
		q       *pdq.Quantizer
		student pdq.Student
		form    export.Form
	}{{fullPrecision, float, pdq.Student{}, export.Float}, {"float", q, s.student, export.Float},
		{"qcdq", q, s.student, export.QCDQ}, {"packed", q, s.student, export.Packed}} {
		var model bytes.Buffer
		if _, err := export.ONNX(&model, x.q, x.student, export.Options{Form: x.form}); err != nil {
			return nil, err
		}
		m.name, m.path = x.name, filepath.Join(dir, x.form.String()+strconv.Itoa(len(files))+".onnx")
		if err := os.WriteFile(m.path, model.Bytes(), 0o600); err != nil {
			return nil, fmt.Errorf("repl: cost: %w", err)
		}
		files = append(files, m)
	}
	return files, nil
}

// measured is a measurement with its numbers.
type measured struct {
	measurement
	backend.ModelCost
	bytes int64 // of the file
}

// measureAll shows what the files cost, one process after the other.
func (c *call) measureAll(files []measurement, threads, batches []int) error {
	var all []measured
	t := shell.Table{Columns: []string{"file", "kB", "threads", "images", "ms", "peak MB", "model MB"}}
	for _, n := range threads {
		for _, b := range batches {
			for _, m := range files {
				m.threads, m.batch = n, b
				c.progress.show(m.name, len(all), len(files)*len(threads)*len(batches), "")
				x, err := c.apart(m)
				if err != nil {
					c.progress.done()
					return err
				}
				all = append(all, x)
				t.Rows = append(t.Rows, []any{x.name, num("%.1f", float64(x.bytes)/1e3), n, b, num("%.2f", x.Milliseconds),
					num("%.1f", float64(x.Peak)/1e6), num("%.1f", float64(x.Model)/1e6)})
			}
		}
	}
	c.progress.done()
	c.Show(t)
	for _, line := range verdicts(all) {
		c.Print("%s", line)
	}
	return nil
}

// apart measures m in a process of its own.
func (c *call) apart(m measurement) (x measured, err error) {
	info, err := os.Stat(m.path)
	if err != nil {
		return x, fmt.Errorf("repl: cost: %w", err)
	}
	dir, err := os.MkdirTemp("", "pdquant-cost-")
	if err != nil {
		return x, fmt.Errorf("repl: cost: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // only what the process wrote
	program := c.program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return x, fmt.Errorf("repl: cost: %w", err)
		}
	}
	into := filepath.Join(dir, "cost.json")
	cmd := exec.CommandContext(c.Context, program, "cost", m.path, fmt.Sprintf("threads=%d", m.threads),
		fmt.Sprintf("batch=%d", m.batch), fmt.Sprintf("seconds=%g", m.seconds), "output="+m.output, "into="+into)
	if out, err := cmd.CombinedOutput(); err != nil {
		return x, errors.Join(c.Context.Err(), fmt.Errorf("repl: cost: %s", strings.TrimSpace(string(out))))
	}
	data, err := os.ReadFile(into)
	if err == nil {
		err = json.Unmarshal(data, &x.ModelCost)
	}
	if err != nil {
		return x, fmt.Errorf("repl: cost: %w", err)
	}
	x.measurement, x.bytes = m, info.Size()
	return x, nil
}

// verdicts compare the packed form with the network in full precision, in all that was measured.
func verdicts(all []measured) (lines []string) {
	of := func(name string, like measured) (measured, bool) {
		for _, x := range all {
			if x.name == name && x.threads == like.threads && x.batch == like.batch {
				return x, true
			}
		}
		return measured{}, false
	}
	for _, x := range all {
		full, ok := of(fullPrecision, x)
		if x.name != "packed" || !ok || x.Peak == 0 {
			continue
		}
		saves := "saves both"
		switch faster, smaller := x.Milliseconds < 0.95*full.Milliseconds, x.Model < full.Model*19/20; {
		case !faster && smaller:
			saves = "saves memory, not time"
		case !faster:
			saves = "saves neither time nor memory, only the file's size"
		case !smaller:
			saves = "saves time, not memory"
		}
		lines = append(lines, fmt.Sprintf("packed against full precision, %d threads, %d images: %.2f of the file, "+
			"%.2f of the time, %+.1f MB of memory: it %s", x.threads, x.batch, float64(x.bytes)/float64(full.bytes),
			x.Milliseconds/full.Milliseconds, float64(x.Model-full.Model)/1e6, saves))
	}
	return lines
}
