package commands

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/pdq/plot"
)

func norms(c *call) (session, error) {
	channels, err := c.values.number("channels", 0, 1<<20)
	if err != nil {
		return c.s, err
	}
	s := c.s
	u, err := s.unit(c.values["unit"])
	if err != nil {
		return s, err
	}
	views := s.units[u].norms // the corrected data itself may be gone
	if views == nil {
		q, err := c.sh.quantizer(s, s.config)
		if err != nil {
			return s, err
		}
		if views, err = look.TeacherNorms(c.ctx, q, u, normImages); err != nil {
			return s, err
		}
	}
	if views == nil {
		fmt.Fprintf(c.out, "%s has no batch normalisation\n", s.unitName(u))
		return c.s, nil
	}
	state := "not corrected yet: dc " + s.unitName(u)
	if s.units[u].norms != nil {
		state = "after: corrected"
	}
	fmt.Fprintf(c.out, "%s on %d images; %s. Distance is Σ(m-μ)² + Σ(d-σ)²; channels are the worst before\n", s.unitName(u), s.normed(), state)
	var rows [][]string
	f := figure{chart: plot.Chart{Title: s.unitName(u) + ", " + views[0].Layer, Subtitle: c.subtitle() + ", " + state, X: "channel, by running mean", Y: "mean"}}
	for _, v := range views {
		rows = append(rows, []string{v.Layer, "all", "", "", "", "", "", "", fmt.Sprintf("%.4g", v.Before.Distance), fmt.Sprintf("%.4g", v.After.Distance)})
		rows = append(rows, worstChannels(v, channels)...)
	}
	fmt.Fprintln(c.out, grid([]string{"normalisation", "channel", "μ", "m before", "m after", "σ", "d before", "d after", "distance before", "after"}, rows))
	f.lines = meanLines(views[0])
	return c.s, c.figure(f)
}

