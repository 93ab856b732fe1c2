package commands

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

func norms(c *call) (session, error) {
	channels, err := c.Values.Number("channels", 0, 1<<20)
	if err != nil {
		return c.s, err
	}
	s := c.s
	u, err := s.unit(c.Values["unit"])
	if err != nil {
		return s, err
	}
	views := s.units[u].norms // the corrected data itself may be gone
	if views == nil {
		q, err := c.quantizer(s, s.config)
		if err != nil {
			return s, err
		}
		if views, err = look.TeacherNorms(c.Context, q, u, normImages); err != nil {
			return s, err
		}
	}
	if views == nil {
		c.Print("%s has no batch normalisation", s.unitName(u))
		return c.s, nil
	}
	state := "not corrected yet: dc " + s.unitName(u)
	if s.units[u].norms != nil {
		state = "after: corrected"
	}
	c.Print("%s on %d images; %s. Distance is Σ(m-μ)² + Σ(d-σ)²; channels are the worst before", s.unitName(u),
		s.normed(), state)
	var rows [][]any
	f := figure{chart: plot.Chart{Title: s.unitName(u) + ", " + views[0].Layer, Subtitle: c.subtitle() + ", " + state,
		X: "channel, by running mean", Y: "mean"}}
	for _, v := range views {
		rows = append(rows, []any{v.Layer, "all", "", "", "", "", "", "", num("%.4g", v.Before.Distance),
			num("%.4g", v.After.Distance)})
		rows = append(rows, worstChannels(v, channels)...)
	}
	c.Show(shell.Table{Columns: []string{"normalisation", "channel", "μ", "m before", "m after", "σ", "d before",
		"d after", "distance before", "after"}, Rows: rows})
	f.lines = meanLines(views[0])
	return c.s, c.figure(f)
}

// worstChannels are rows of the n channels whose statistics are furthest off.
func worstChannels(v look.NormView, n int) [][]any {
	off := func(s look.NormStats, c int) float64 {
		m, d := s.Mean[c]-v.Mean[c], s.Deviation[c]-v.Deviation[c]
		return m*m + d*d
	}
	order := make([]int, len(v.Mean))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(off(v.Before, b), off(v.Before, a)) })
	var rows [][]any
	for _, c := range order[:min(n, len(order))] {
		row := []any{"", c}
		for _, x := range []float64{v.Mean[c], v.Before.Mean[c], v.After.Mean[c], v.Deviation[c], v.Before.Deviation[c],
			v.After.Deviation[c]} {
			row = append(row, num("%.3f", x))
		}
		rows = append(rows, append(row, num("%.3g", off(v.Before, c)), num("%.3g", off(v.After, c))))
	}
	return rows
}

// meanLines are the means of a normalisation's channels, in the order of the running ones.
func meanLines(v look.NormView) []plot.Line {
	order := make([]int, len(v.Mean))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(v.Mean[a], v.Mean[b]) })
	lines := []plot.Line{{Label: "running"}, {Label: "before"}, {Label: "after"}}
	for i, of := range [][]float64{v.Mean, v.Before.Mean, v.After.Mean} {
		for k, c := range order {
			lines[i].X, lines[i].Y = append(lines[i].X, float64(k)), append(lines[i].Y, of[c])
		}
	}
	return lines
}

