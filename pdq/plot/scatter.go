package plot

import (
	"errors"
	"fmt"
	"image/color"
)

// Points are measurements of one kind.
type Points struct {
	Label  string
	X, Y   []float64 // of the same length; points that aren't finite are left out
	Errors []float64 // standard errors of Y, drawn up and down if finite and > 0; nil: none
}

// pointSize is half the width of a point.
const pointSize = 2.5

// Scatter draws points to path, as Lines draws lines: up to 5 kinds, each in its colour. If some y are above 0 and some
// below, a faint line marks 0.
func Scatter(path string, c Chart, kinds []Points) error {
	if len(kinds) == 0 || len(kinds) > mostLines {
		return fmt.Errorf("plot: %d kinds of points; give 1 to %d", len(kinds), mostLines)
	}
	var xs, ys []float64
	var labels []Line
	for i, k := range kinds {
		if len(k.X) != len(k.Y) || k.Errors != nil && len(k.Errors) != len(k.Y) {
			return fmt.Errorf("plot: points %d (%s) have %d x, %d y and %d errors; give as many of each",
				i, k.Label, len(k.X), len(k.Y), len(k.Errors))
		}
		for j := range k.X {
			if k.drawn(j) {
				if err := showable(fmt.Sprintf("points %d (%s)", i, k.Label), k.X[j], k.Y[j], k.errorOf(j)); err != nil {
					return err
				}
				xs, ys = append(xs, k.X[j]), append(ys, k.Y[j]-k.errorOf(j), k.Y[j]+k.errorOf(j))
			}
		}
		labels = append(labels, Line{Label: k.Label})
	}
	if xs == nil {
		return errors.New("plot: no point is finite")
	}
	return write(path, func() *sheet {
		s := newSheet(chartWidth)
		s.header(c.Title, c.Subtitle)
		if len(kinds) > 1 {
			s.legend(labels)
		}
		f := s.frame(c, span(xs).wider(), span(ys).wider())
		if f.ys.lo < 0 && f.ys.hi > 0 {
			s.stroke([]point{{f.left, f.y(0)}, {f.right, f.y(0)}}, 1, faint())
		}
		for i, k := range kinds {
			f.points(s, k, lineColor(i))
		}
		f.finish(s, c)
		return s
	})
}

// wider returns v with some room on both sides, so that no point lies on an axis.
func (v interval) wider() interval {
	room := (v.hi - v.lo) / 30
	return interval{lo: v.lo - room, hi: v.hi + room}
}

func (k Points) drawn(i int) bool { return finite(k.X[i]) && finite(k.Y[i]) }

// errorOf returns the error of point i, or 0 if it isn't drawn.
func (k Points) errorOf(i int) float64 {
	if k.Errors == nil || !finite(k.Errors[i]) {
		return 0
	}
	return max(k.Errors[i], 0)
}

// points adds points: squares, with their errors as lines up and down.
func (f frame) points(s *sheet, k Points, c color.Color) {
	for i := range k.X {
		if !k.drawn(i) {
			continue
		}
		x, y, e := f.x(k.X[i]), f.y(k.Y[i]), k.errorOf(i)
		if e > 0 {
			s.stroke([]point{{x, f.y(k.Y[i] - e)}, {x, f.y(k.Y[i] + e)}}, 1, c)
		}
		s.fill(x-pointSize, y-pointSize, 2*pointSize, 2*pointSize, c)
	}
}