// worstChannels are rows of the n channels whose statistics are furthest off.
func worstChannels(v look.NormView, n int) [][]string {
	off := func(s look.NormStats, c int) float64 {
		m, d := s.Mean[c]-v.Mean[c], s.Deviation[c]-v.Deviation[c]
		return m*m + d*d
	}
	order := make([]int, len(v.Mean))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(off(v.Before, b), off(v.Before, a)) })
	var rows [][]string
	for _, c := range order[:min(n, len(order))] {
		row := []string{"", fmt.Sprint(c)}
		for _, x := range []float64{v.Mean[c], v.Before.Mean[c], v.After.Mean[c], v.Deviation[c], v.Before.Deviation[c], v.After.Deviation[c]} {
			row = append(row, fmt.Sprintf("%.3f", x))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.3g", off(v.Before, c)), fmt.Sprintf("%.3g", off(v.After, c))))
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
	u, err := s.unit(c.values["unit"])
	if err != nil {
		return s, err
	}
	of := map[string]pdq.Step{"round": pdq.StepRound, "dc": pdq.StepCorrect}
	step, ok := of[c.values["step"]]
	if !ok {
		return s, fmt.Errorf("repl: step=%s; choose round or dc", c.values["step"])
	}
	var losses []loss
	for _, l := range s.units[u].trace {
		if l.step == step {
			losses = append(losses, l)
		}
	}
	if len(losses) < 2 {
		return s, fmt.Errorf("repl: %s has taken no steps of this yet; take some: %s %s", s.unitName(u), c.values["step"], s.unitName(u))
	}
	var rows [][]string
	for i := 0; i < len(losses)-1; i += (len(losses) + 9) / 10 {
		rows = append(rows, losses[i].row())
	}
	rows = append(rows, losses[len(losses)-1].row())
	headers := []string{"step", "loss", "reconstruction", "PD", "rounding"}
	f := figure{chart: plot.Chart{Title: s.unitName(u) + ", " + step.String(), Subtitle: c.subtitle(), X: "step", Y: "log10 of the loss"}}
	if step == pdq.StepCorrect {
		headers = headers[:2]
		f.lines = []plot.Line{lossLines(losses, "correction", func(l loss) float64 { return l.Correction })}
	} else {
		f.lines = []plot.Line{lossLines(losses, "reconstruction", func(l loss) float64 { return l.Reconstruction }),
			lossLines(losses, "PD", func(l loss) float64 { return l.PD }), lossLines(losses, "rounding", func(l loss) float64 { return l.Round })}
	}
	fmt.Fprintln(c.out, grid(headers, rows))
	return s, c.figure(f)
}

// row is a line of trace's table.
func (l loss) row() []string {
	row := []string{fmt.Sprint(l.at), fmt.Sprintf("%.5g", l.Total())}
	if l.step == pdq.StepRound {
		row = append(row, fmt.Sprintf("%.5g", l.Reconstruction), fmt.Sprintf("%.5g", l.PD), fmt.Sprintf("%.5g", l.Round))
	}
	return row
}

// lossLines is the logarithm of a part of the losses; where it is 0 there is nothing.
func lossLines(losses []loss, label string, of func(loss) float64) plot.Line {
	line := plot.Line{Label: label}
	for _, l := range losses {
		line.X, line.Y = append(line.X, float64(l.at)), append(line.Y, math.Log10(of(l)))
	}
	return line
}

func diff(c *call) (session, error) {
	s := c.s
	images, err := c.values.number("images", 1, 1<<20)
	if err != nil {
		return s, err
	}
	n, err := c.values.number("channels", 0, 1<<20)
	if err != nil {
		return s, err
	}
	q, err := c.sh.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	u := -1
	if name := c.values["unit"]; name != "" {
		if u, err = s.unit(name); err != nil {
			return s, err
		}
	}
	if len(s.student.Weights) == 0 {
		return s, errors.New("repl: nothing is quantised yet, so nothing differs; begin: scales weights")
	}
	all, err := look.Differences(c.ctx, q, s.student, images)
	if err != nil {
		return s, err
	}
	fmt.Fprintf(c.out, "signal to noise of the student's outputs, on %d images\n", min(images, s.images.calibration.Len()))
	var rows [][]string
	f := figure{chart: plot.Chart{Subtitle: c.subtitle(), Y: "signal to noise, dB"}}
	line := plot.Line{}
	if u < 0 {
		for i, d := range all {
			worst := d.Channels[0]
			rows = append(rows, []string{fmt.Sprint(i), d.Unit, fmt.Sprintf("%.1f", d.SNR), fmt.Sprint(worst.Channel), fmt.Sprintf("%.1f %%", 100*worst.Share)})
			line.X, line.Y = append(line.X, float64(i)), append(line.Y, d.SNR)
		}
		fmt.Fprintln(c.out, grid([]string{"", "unit", "dB", "worst channel", "its part of the noise"}, rows))
		f.chart.Title, f.chart.X, f.lines = "Student against teacher", "unit", []plot.Line{line}
		return s, c.figure(f)
	}
	d := all[u]
	for i, ch := range d.Channels {
		line.X, line.Y = append(line.X, float64(i)), append(line.Y, ch.SNR)
		if i < n {
			rows = append(rows, []string{fmt.Sprint(ch.Channel), fmt.Sprintf("%.1f", ch.SNR), fmt.Sprintf("%.1f %%", 100*ch.Share)})
		}
	}
	fmt.Fprintf(c.out, "%s: %.1f dB; the channels with most of the noise:\n%s\n", d.Unit, d.SNR, grid([]string{"channel", "dB", "part of the noise"}, rows))
	f.chart.Title, f.chart.X, f.lines = d.Unit, "channel, the one with most noise first", []plot.Line{line}
	return s, c.figure(f)
}

func worst(c *call) (session, error) {
	s := c.s
	images, err := c.subset()
	if err != nil {
		return s, err
	}
	n, err := c.values.number("n", 1, 1<<20)
	if err != nil {
		return s, err
	}
	q, err := c.sh.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	if len(s.student.Weights) == 0 {
		return s, errors.New("repl: nothing is quantised yet; begin: scales weights")
	}
	all, err := look.Sensitivities(c.ctx, q, s.student, images)
	if err != nil {
		return s, err
	}
	fmt.Fprintf(c.out, "PD of each of %d quantisers alone, on %d images\n", len(all), min(images, s.images.calibration.Len()))
	var rows [][]string
	line := plot.Line{}
	for i, x := range all {
		line.X, line.Y = append(line.X, float64(i)), append(line.Y, math.Log10(max(x.PD, 1e-12)))
		if i < n {
			what := "weight"
			if x.Output {
				what = "output"
			}
			rows = append(rows, []string{x.Layer, what, fmt.Sprint(x.Bits), fmt.Sprintf("%.4g", x.PD), fmt.Sprintf("%.1f %%", 100*x.Changed)})
		}
	}
	fmt.Fprintln(c.out, grid([]string{"layer", "of", "bits", "PD", "predictions changed"}, rows))
	return s, c.figure(figure{chart: plot.Chart{Title: "Each quantiser alone", Subtitle: c.subtitle(), X: "quantiser, the worst first", Y: "log10 of PD"}, lines: []plot.Line{line}})
}
