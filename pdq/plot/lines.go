package plot

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

// Chart has the texts of a chart, which may be empty.
type Chart struct {
	Title, Subtitle string
	X, Y            string // names of the axes
}

// Line is a quantity y over a quantity x.
type Line struct {
	Label string
	X, Y  []float64 // of the same length, at least 2; points that aren't finite are left out
}

// Bin is a bin of a histogram.
type Bin struct {
	Low, High float64 // edges, Low < High
	Count     float64 // ≥ 0
}

// mostLines is the largest number of lines in a chart. Readers couldn't tell more colours apart.
const mostLines = 5

// Sizes in points, of charts with two axes.
const (
	plotHeight = 220
	tickLength = 4
	lineWidth  = 1.6
)

// Lines draws up to 5 lines over a common x axis, with a legend if there are several. It writes the chart, which is 500
// points wide, to path, a PNG or SVG by its extension. The y axis spans the values: unlike that of Bars, it needn't
// start at zero. If Lines fails, an older file at path stays as it was.
func Lines(path string, c Chart, lines []Line) error {
	if len(lines) == 0 || len(lines) > mostLines {
		return fmt.Errorf("plot: %d lines; give 1 to %d", len(lines), mostLines)
	}
	var xs, ys []float64
	for i, l := range lines {
		if len(l.X) != len(l.Y) || len(l.X) < 2 {
			return fmt.Errorf("plot: line %d (%s) has %d x and %d y; give as many of both, at least 2",
				i, l.Label, len(l.X), len(l.Y))
		}
		for k := range l.X {
			if finite(l.X[k]) && finite(l.Y[k]) {
				if err := showable(fmt.Sprintf("line %d (%s)", i, l.Label), l.X[k], l.Y[k]); err != nil {
					return err
				}
				xs, ys = append(xs, l.X[k]), append(ys, l.Y[k])
			}
		}
	}
	if xs == nil {
		return errors.New("plot: no point of the lines is finite")
	}
	return write(path, func() *sheet {
		s := newSheet(chartWidth)
		s.header(c.Title, c.Subtitle)
		if len(lines) > 1 {
			s.legend(lines)
		}
		f := s.frame(c, span(xs), span(ys))
		for i, l := range lines {
			f.line(s, l, lineColor(i))
		}
		f.finish(s, c)
		return s
	})
}

// Columns draws a histogram to path, as Lines draws lines. Its y axis starts at zero.
func Columns(path string, c Chart, bins []Bin) error {
	if len(bins) == 0 {
		return errors.New("plot: no bins; give at least one")
	}
	xs, top := []float64{bins[0].Low, bins[len(bins)-1].High}, 0.0
	for i, b := range bins {
		if !(b.Low < b.High && b.Count >= 0) || !finite(b.Low) || !finite(b.High) || !finite(b.Count) {
			return fmt.Errorf("plot: bin %d is from %g to %g with count %g; give finite numbers, edges in order, "+
				"and no negative count", i, b.Low, b.High, b.Count)
		}
		if err := showable(fmt.Sprintf("bin %d", i), b.Low, b.High, b.Count); err != nil {
			return err
		}
		top = max(top, b.Count)
	}
	return write(path, func() *sheet {
		s := newSheet(chartWidth)
		s.header(c.Title, c.Subtitle)
		f := s.frame(c, span(xs), interval{hi: max(top, 1)})
		for _, b := range bins {
			if b.Count > 0 {
				s.fill(f.x(b.Low), f.y(b.Count), f.x(b.High)-f.x(b.Low)-0.5, f.y(0)-f.y(b.Count), accent())
			}
		}
		f.finish(s, c)
		return s
	})
}

