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
	Errors []float64 // of Y, one standard error each, drawn up and down if it is finite and > 0; nil: none
}

// Half the width of a point.
const pointSize = 2.5

// Scatter draws points, as Lines does lines: at most as many kinds, each in its colour. A faint line marks y 0 if that
// is between them.
func Scatter(path string, c Chart, kinds []Points) error {
	if len(kinds) == 0 || len(kinds) > mostLines {
		return fmt.Errorf("plot: %d kinds of points; give 1 to %d", len(kinds), mostLines)
	}
	var xs, ys []float64
	var labels []Line
	for i, k := range kinds {
		if len(k.X) != len(k.Y) || k.Errors != nil && len(k.Errors) != len(k.Y) {
			return fmt.Errorf("plot: points %d (%s) have %d x, %d y and %d errors; give as many of each", i, k.Label, len(k.X),
				len(k.Y), len(k.Errors))
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
		return errors.New("plot: none of the points is finite")
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

// wider is v with a little room on both sides, so that nothing lies on an axis.
func (v interval) wider() interval {
	room := (v.hi - v.lo) / 30
	return interval{v.lo - room, v.hi + room}
}

func (k Points) drawn(i int) bool { return finite(k.X[i]) && finite(k.Y[i]) }

// errorOf is the i-th point's error; 0: none is drawn.
func (k Points) errorOf(i int) float64 {
	if k.Errors == nil || !finite(k.Errors[i]) {
		return 0
	}
	return max(k.Errors[i], 0)
}

// points adds points, each a square with a line as long as its error up and down.
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
