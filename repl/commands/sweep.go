package commands

import (
	"fmt"
	"math"
	"strings"

	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

func sweep(c *call) (session, error) {
	l, output, err := c.part()
	if err != nil {
		return c.s, err
	}
	images, err := c.subset()
	if err != nil {
		return c.s, err
	}
	points := 32
	if c.onGo() {
		points = 16
	}
	if err := c.Values.Override("points", 2, 1000, &points); err != nil {
		return c.s, err
	}
	curves, err := curvesOf(c.Values["metric"])
	if err != nil {
		return c.s, err
	}
	q, err := c.quantizer(c.s, c.s.config)
	if err != nil {
		return c.s, err
	}
	try, what := look.SweepWeight, "weight"
	if output {
		try, what = look.SweepOutput, "output"
	}
	found, err := try(c.Context, q, c.s.student, l.Name, images, points)
	if err != nil {
		return c.s, err
	}
	c.Print("%s, %s, %d scales, PD on %d images", l.Name, what, points, min(images, c.s.images.calibration.Len()))
	c.sweepTable(found)
	f := figure{chart: plot.Chart{Title: l.Name + ", " + what, Subtitle: c.subtitle(), X: "fraction of the full range",
		Y: "relative to the least, log10"}}
	for _, m := range curves {
		f.lines = append(f.lines, relative(m, found))
	}
	return c.s, c.figure(f)
}

// subset is the option images, or as many as take a second or two.
func (c *call) subset() (int, error) {
	if c.Values["images"] != "" {
		return c.Values.Number("images", 1, 1<<20)
	}
	if c.onGo() {
		return 16, nil
	}
	return 32, nil
}

// onGo says whether the Go backend computes, which is slower than the others.
func (c *call) onGo() bool { return strings.HasPrefix(c.s.note, "go:") }

// curve is a metric of a sweep.
type curve struct {
	name string
	of   func(look.SweepPoint) float64
}

func curves() []curve {
	return []curve{{"mse", func(p look.SweepPoint) float64 { return p.MSE }},
		{"lp", func(p look.SweepPoint) float64 { return p.Lp }},
		{"cosine", func(p look.SweepPoint) float64 { return p.Cosine }},
		{"pd", func(p look.SweepPoint) float64 { return p.PD }}}
}

// curvesOf returns the curve called name, or those that the paper argues about.
func curvesOf(name string) ([]curve, error) {
	var some []curve
	for _, m := range curves() {
		if m.name == name || name == "" && m.name != "lp" {
			some = append(some, m)
		}
	}
	if some == nil {
		return nil, fmt.Errorf("repl: metric=%s; choose mse, lp, cosine or pd", name)
	}
	return some, nil
}

// least returns the index of the point with the least of m.
func (m curve) least(points []look.SweepPoint) int {
	best := 0
	for i, p := range points {
		if m.of(p) < m.of(points[best]) {
			best = i
		}
	}
	return best
}

// sweepTable prints at most 16 of the points, those with the least of a metric among them.
func (c *call) sweepTable(points []look.SweepPoint) {
	show := map[int]bool{}
	for i := 0; i < len(points); i += (len(points) + 15) / 16 {
		show[i] = true
	}
	for _, m := range curves() {
		show[m.least(points)] = true
	}
	var rows [][]any
	for i, p := range points {
		if !show[i] {
			continue
		}
		row := []any{num("%.3f", p.Fraction), num("%.4g", p.Scale), num("%g", float64(p.Zero))}
		for _, m := range curves() {
			format := "%.4g"
			if m.least(points) == i {
				format += " *"
			}
			row = append(row, num(format, m.of(p)))
		}
		rows = append(rows, row)
	}
	c.Show(shell.Table{Columns: []string{"fraction", "scale", "zero", "mse", "lp", "cosine", "pd"}, Rows: rows})
}

// relative is the line of m's logarithm above its least value.
func relative(m curve, points []look.SweepPoint) plot.Line {
	line := plot.Line{Label: m.name}
	least := max(m.of(points[m.least(points)]), 1e-12)
	for _, p := range points {
		line.X = append(line.X, p.Fraction)
		line.Y = append(line.Y, math.Log10(max(m.of(p), 1e-12)/least))
	}
	return line
}
