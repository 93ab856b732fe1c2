package commands

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

func keepOption() shell.Option {
	return option("keep", "500", "rounding steps of a unit after which it is written down where to go on, should the run "+
		"end")
}

func anewOption() shell.Option {
	return option("anew", "false", "true: remove the folder's results first, finished or not")
}

func joinOption() shell.Option {
	return option("join", "false", "true: share the folder with other processes of the same command, which compute what "+
		"no other does")
}

func seedsOption() shell.Option {
	return option("seeds", "3", "n: the seeds 1 to n; or which, as 2,5 or 7..9")
}

func anywayOption() shell.Option {
	return option("anyway", "false", "true: go on with a network that is at chance level on the data")
}

// stepsOptions are what readSteps reads.
func stepsOptions() []shell.Option {
	return []shell.Option{
		option("steps", "", "rounding steps per unit, 0 to 1000000; empty: the preset's"),
		option("dc", "", "correction steps per unit, 0 to 1000000; empty: the preset's"),
	}
}

// widthOptions are the widths of a command that takes one of each.
func widthOptions() []shell.Option {
	return []shell.Option{option("w", "2", "bits of weights, 2 to 8"), option("a", "2", "bits of activations, 2 to 8")}
}

func backendOption() shell.Option { return option("backend", "auto", "auto, go, onnx, xla, ...") }

func presetOption(value string, names ...string) shell.Option {
	about := map[string]string{
		"glance": "for a first look in minutes", "quick": "for a better look",
		"best":  "what gave the best accuracy, fine-tuning after the units",
		"fast":  "the paper with a correction that stops",
		"paper": "the reference's steps, which take hours",
	}
	var texts []string
	for _, name := range names {
		texts = append(texts, name+": "+about[name])
	}
	return option("preset", value, strings.Join(texts, "; "))
}

// readGrid reads the options that commands with a Grid share, as far as the command has them.
func readGrid(v shell.Values, src *experiment.Source, g *experiment.Grid) error {
	var w, a, seed int
	for _, o := range []struct {
		key    string
		lo, hi int
		to     *int
	}{{"w", 2, 8, &w}, {"a", 2, 8, &a}, {"images", 1, 1 << 30, &g.Images}, {"seed", 0, 1 << 31, &seed},
		{"test", 0, 1 << 30, &src.Tests}, {"held", 0, 1 << 30, &src.Held}, {"keep", 1, 1000000, &g.Every}} {
		if _, has := v[o.key]; !has {
			continue
		}
		n, err := v.Number(o.key, o.lo, o.hi)
		if err != nil {
			return err
		}
		*o.to = n
	}
	for _, o := range []struct {
		key string
		to  *bool
	}{{"fixed", &src.Fixed}, {"distorted", &src.Distorted}, {"anyway", &g.Anyway}, {"join", &g.Join},
		{"anew", new(bool)}} {
		if _, has := v[o.key]; !has {
			continue
		}
		yes, err := v.Bool(o.key)
		if err != nil {
			return err
		}
		*o.to = yes
	}
	g.Bits, g.Seeds, g.Preset = []experiment.Width{{W: w, A: a}}, []uint64{uint64(seed)}, v["preset"]
	var err error
	if v["seeds"] != "" {
		if g.Seeds, err = experiment.ParseSeeds(v["seeds"]); err != nil {
			return err
		}
	}
	g.Machine.MemoryLimit, err = memoryLimit(v)
	return err
}

// readSteps reads the options steps and dc, which change the preset.
func readSteps(v shell.Values, g *experiment.Grid) error {
	for _, o := range []struct{ key, field string }{{"steps", "Rounding.Steps"}, {"dc", "Correction.Steps"}} {
		if v[o.key] == "" {
			continue
		}
		if _, err := v.Number(o.key, 0, 1000000); err != nil {
			return err
		}
		g.Settings = append(g.Settings, experiment.Setting{Field: o.field, Value: v[o.key]})
	}
	return nil
}

