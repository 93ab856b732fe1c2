package commands

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/guptarohit/asciigraph"

	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

// figure is a plot, as text and as a file: lines or bins.
type figure struct {
	chart plot.Chart
	lines []plot.Line
	bins  []plot.Bin
}

func bins(h look.Histogram) []plot.Bin {
	var out []plot.Bin
	wide := (h.High - h.Low) / float64(len(h.Counts))
	for i, n := range h.Counts {
		out = append(out, plot.Bin{Low: h.Low + float64(i)*wide, High: h.Low + float64(i+1)*wide, Count: float64(n)})
	}
	if wide == 0 {
		return []plot.Bin{{Low: h.Low - 0.5, High: h.High + 0.5, Count: float64(sum(h.Counts))}}
	}
	return out
}

// figure shows f, or writes it to the command's file=.
func (c *call) figure(f figure) error {
	path := c.Values["file"]
	if path == "" {
		c.Show(f)
		return nil
	}
	err := f.write(path)
	if err == nil {
		c.Print("plot in %s", path)
	}
	return err
}

// write draws f to a PNG or SVG.
func (f figure) write(path string) error {
	if f.bins != nil {
		return plot.Columns(path, f.chart, f.bins)
	}
	return plot.Lines(path, f.chart, f.lines)
}

// Kind returns "figure".
func (figure) Kind() string { return "figure" }

// Text draws f with characters.
func (f figure) Text(int) string {
	if f.bins != nil {
		return barText(f.bins)
	}
	const width, height = 64, 12
	var data [][]float64
	var labels []string
	chars := []string{"─", "*", "·", "+", "o"}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, l := range f.lines {
		var ys []float64
		for k, y := range l.Y {
			if math.IsInf(y, 0) {
				y = math.NaN()
			}
			ys = append(ys, y)
			if !math.IsNaN(y) {
				lo, hi = min(lo, l.X[k]), max(hi, l.X[k])
			}
		}
		if !math.IsInf(lo, 0) {
			data, labels = append(data, ys), append(labels, fmt.Sprintf("%s %s", chars[i%len(chars)], l.Label))
		}
	}
	if data == nil {
		return "nothing finite to plot"
	}
	options := []asciigraph.Option{asciigraph.Height(height), asciigraph.Width(width), asciigraph.Precision(2)}
	if len(data) > 1 {
		var sets []asciigraph.CharSet
		for i := range data {
			set := asciigraph.DefaultCharSet
			if i > 0 {
				set = asciigraph.CreateCharSet(chars[i%len(chars)])
			}
			sets = append(sets, set)
		}
		options = append(options, asciigraph.SeriesChars(sets...))
	}
	text := asciigraph.PlotMany(data, options...)
	caption := fmt.Sprintf("%s; x: %s, %.4g to %.4g", f.chart.Y, f.chart.X, lo, hi)
	if len(data) > 1 {
		caption += "; " + strings.Join(labels, "  ")
	}
	return text + "\n" + caption
}

// barText draws a histogram with a column for each bin.
func barText(bins []plot.Bin) string {
	const height = 8
	var top float64
	for _, b := range bins {
		top = max(top, b.Count)
	}
	eighths := []rune(" ▁▂▃▄▅▆▇█")
	var b strings.Builder
	for row := height - 1; row >= 0; row-- {
		fmt.Fprintf(&b, "%8s ", map[int]string{height - 1: fmt.Sprintf("%.4g", top), 0: "0"}[row])
		for _, bin := range bins {
			full := int(math.Ceil(bin.Count / max(top, 1) * height * 8))
			b.WriteRune(eighths[min(max(full-8*row, 0), 8)])
		}
		b.WriteByte('\n')
	}
	low, high := fmt.Sprintf("%.4g", bins[0].Low), fmt.Sprintf("%.4g", bins[len(bins)-1].High)
	fmt.Fprintf(&b, "%9s%s%s%s", "", low, strings.Repeat(" ", max(1, len(bins)-len(low)-len(high))), high)
	return b.String()
}

// sparks draws counts as one line of characters.
func sparks(counts []int) string {
	eighths := []rune("▁▂▃▄▅▆▇█")
	top := 1
	for _, n := range counts {
		top = max(top, n)
	}
	var b strings.Builder
	for _, n := range counts {
		b.WriteRune(eighths[n*7/top])
	}
	return b.String()
}

// HTML returns the plot as a PNG, which brings its letters along; what can't be drawn so, as with characters.
func (f figure) HTML() string {
	data, err := f.PNG()
	if err != nil {
		return shell.Text(f.Text(0)).HTML()
	}
	return pngImage(f.chart.Title, data)
}

// pngImage is a PNG as an element.
func pngImage(title string, data []byte) string {
	return fmt.Sprintf(`<img alt="%s" src="data:image/png;base64,%s">`, html.EscapeString(title),
		base64.StdEncoding.EncodeToString(data))
}

// SVG draws f.
func (f figure) SVG() ([]byte, error) { return drawn("chart.svg", f.write) }

// PNG draws f.
func (f figure) PNG() ([]byte, error) { return drawn("chart.png", f.write) }

// drawn returns the content of a file that write makes.
func drawn(name string, write func(path string) error) ([]byte, error) {
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, name)
	if err := write(path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// TSV returns a line for each point of each line, or for each bin.
func (f figure) TSV() string {
	lines := []string{"line\t" + f.chart.X + "\t" + f.chart.Y}
	for _, l := range f.lines {
		for i := range l.X {
			lines = append(lines, fmt.Sprintf("%s\t%v\t%v", l.Label, l.X[i], l.Y[i]))
		}
	}
	if f.bins != nil {
		lines = []string{"low\thigh\tcount"}
	}
	for _, b := range f.bins {
		lines = append(lines, fmt.Sprintf("%v\t%v\t%v", b.Low, b.High, b.Count))
	}
	return strings.Join(lines, "\n")
}

// MarshalJSON returns what is drawn. Points that aren't finite are null.
func (f figure) MarshalJSON() ([]byte, error) {
	type line struct {
		Label string         `json:"label"`
		X     []shell.Number `json:"x"`
		Y     []shell.Number `json:"y"`
	}
	numbers := func(xs []float64) []shell.Number {
		out := make([]shell.Number, len(xs))
		for i, x := range xs {
			out[i].Value = x
		}
		return out
	}
	var lines []line
	for _, l := range f.lines {
		lines = append(lines, line{l.Label, numbers(l.X), numbers(l.Y)})
	}
	return json.Marshal(map[string]any{"title": f.chart.Title, "subtitle": f.chart.Subtitle, "x": f.chart.X,
		"y":     f.chart.Y,
		"lines": lines, "bins": f.bins})
}

// num is a cell of a table.
func num(format string, x float64) shell.Number { return shell.Number{Value: x, Format: format} }

func option(name, value, help string) shell.Option {
	return shell.Option{Name: name, Value: value, Help: help}
}