func trace(c *call) (session, error) {
	s := c.s
	u, err := s.unit(c.Values["unit"])
	if err != nil {
		return s, err
	}
	of := map[string]pdq.Step{"round": pdq.StepRound, "dc": pdq.StepCorrect}
	step, ok := of[c.Values["step"]]
	if !ok {
		return s, fmt.Errorf("repl: step=%s; choose round or dc", c.Values["step"])
	}
	var losses []loss
	for _, l := range s.units[u].trace {
		if l.step == step {
			losses = append(losses, l)
		}
	}
	if len(losses) < 2 {
		return s, fmt.Errorf("repl: %s has taken no steps of this yet; take some: %s %s", s.unitName(u), c.Values["step"],
			s.unitName(u))
	}
	var rows [][]any
	for i := 0; i < len(losses)-1; i += (len(losses) + 9) / 10 {
		rows = append(rows, losses[i].row())
	}
	rows = append(rows, losses[len(losses)-1].row())
	headers := []string{"step", "loss", "reconstruction", "PD", "rounding"}
	f := figure{chart: plot.Chart{Title: s.unitName(u) + ", " + step.String(), Subtitle: c.subtitle(), X: "step",
		Y: "log10 of the loss"}}
	if step == pdq.StepCorrect {
		headers = headers[:2]
		f.lines = []plot.Line{lossLines(losses, "correction", func(l loss) float64 { return l.Correction })}
	} else {
		f.lines = roundingLines(losses)
	}
	c.Show(shell.Table{Columns: headers, Rows: rows})
	return s, c.figure(f)
}

// row is a line of trace's table.
func (l loss) row() []any {
	row := []any{l.at, num("%.5g", l.Total())}
	if l.step == pdq.StepRound {
		row = append(row, num("%.5g", l.Reconstruction), num("%.5g", l.PD), num("%.5g", l.Round))
	}
	return row
}

// roundingLines are the parts of a rounding's losses.
func roundingLines(losses []loss) []plot.Line {
	return []plot.Line{lossLines(losses, "reconstruction", func(l loss) float64 { return l.Reconstruction }),
		lossLines(losses, "PD", func(l loss) float64 { return l.PD }),
		lossLines(losses, "rounding", func(l loss) float64 { return l.Round })}
}

// lossLines is the logarithm of a part of the losses; where it is 0 there is nothing.
func lossLines(losses []loss, label string, of func(loss) float64) plot.Line {
	line := plot.Line{Label: label}
	for _, l := range losses {
		line.X, line.Y = append(line.X, float64(l.at)), append(line.Y, math.Log10(of(l)))
	}
	return line
}

// quantised returns the quantizer, or an error if the student has nothing that is quantised.
func (c *call) quantised() (*pdq.Quantizer, error) {
	q, err := c.quantizer(c.s, c.s.config)
	if err == nil && len(c.s.student.Weights) == 0 {
		err = errors.New("repl: nothing is quantised yet; begin: scales weights")
	}
	return q, err
}

func diff(c *call) (session, error) {
	s := c.s
	images, err := c.Values.Number("images", 1, 1<<20)
	if err != nil {
		return s, err
	}
	n, err := c.Values.Number("channels", 0, 1<<20)
	if err != nil {
		return s, err
	}
	q, err := c.quantised()
	if err != nil {
		return s, err
	}
	u := -1
	if name := c.Values["unit"]; name != "" {
		if u, err = s.unit(name); err != nil {
			return s, err
		}
	}
	all, err := look.Differences(c.Context, q, s.student, images)
	if err != nil {
		return s, err
	}
	c.Print("signal to noise of the student's outputs, on %d images", min(images, s.images.calibration.Len()))
	var rows [][]any
	f := figure{chart: plot.Chart{Subtitle: c.subtitle(), Y: "signal to noise, dB"}}
	line := plot.Line{}
	if u < 0 {
		for i, d := range all {
			worst := d.Channels[0]
			rows = append(rows, []any{i, d.Unit, num("%.1f", d.SNR), worst.Channel, num("%.1f %%", 100*worst.Share)})
			line.X, line.Y = append(line.X, float64(i)), append(line.Y, d.SNR)
		}
		c.Show(shell.Table{Columns: []string{"", "unit", "dB", "worst channel", "its part of the noise"}, Rows: rows})
		f.chart.Title, f.chart.X, f.lines = "Student against teacher", "unit", []plot.Line{line}
		return s, c.figure(f)
	}
	d := all[u]
	for i, ch := range d.Channels {
		line.X, line.Y = append(line.X, float64(i)), append(line.Y, ch.SNR)
		if i < n {
			rows = append(rows, []any{ch.Channel, num("%.1f", ch.SNR), num("%.1f %%", 100*ch.Share)})
		}
	}
	c.Print("%s: %.1f dB; the channels with most of the noise:", d.Unit, d.SNR)
	c.Show(shell.Table{Columns: []string{"channel", "dB", "part of the noise"}, Rows: rows})
	f.chart.Title, f.chart.X, f.lines = d.Unit, "channel, the one with most noise first", []plot.Line{line}
	return s, c.figure(f)
}

