package plot

import (
	"fmt"
	"image/color"
	"math"
)

// Bar is one method's accuracy in a chart.
type Bar struct {
	Label string  // the method
	Value float64 // accuracy in per cent, in [0,100]
	Error float64 // one standard error in per cent, in [0,100]; 0: not drawn
}

// Bars draws accuracies as horizontal bars, the first on top, with whiskers of one standard error and their numbers. It
// writes the chart to path, a PNG or SVG by its extension. The first bar is the reference, in grey. The last one is the
// method shown, in the accent colour. Those between are other methods. A single bar is the method shown.
//
// The chart is 500 points wide, which is 1000 pixels in a PNG; four bars make it 250 points high. title, subtitle and
// axis may be empty. If Bars fails, an older file at path stays as it was.
func Bars(path, title, subtitle, axis string, bars []Bar) error {
	if _, err := encoderOf(path); err != nil {
		return err
	}
	if err := check(bars); err != nil {
		return err
	}
	return write(path, func() *sheet { return layout(title, subtitle, axis, bars) })
}

func check(bars []Bar) error {
	if len(bars) == 0 {
		return fmt.Errorf("plot: no bars; give at least one")
	}
	for i, b := range bars {
		if !(b.Value >= 0 && b.Value <= 100) {
			return fmt.Errorf("plot: bar %d (%s) has value %g; give per cent, 0 to 100", i, b.Label, b.Value)
		}
		if !(b.Error >= 0 && b.Error <= 100) {
			return fmt.Errorf("plot: bar %d (%s) has error %g; give per cent, or 0 for none", i, b.Label, b.Error)
		}
	}
	return nil
}

// Sizes of the chart's parts in points.
const (
	chartWidth  = 500
	margin      = 16
	labelWidth  = 150 // the largest; longer labels take several lines
	rowHeight   = 37  // for a label of one line
	barHeight   = 21
	tickStep    = 20 // in per cent
	titleGap    = 15 // from the subtitle to the first row
	whiskerCaps = 10
)

// Colours. Colour-blind readers can tell the accent from the grey.
// Source of the blue: Okabe and Ito, Color Universal Design, 2008.
func reference() color.Color { return color.NRGBA{0x8f, 0x8f, 0x8f, 0xff} }
func compared() color.Color  { return color.NRGBA{0xb5, 0xcf, 0xe3, 0xff} }
func accent() color.Color    { return color.NRGBA{0x00, 0x72, 0xb2, 0xff} }
func ink() color.Color       { return color.NRGBA{0x22, 0x22, 0x22, 0xff} }
func faint() color.Color     { return color.NRGBA{0x66, 0x66, 0x66, 0xff} }
func grid() color.Color      { return color.NRGBA{0xe4, 0xe4, 0xe4, 0xff} }
func paper() color.Color     { return color.NRGBA{0xff, 0xff, 0xff, 0xff} }

func barColor(i, n int) color.Color {
	switch i {
	case n - 1:
		return accent()
	case 0:
		return reference()
	}
	return compared()
}

// layout returns the chart.
func layout(title, subtitle, axis string, bars []Bar) *sheet {
	s := newSheet(chartWidth)
	s.header(title, subtitle)
	rows, left := s.labels(bars)
	values := numbers(bars)
	right := s.scaleEnd(left, values, bars)
	x := func(percent float64) float64 { return left + (right-left)*percent/100 }
	top, bottom := rows[0].top, rows[len(rows)-1].bottom
	for t := tickStep; t <= 100; t += tickStep {
		s.fill(x(float64(t))-0.25, top, 0.5, bottom-top, grid())
	}
	for i, b := range bars {
		s.bar(b, rows[i], x, barColor(i, len(bars)))
		s.writeNumber(values[i], x(min(b.Value+b.Error, 100))+valueGap, rows[i], i == len(bars)-1)
	}
	s.fill(left-0.5, top, 1, bottom-top, ink())
	s.footer(axis, x, bottom)
	return s
}

// row is the top and bottom of a bar's row.
type row struct{ top, bottom float64 }

func (r row) middle() float64 { return (r.top + r.bottom) / 2 }

// header adds the title's lines. The sheet's height is then below them.
func (s *sheet) header(title, subtitle string) {
	y := float64(margin)
	for _, line := range wrap(title, s.title, chartWidth-2*margin) {
		y += s.write(line, s.title, margin, y, 0, ink())
	}
	y += 2
	for _, line := range wrap(subtitle, s.small, chartWidth-2*margin) {
		y += s.write(line, s.small, margin, y, 0, faint())
	}
	s.height = math.Ceil(y + titleGap)
}

// labels adds the bars' labels. It returns their rows, and the x at which the scale starts.
func (s *sheet) labels(bars []Bar) (rows []row, left float64) {
	wrapped := make([][]string, len(bars))
	for i, b := range bars {
		wrapped[i] = wrap(b.Label, s.strong, labelWidth)
		for _, line := range wrapped[i] {
			left = max(left, width(s.strong, line))
		}
	}
	left = math.Ceil(margin + left + 8)
	for i, lines := range wrapped {
		face := s.normal
		if i == len(bars)-1 {
			face = s.strong
		}
		high := lineHeight(face)
		r := row{s.height, s.height + max(rowHeight, math.Ceil(float64(len(lines))*high+12))}
		y := r.middle() - float64(len(lines))*high/2
		for _, line := range lines {
			y += s.write(line, face, left-8, y, 1, ink())
		}
		rows, s.height = append(rows, r), r.bottom
	}
	return rows, left
}

// scaleEnd returns the largest x for 100 per cent at which every number fits beside its bar.
func (s *sheet) scaleEnd(left float64, values []number, bars []Bar) float64 {
	end := chartWidth - margin - width(s.small, "100")/2
	for i, b := range bars {
		if upper := min(b.Value+b.Error, 100); upper > 0 {
			room := chartWidth - margin - valueGap - s.numberWidth(values[i]) - left
			end = min(end, left+room*100/upper)
		}
	}
	return math.Floor(end)
}

// bar adds a bar and its whisker, which is cut off at the ends of the scale.
func (s *sheet) bar(b Bar, r row, x func(percent float64) float64, c color.Color) {
	y := math.Round(r.middle())
	s.fill(x(0), y-barHeight/2.0, x(b.Value)-x(0), barHeight, c)
	if b.Error == 0 {
		return
	}
	low, high := x(max(b.Value-b.Error, 0)), x(min(b.Value+b.Error, 100))
	s.fill(low, y-0.5, high-low, 1, ink())
	for _, end := range []float64{low, high} {
		s.fill(end-0.25, y-whiskerCaps/2.0, 0.5, whiskerCaps, ink())
	}
}

// footer adds the scale's numbers and the name of the axis, and ends the sheet.
func (s *sheet) footer(axis string, x func(percent float64) float64, bottom float64) {
	y := bottom + 4
	for t := 0; t <= 100; t += tickStep {
		s.write(fmt.Sprint(t), s.small, x(float64(t)), y, 0.5, faint())
	}
	y += lineHeight(s.small) + 3
	for _, line := range wrap(axis, s.normal, x(100)-x(0)) {
		y += s.write(line, s.normal, (x(0)+x(100))/2, y, 0.5, ink())
	}
	s.height = math.Ceil(y + margin - 4)
}