// gridBackend opens a backend for g, unless it has one: that of option backend, or for auto the one that the run in
// folder f was begun with.
func (c *call) gridBackend(g *experiment.Grid, f experiment.Folder) (err error) {
	if g.Backend != nil {
		return nil
	}
	var begun experiment.Record
	if c.Values["anew"] != "true" && exists(f.Path(experiment.RecordFile)) {
		if err := f.ReadJSON(experiment.RecordFile, &begun); err != nil {
			return err
		}
	}
	g.Backend, g.Note, err = backend.Reopen(c.Values["backend"], begun.Backend)
	return err
}

// gridFolder returns the run folder of g: option out, or else usual; and opens the backend of g if it has none. With
// anew=true the folder is emptied of results.
func (c *call) gridFolder(g *experiment.Grid, usual string) (experiment.Folder, error) {
	if c.Values["out"] != "" {
		usual = c.Values["out"]
	}
	if err := c.gridBackend(g, experiment.Folder(usual)); err != nil {
		return "", err
	}
	if err := g.Check(); err != nil {
		return "", err
	}
	f, err := experiment.CreateFolder(usual)
	if err != nil {
		return f, err
	}
	if exists(f.Path(sessionFile)) {
		return f, fmt.Errorf("repl: %s holds a session that save wrote; choose another folder with out=", f)
	}
	if c.Values["anew"] == "true" {
		c.Values["anew"] = "false" // in the record, whose command is one to go on with
		return f, f.RemoveResults()
	}
	return f, nil
}

// compute runs g in a folder, and shows how far it is. When it is interrupted, it says how to go on.
func (c *call) compute(g experiment.Grid, f experiment.Folder) ([]experiment.Result, error) {
	defer c.progress.start("")
	before := debug.SetMemoryLimit(-1) // GOMEMLIMIT, if the user has set it
	debug.SetMemoryLimit(min(before, heapLimit(g.Machine.MemoryLimit)))
	defer debug.SetMemoryLimit(before)
	g.Command = "go run ./repl " + c.Line()
	number, first := "", true
	g.Began = func(_ experiment.Cell, n, of int) {
		if number = fmt.Sprintf("%d/%d", n, of); first && n > 1 && !g.Join {
			c.Note("going on  with result %d of %d in %s", n, of, f)
		}
		first = false
	}
	g.Step = func(p experiment.Progress) { c.progress.cell(number, p) }
	g.Warn = func(text string) { c.Note("note      %s", text) }
	g.Finished = func(r experiment.Result) {
		c.progress.done()
		c.Note("%s %v %s, seed %d: %.2f ± %.2f %% (%.0f s)", r.Network, r.Width, r.Method, r.Seed, r.Test.Percent(),
			r.Test.StandardError(), r.Seconds)
	}
	results, err := g.Run(c.Context, f)
	if errors.Is(err, context.Canceled) {
		without := ""
		if slices.Contains(c.Words, "anew=true") {
			without = ", without anew=true"
		}
		c.Note("what was computed is kept in %s; the same command goes on from there%s", f, without)
	}
	return results, err
}

// describe tells what a grid of one network will run, the bits of every tensor among it.
func (c *call) describe(g experiment.Grid, f experiment.Folder) func(r experiment.Record, q *pdq.Quantizer) {
	return func(r experiment.Record, q *pdq.Quantizer) {
		s, bits := g.Subjects[0], q.Config().Bits
		c.Note("folder    %s", f)
		c.Note("backend   %s", g.Note)
		c.Note("teacher   %s, %s", s.Name, s.Origin)
		for _, note := range s.Notes {
			c.Note("note      %s", note)
		}
		c.Note("images    %d of %s for calibration (seed %d), %d of %s for testing", len(r.Calibration.Indices),
			r.Calibration.Pool, r.Calibration.Seed, s.Test.Len(), r.Test)
		// Check has seen that it is right.
		if config, err := pdq.Preset(g.Preset, s.Architecture(), bits.W, bits.A); err == nil {
			if config, err = g.Settings.Set(config); err == nil {
				c.Note("preset    %s: %s", g.Preset, stepsText(config))
			}
		}
		c.Note("bits      W%dA%d, rule %v", bits.W, bits.A, bits.Rule)
		c.Note("memory    %s", planText(q))
		if over := overText(q); over != "" {
			c.Note("memory    %s", over)
		}
		for _, line := range planLines(r.Plan) {
			c.Note("          %s", line)
		}
	}
}