// write writes the sheet that draw returns to path.
func write(path string, draw func() *sheet) error {
	encode, err := encoderOf(path)
	if err != nil {
		return err
	}
	chart, err := encode(draw())
	if err != nil {
		return fmt.Errorf("plot: drawing %s: %w", path, err)
	}
	if err := atomicfile.WriteBytes(path, chart); err != nil {
		return fmt.Errorf("plot: writing the chart: %w", err)
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// mostNumber is the largest magnitude that a chart shows. Of larger ones, differences overflow.
const mostNumber = 1e100

// showable is an error that names the first of xs that is too large for a chart.
func showable(what string, xs ...float64) error {
	for _, x := range xs {
		if math.Abs(x) > mostNumber {
			return fmt.Errorf("plot: %s has the number %g; give numbers within ±%g", what, x, mostNumber)
		}
	}
	return nil
}

// lineColor returns the colour of line i. Source: Okabe and Ito, Color Universal Design, 2008.
func lineColor(i int) color.Color {
	return []color.Color{accent(), color.NRGBA{0xd5, 0x5e, 0x00, 0xff}, color.NRGBA{0x00, 0x9e, 0x73, 0xff},
		color.NRGBA{0xcc, 0x79, 0xa7, 0xff}, ink()}[i%mostLines]
}

// interval is the range of an axis.
type interval struct {
	lo, hi float64
	whole  bool // whether its values are whole numbers, so that its ticks are, too
}

// span returns the interval of the values xs. If all are equal, it has some room on both sides.
func span(xs []float64) interval {
	v := interval{lo: xs[0], hi: xs[0], whole: true}
	for _, x := range xs {
		v.lo, v.hi, v.whole = min(v.lo, x), max(v.hi, x), v.whole && x == math.Trunc(x)
	}
	if v.lo == v.hi {
		room := max(math.Abs(v.lo), 1) / 2
		v.lo, v.hi, v.whole = v.lo-room, v.hi+room, false
	}
	return v
}

// tick is a labelled place on an axis.
type tick struct {
	at    float64
	label string
}

// ticks returns ticks at round numbers within v.
func (v interval) ticks() []tick {
	var out []tick
	if v.hi-v.lo < max(1e-9*max(math.Abs(v.lo), math.Abs(v.hi)), 1/mostNumber) {
		return v.ends() // too close for round numbers between
	}
	if v.whole {
		return shortened(v.wholeTicks())
	}
	for _, t := range (plot.DefaultTicks{}).Ticks(v.lo, v.hi) {
		if !t.IsMinor() && t.Value >= v.lo && t.Value <= v.hi {
			out = append(out, tick{t.Value, t.Label})
		}
	}
	if out == nil {
		return v.ends()
	}
	return shortened(out)
}

// wholeTicks returns at most seven ticks, at multiples of 1, 2 or 5 times a power of ten.
func (v interval) wholeTicks() (out []tick) {
	step, next := 1.0, []float64{2, 2.5, 2}
	for i := 0; (v.hi-v.lo)/step > 6; i++ {
		step *= next[i%len(next)]
	}
	for at := math.Ceil(v.lo/step)*step + 0; at <= v.hi; at += step { // + 0: -0 is 0
		out = append(out, tick{at, strconv.FormatFloat(at, 'g', 4, 64)})
	}
	return out
}

// shortened returns ticks of which some are 10,000 or more with labels in thousands or millions.
func shortened(ticks []tick) []tick {
	largest := 0.0
	for _, t := range ticks {
		largest = max(largest, math.Abs(t.at))
	}
	unit, name := 1e3, "k"
	switch {
	case largest < 1e4:
		return ticks
	case largest >= 1e6:
		unit, name = 1e6, "M"
	}
	for i, t := range ticks {
		if ticks[i].label = strconv.FormatFloat(t.at/unit, 'g', 4, 64); t.at != 0 {
			ticks[i].label += name
		}
	}
	return ticks
}

func (v interval) ends() (out []tick) {
	for _, x := range []float64{v.lo, v.hi} {
		out = append(out, tick{x, strconv.FormatFloat(x, 'g', 3, 64)})
	}
	return out
}

// frame is the area between a chart's axes.
type frame struct {
	xs, ys                   interval
	left, right, top, bottom float64
}

func (f frame) x(v float64) float64 {
	return f.left + (f.right-f.left)*(v-f.xs.lo)/(f.xs.hi-f.xs.lo)
}

func (f frame) y(v float64) float64 {
	return f.bottom - (f.bottom-f.top)*(v-f.ys.lo)/(f.ys.hi-f.ys.lo)
}

// frame adds the name of the y axis, its ticks and grid lines at the bottom of the sheet.
func (s *sheet) frame(c Chart, xs, ys interval) frame {
	if c.Y != "" {
		s.height += s.write(c.Y, s.small, margin, s.height, 0, ink()) + 4
	}
	f := frame{xs: xs, ys: ys, top: s.height, bottom: s.height + plotHeight, right: chartWidth - margin - 8}
	for _, t := range ys.ticks() {
		f.left = max(f.left, width(s.small, t.label))
	}
	f.left = math.Ceil(margin + f.left + tickLength + 2)
	for _, t := range ys.ticks() {
		y := f.y(t.at)
		s.fill(f.left, y-0.25, f.right-f.left, 0.5, grid())
		s.write(t.label, s.small, f.left-tickLength, y-lineHeight(s.small)/2, 1, faint())
	}
	return f
}

// line adds a line, which breaks at points that aren't finite.
func (f frame) line(s *sheet, l Line, c color.Color) {
	var piece []point
	for i := range l.X {
		if !finite(l.X[i]) || !finite(l.Y[i]) {
			s.stroke(piece, lineWidth, c)
			piece = nil
			continue
		}
		piece = append(piece, point{f.x(l.X[i]), f.y(l.Y[i])})
	}
	s.stroke(piece, lineWidth, c)
}

// finish adds the x axis and ends the sheet.
func (f frame) finish(s *sheet, c Chart) {
	s.fill(f.left, f.bottom-0.5, f.right-f.left, 1, ink())
	s.fill(f.left-0.5, f.top, 1, f.bottom-f.top, ink())
	y := f.bottom + tickLength
	for _, t := range f.xs.ticks() {
		s.fill(f.x(t.at)-0.25, f.bottom, 0.5, tickLength, ink())
		s.write(t.label, s.small, f.x(t.at), y, 0.5, faint())
	}
	y += lineHeight(s.small) + 3
	for _, line := range wrap(c.X, s.normal, f.right-f.left) {
		y += s.write(line, s.normal, (f.left+f.right)/2, y, 0.5, ink())
	}
	s.height = math.Ceil(y + margin - 4)
}

// legend adds the lines' labels, each after a sample of its line.
func (s *sheet) legend(lines []Line) {
	const sample = 16
	x := float64(margin)
	for i, l := range lines {
		need := sample + 4 + width(s.small, l.Label)
		if x > margin && x+need > chartWidth-margin {
			x, s.height = margin, s.height+lineHeight(s.small)+2
		}
		y := s.height + lineHeight(s.small)/2
		s.stroke([]point{{x, y}, {x + sample, y}}, 2*lineWidth, lineColor(i))
		s.write(l.Label, s.small, x+sample+4, s.height, 0, ink())
		x += need + 14
	}
	s.height += lineHeight(s.small) + 6
}
