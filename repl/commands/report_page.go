package commands

import (
	"fmt"
	"html"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

// reportPage returns a report on runs, as a page of HTML.
func reportPage(runs []reported) (string, error) {
	settings, err := settingsOf(runs)
	if err != nil {
		return "", err
	}
	var names []string
	for _, r := range runs {
		names = append(names, r.name)
	}
	title := strings.Join(names, ", ")
	body := "<h1>" + html.EscapeString(title) + "</h1>\n" + accuracySection(runs) + "<h2>What was run</h2>\n" +
		givenTable(runs).HTML() + settings + unitSection(runs) + layerSection(runs)
	return shell.Page(title, body), nil
}

// paragraph is a paragraph of text.
func paragraph(format string, args ...any) string {
	return "<p>" + html.EscapeString(fmt.Sprintf(format, args...)) + "</p>\n"
}

// drawing is a chart as an element, in a line of its own.
func drawing(f figure) string { return f.HTML() + "\n" }

// folded is an element that a click unfolds.
func folded(summary, body string) string {
	return "<details><summary>" + html.EscapeString(summary) + "</summary>\n" + body + "</details>\n"
}

// perRun is a table with a column for each run.
func perRun(runs []reported, first string) shell.Table {
	t := shell.Table{Columns: []string{first}}
	for _, r := range runs {
		t.Columns = append(t.Columns, r.name)
	}
	return t
}

// addRow adds what of says of each run.
func addRow(t *shell.Table, runs []reported, name string, of func(r reported) string) {
	row, some := []any{name}, false
	for _, r := range runs {
		text := of(r)
		row, some = append(row, text), some || text != ""
	}
	if some {
		t.Rows = append(t.Rows, row)
	}
}

// givenTable says what each run was given.
func givenTable(runs []reported) shell.Table {
	t := perRun(runs, "")
	hash := func(h string) string { return h[:min(12, len(h))] }
	for _, x := range []struct {
		name string
		of   func(r reported) string
	}{
		{"started", func(r reported) string { return r.record.Started.Format(time.DateTime) + " UTC" }},
		{"command", func(r reported) string { return r.record.Command }},
		{"network", func(r reported) string { return r.record.Teacher }},
		{"weights, SHA-256", func(r reported) string { return hash(r.record.TeacherHash) }},
		{"calibration images", func(r reported) string {
			cal := r.record.Calibration
			return fmt.Sprintf("%d of %s, seed %d, SHA-256 %s", len(cal.Indices), cal.Pool, cal.Seed, hash(cal.Hash))
		}},
		{"test images", func(r reported) string {
			if len(r.all) == 0 {
				return "not evaluated"
			}
			return fmt.Sprintf("%d of %s, SHA-256 %s", r.all[0].Test.N, r.record.Test, hash(r.record.TestHash))
		}},
		{"bits of the last method", func(r reported) string {
			return fmt.Sprintf("W%dA%d, rule %v", r.config.Bits.W, r.config.Bits.A, r.config.Bits.Rule)
		}},
		{"seeds", seedsOf},
		{"seconds of quantising", secondsOf},
		{"peak memory, MiB", func(r reported) string {
			most := int64(0)
			for _, x := range r.all {
				most = max(most, x.PeakMemory)
			}
			if most == 0 {
				return ""
			}
			return fmt.Sprint(most >> 20)
		}},
		{"backend", func(r reported) string { return backend.WithoutPath(r.record.Backend) }},
		{"machine", func(r reported) string { return fmt.Sprintf("%s, %d threads", r.record.Machine, r.record.Threads) }},
		{"versions", func(r reported) string { return strings.Join(r.record.Versions, ", ") }},
	} {
		addRow(&t, runs, x.name, x.of)
	}
	return t
}

// secondsOf is the time of a run's last method, over seeds; "": unknown.
func secondsOf(r reported) string {
	if len(r.results) == 0 || r.results[0].Seconds == 0 {
		return ""
	}
	return experiment.Seconds(r.results).String()
}

// seedsOf lists the seeds of a run's last method.
func seedsOf(r reported) string {
	if len(r.results) == 0 {
		return fmt.Sprint(r.config.Seed)
	}
	var all []string
	for _, x := range r.results {
		all = append(all, fmt.Sprint(x.Seed))
	}
	return strings.Join(all, ", ")
}

// settingsOf shows the settings of each run's last method: those that differ, and all.
func settingsOf(runs []reported) (string, error) {
	fields, err := pdq.Fields()
	if err != nil {
		return "", err
	}
	all, differ := perRun(runs, "field"), perRun(runs, "field")
	all.Columns = append(all.Columns, "meaning")
	for _, f := range fields {
		row, same := []any{f.Name}, true
		for _, r := range runs {
			value, _ := r.config.Get(f.Name) // Fields lists it
			first, _ := runs[0].config.Get(f.Name)
			row, same = append(row, value), same && value == first
		}
		if !same {
			differ.Rows = append(differ.Rows, row)
		}
		all.Rows = append(all.Rows, append(slices.Clip(row), f.Meaning))
	}
	text := "<h2>Settings</h2>\n"
	if len(runs) > 1 && differ.Rows == nil {
		text += paragraph("The settings are the same.")
	} else if len(runs) > 1 {
		text += paragraph("These differ:") + differ.HTML()
	}
	return text + folded(fmt.Sprintf("All %d settings of the last method", len(all.Rows)), all.HTML()), nil
}

// accuracySection compares the accuracies of all methods of the runs.
func accuracySection(runs []reported) string {
	t := shell.Table{Columns: []string{"run", "network", "bits", "method", "top-1 %", "test images", "to full precision",
		"to the first method", "calibration top-1 %", "seeds"}}
	for k, r := range runs {
		for _, s := range experiment.Summarise(r.all) {
			row := []any{r.name, s.Network, s.Width.String(), s.Method, experiment.Top1(s.Results).String(),
				shell.Count(s.Results[0].Test.N), "", "", "", len(s.Results)}
			if s.Method == experiment.FullPrecision {
				if k > 0 && r.sameTest(runs[0]) {
					continue
				}
				row[2], row[9] = "", ""
			} else if s.Teacher != nil {
				row[6] = experiment.Difference(s.Results, s.Teacher).Signed()
			}
			if s.Base != nil {
				row[7] = experiment.Difference(s.Results, s.Base).Signed()
			}
			if e := experiment.CalibrationTop1(s.Results); !math.IsNaN(e.Mean) {
				row[8] = fmt.Sprintf("%.2f", e.Mean)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	text := "<h2>Accuracy</h2>\n"
	if t.Rows == nil {
		return text + paragraph("Not evaluated.")
	}
	text += accuracyChart(runs) + withoutEmpty(t).HTML() + paragraph("± is one standard error: over the test images of "+
		"one seed, over seeds of several. Differences are paired, image by image or seed by seed.")
	for _, r := range runs[1:] {
		text += paragraph("%s against %s: %s.", r.name, runs[0].name, r.against(runs[0].side))
	}
	return text
}

// sameTest says whether two runs were tested on the same images, with the same network in full precision.
func (r reported) sameTest(o reported) bool {
	return len(o.all) > 0 && r.record.TeacherHash == o.record.TeacherHash && r.record.TestHash == o.record.TestHash
}

// accuracyChart draws the accuracies of all methods of the runs.
func accuracyChart(runs []reported) string {
	var bars []plot.Bar
	for k, r := range runs {
		for i, b := range experiment.Bars(r.all) {
			full := b.Label == experiment.FullPrecision
			switch {
			case full && k > 0 && r.sameTest(runs[0]):
				continue
			case full && k == 0 || len(runs) == 1:
			case len(r.all) == 2 && i == 1:
				b.Label = r.name
			default:
				b.Label = r.name + ": " + b.Label
			}
			bars = append(bars, b)
		}
	}
	first := runs[0]
	title := fmt.Sprintf("%s, W%dA%d", first.record.Teacher, first.config.Bits.W, first.config.Bits.A)
	png, err := drawn("chart.png", func(path string) error {
		return plot.Bars(path, title, first.record.Test, "top-1 accuracy (%)", bars)
	})
	if err != nil { // the table says it too
		return ""
	}
	return pngImage("accuracies", png) + "\n"
}

// withoutEmpty returns t without the columns that have nothing.
func withoutEmpty(t shell.Table) shell.Table {
	out := shell.Table{Rows: make([][]any, len(t.Rows))}
	for i, name := range t.Columns {
		if !slices.ContainsFunc(t.Rows, func(row []any) bool { return row[i] != "" }) {
			continue
		}
		out.Columns = append(out.Columns, name)
		for k, row := range t.Rows {
			out.Rows[k] = append(out.Rows[k], row[i])
		}
	}
	return out
}

// unitSection shows losses and the correction's effect.
func unitSection(runs []reported) string {
	text := "<h2>Units</h2>\n"
	var names []string
	for _, r := range runs {
		for _, u := range r.units {
			if !slices.Contains(names, u.name) {
				names = append(names, u.name)
			}
		}
	}
	if names == nil {
		return text + paragraph("Losses are kept by save only, and not by a run of several methods.")
	}
	text += `<div class="charts">`
	for _, name := range names {
		if lines := unitLines(runs, name); len(lines) > 0 {
			subtitle := "loss of rounding"
			if len(lines) == 1 {
				subtitle += ", " + lines[0].Label
			}
			text += drawing(figure{chart: plot.Chart{Title: name, Subtitle: subtitle, X: "step", Y: "log10 of the loss"},
				lines: lines})
		}
	}
	text += "</div>\n"
	for _, r := range runs {
		text += unitTable(r)
	}
	return text
}

// unitLines are the losses of a unit: by their parts of one run, in all of several.
func unitLines(runs []reported, name string) []plot.Line {
	var lines []plot.Line
	for _, r := range runs {
		for _, u := range r.units {
			losses := thinned(ofStep(u.losses, pdq.StepRound), 400)
			switch {
			case u.name != name || len(losses) < 2:
			case len(runs) > 1:
				lines = append(lines, lossLines(losses, r.name, func(l loss) float64 { return l.Total() }))
			default:
				lines = append(lines, roundingLines(losses)...)
			}
		}
	}
	return slices.DeleteFunc(lines, func(l plot.Line) bool { // such as a term that is off
		return !slices.ContainsFunc(l.Y, func(y float64) bool { return !math.IsInf(y, 0) && !math.IsNaN(y) })
	})
}

// ofStep are the losses of a step.
func ofStep(losses []loss, step pdq.Step) []loss {
	return slices.DeleteFunc(slices.Clone(losses), func(l loss) bool { return l.step != step })
}

// unitTable lists the last losses of a run's units, and what correction did.
func unitTable(r reported) string {
	t := shell.Table{Columns: []string{"unit", "steps", "loss", "reconstruction", "PD", "rounding", "distance before",
		"distance after"}}
	before, after := plot.Line{Label: "before"}, plot.Line{Label: "after"}
	for i, u := range r.units {
		row := []any{u.name, "", "", "", "", "", "", ""}
		if losses := ofStep(u.losses, pdq.StepRound); len(losses) > 0 {
			copy(row[1:], losses[len(losses)-1].row())
		}
		if u.before > 0 {
			row[6], row[7] = num("%.4g", u.before), num("%.4g", u.after)
			before.X, before.Y = append(before.X, float64(i)), append(before.Y, math.Log10(u.before))
			after.X, after.Y = append(after.X, float64(i)), append(after.Y, math.Log10(u.after))
		}
		t.Rows = append(t.Rows, row)
	}
	if t.Rows == nil {
		return ""
	}
	text := "<h3>" + html.EscapeString(r.name) + "</h3>\n"
	if len(before.X) > 1 {
		text += `<div class="charts">` + drawing(figure{chart: plot.Chart{Title: "Distribution correction", X: "unit",
			Subtitle: "distance of the units' inputs to the statistics of batch normalisation", Y: "log10 of the distance"},
			lines: []plot.Line{before, after}}) + "</div>\n"
	}
	return text + withoutEmpty(t).HTML()
}

// layerSection shows widths and scales.
func layerSection(runs []reported) string {
	text, some := "<h2>Layers</h2>\n", false
	var weights, outputs []plot.Line
	for _, r := range runs {
		w, o := plot.Line{Label: r.name}, plot.Line{Label: r.name}
		for i, lb := range r.layers() {
			if q, ok := r.student.Weights[lb.Layer]; ok {
				w.X, w.Y = append(w.X, float64(i)), append(w.Y, math.Log10(mean(q.Scale)))
			}
			if a, ok := r.student.Acts[lb.Layer]; ok {
				o.X, o.Y = append(o.X, float64(i)), append(o.Y, math.Log10(float64(a.Scale)))
			}
		}
		if len(w.X) > 1 {
			weights = append(weights, w)
		}
		if len(o.X) > 1 {
			outputs = append(outputs, o)
		}
	}
	text += `<div class="charts">`
	for _, x := range []struct {
		title string
		lines []plot.Line
	}{{"Scales of weights, mean over channels", weights}, {"Scales of outputs", outputs}} {
		if len(x.lines) > 0 {
			text += drawing(figure{chart: plot.Chart{Title: x.title, X: "layer, in the network's order",
				Y: "log10 of the scale"}, lines: x.lines})
		}
	}
	text += "</div>\n"
	for _, r := range runs {
		if rows := layerTable(r); rows != "" {
			text, some = text+"<h3>"+html.EscapeString(r.name)+"</h3>\n"+rows, true
		}
	}
	if !some {
		return text + paragraph("No student is kept.")
	}
	return text
}

func mean(xs []float32) float64 {
	var sum float64
	for _, x := range xs {
		sum += float64(x)
	}
	return sum / float64(len(xs))
}

// layers are the widths of a run's layers, in the network's order where the run recorded it.
func (r reported) layers() pdq.Plan {
	if r.record.Plan != nil {
		return r.record.Plan
	}
	bits := map[string]pdq.LayerBits{}
	for name, q := range r.student.Weights {
		bits[name] = pdq.LayerBits{Layer: name, Weight: q.Bits}
	}
	for name, a := range r.student.Acts {
		lb := bits[name]
		lb.Layer, lb.Output = name, a.Bits
		bits[name] = lb
	}
	var plan pdq.Plan
	for _, name := range slices.Sorted(maps.Keys(bits)) {
		plan = append(plan, bits[name])
	}
	return plan
}

// layerTable is the map of bits, with the scales.
func layerTable(r reported) string {
	var b strings.Builder
	for _, lb := range r.layers() {
		weight, output := "", ""
		if q, ok := r.student.Weights[lb.Layer]; ok {
			weight = fmt.Sprintf("%.4g to %.4g", slices.Min(q.Scale), slices.Max(q.Scale))
		}
		if a, ok := r.student.Acts[lb.Layer]; ok {
			output = fmt.Sprintf("%.4g, zero point %g", a.Scale, a.Zero)
		}
		fmt.Fprintf(&b, "<tr><td>%s</td>%s<td>%s</td>%s<td>%s</td></tr>\n", html.EscapeString(lb.Layer), bitsCell(lb.Weight),
			weight, bitsCell(lb.Output), output)
	}
	if b.Len() == 0 {
		return ""
	}
	return "<table>\n<tr><th>layer</th><th>weight bits</th><th>scales by channel</th><th>output bits</th>" +
		"<th>scale</th></tr>\n" + b.String() + "</table>\n"
}

// bitsCell is a width, the darker the narrower.
func bitsCell(bits int) string {
	if bits == 0 {
		return "<td></td>"
	}
	return fmt.Sprintf(`<td style="text-align:right;background:rgba(0,114,178,%.2f)">%d</td>`, 0.6*float64(9-bits)/7, bits)
}