func worst(c *call) (session, error) {
	s := c.s
	images, err := c.subset()
	if err != nil {
		return s, err
	}
	n, err := c.Values.Number("n", 1, 1<<20)
	if err != nil {
		return s, err
	}
	q, err := c.quantised()
	if err != nil {
		return s, err
	}
	all, err := look.Sensitivities(c.Context, q, s.student, images)
	if err != nil {
		return s, err
	}
	c.Print("PD of each of %d quantisers alone, on %d images", len(all), min(images, s.images.calibration.Len()))
	var rows [][]any
	line := plot.Line{}
	for i, x := range all {
		line.X, line.Y = append(line.X, float64(i)), append(line.Y, math.Log10(max(x.PD, 1e-12)))
		if i < n {
			what := "weight"
			if x.Output {
				what = "output"
			}
			rows = append(rows, []any{x.Layer, what, x.Bits, num("%.4g", x.PD), num("%.1f %%", 100*x.Changed)})
		}
	}
	c.Show(shell.Table{Columns: []string{"layer", "of", "bits", "PD", "predictions changed"}, Rows: rows})
	return s, c.figure(figure{chart: plot.Chart{Title: "Each quantiser alone", Subtitle: c.subtitle(),
		X: "quantiser, the worst first", Y: "log10 of PD"}, lines: []plot.Line{line}})
}

func prefix(c *call) (session, error) {
	s := c.s
	n, err := c.Values.Number("n", 1, 1<<30)
	if err != nil {
		return s, err
	}
	q, err := c.quantised()
	if err != nil {
		return s, err
	}
	parts, err := c.prefixImages(n)
	if err != nil {
		return s, err
	}
	table := shell.Table{Columns: []string{"quantised up to"}}
	f := figure{chart: plot.Chart{Title: "The first units quantised", Subtitle: c.subtitle(), X: "units", Y: "PD"}}
	for _, p := range parts {
		all, err := look.Prefixes(c.Context, q, s.student, p.images)
		if err != nil {
			return s, err
		}
		c.Print("%d %s images", len(all[0].Score.Top1), p.name)
		table.Columns = append(table.Columns, p.name+" %", "PD")
		line := plot.Line{Label: p.name}
		for u, x := range all {
			if u == len(table.Rows) {
				table.Rows = append(table.Rows, []any{x.Unit})
			}
			top1 := num("%.2f", experiment.AccuracyOf(x.Score).Percent())
			table.Rows[u] = append(table.Rows[u], top1, num("%.3f", x.PD))
			line.X, line.Y = append(line.X, float64(u+1)), append(line.Y, x.PD)
		}
		f.lines = append(f.lines, line)
	}
	c.Show(table)
	return s, c.figure(f)
}

// imagesCalled are images with a name for tables.
type imagesCalled struct {
	name   string
	images datasets.Stream
}

// prefixImages returns the first n calibration images, if they have labels, and the test images that the option n asks
// for.
func (c *call) prefixImages(n int) (parts []imagesCalled, err error) {
	calibration := c.s.images.calibration
	first := calibration.Slice(0, min(n, calibration.Len()))
	if !first.Labelled() {
		c.Note("the calibration images have no labels, so that only the test images count")
	} else {
		parts = append(parts, imagesCalled{"calibration", first})
	}
	test, err := c.testImages(c.s)
	return append(parts, imagesCalled{"test", test}), err
}