// stepsText tells how many steps of what c takes.
func stepsText(c pdq.Config) string {
	text := fmt.Sprintf("%d rounding steps per unit, batch %d, rounding weight %g, T %g", c.Rounding.Steps,
		c.Rounding.BatchSize, c.Rounding.Weight, c.Loss.Temperature)
	if c.Loss.PD > 0 {
		text += fmt.Sprintf(", λr %g", 1/c.Loss.PD)
	}
	if c.Correction.Steps > 0 {
		text += fmt.Sprintf(", λc %g, %d correction steps per unit", 1/c.Correction.Weight, c.Correction.Steps)
	}
	if f := c.FineTune; f.Steps > 0 {
		text += fmt.Sprintf(", %d steps over the whole network, batch %d", f.Steps, f.BatchSize)
	}
	return text
}

// planLines tells the bits of every layer. Of many layers, those with the same bits share a line.
func planLines(plan []pdq.LayerBits) []string {
	var lines, order []string
	layers := map[string][]string{}
	for _, lb := range plan {
		text := bitsText(lb)
		lines = append(lines, fmt.Sprintf("%-24s %s", lb.Layer, text))
		if layers[text] == nil {
			order = append(order, text)
		}
		layers[text] = append(layers[text], lb.Layer)
	}
	if len(plan) <= manyLayers {
		return lines
	}
	lines = nil
	for _, text := range order {
		names := layers[text]
		if of := len(names); of > 3 {
			names = []string{fmt.Sprintf("%d layers, %s to %s", of, names[0], names[of-1])}
		}
		lines = append(lines, fmt.Sprintf("%-20s %s", text, strings.Join(names, ", ")))
	}
	return append(lines, fmt.Sprintf("(%s lists every layer)", experiment.RecordFile))
}

// manyLayers is how many layers fill a screen.
const manyLayers = 30

func bitsText(lb pdq.LayerBits) string {
	var parts []string
	if lb.Weight > 0 {
		parts = append(parts, fmt.Sprintf("weight %d", lb.Weight))
	}
	if lb.Output > 0 {
		parts = append(parts, fmt.Sprintf("output %d", lb.Output))
	}
	return strings.Join(parts, ", ")
}

// report shows the table of results, how the methods after base compare with it, and the lines. It draws the chart.
func (c *call) report(f experiment.Folder, chart plotTitle, results []experiment.Result, base string,
	lines ...string) error {
	t := experiment.Compare(results)
	c.Show(shell.Table{Columns: t.Columns, Rows: shell.Strings(t.Rows)})
	of, after := experiment.Of(results, base), false
	for _, s := range experiment.Summarise(results) {
		if after {
			c.Print("%s against %s: %s.", s.Method, base, experiment.Verdict(s.Results, of))
		}
		after = after || s.Method == base
	}
	for _, line := range append(t.Notes, lines...) {
		if line != "" {
			c.Print("%s", line)
		}
	}
	err := plot.Bars(f.Path(experiment.ChartFile), chart.title, chart.subtitle, "top-1 accuracy (%)",
		experiment.Bars(results))
	if err != nil {
		return err
	}
	c.Print("Run folder: %s (%s, %s, %s, students)", f, experiment.RecordFile, experiment.ResultsFile,
		experiment.ChartFile)
	if file := f.Path(results[len(results)-1].StudentFile()); exists(file) {
		c.Print("The last student, in the shell: resume %s", file)
	}
	return nil
}

// plotTitle is what stands above a chart.
type plotTitle struct{ title, subtitle string }

// titleOf says what a grid of one network and setting of bits compares.
func titleOf(g experiment.Grid) plotTitle {
	s := g.Subjects[0]
	tests, _ := s.Test.Describe()
	return plotTitle{fmt.Sprintf("%s, %v, %s", s.Name, g.Bits[0], tests),
		fmt.Sprintf("%d test images, %d calibration images, %s, %s preset, %s", s.Test.Len(), g.Images, seedsText(g.Seeds),
			g.Preset, g.Backend)}
}

func seedsText(seeds []uint64) string {
	if len(seeds) == 1 {
		return fmt.Sprintf("seed %d", seeds[0])
	}
	return fmt.Sprintf("%d seeds", len(seeds))
}
