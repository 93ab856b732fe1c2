package plot

import "strconv"

// Gaps in points.
const (
	valueGap = 6 // from a bar to its number
	errorGap = 3 // from the number to its error
)

// number is the text of an accuracy beside its bar.
type number struct {
	value  string
	spread string // "± 0.4", or empty
}

// numbers returns the texts of all accuracies, with one digit after the point, or two if an error is below 0.1.
func numbers(bars []Bar) []number {
	digits := 1
	for _, b := range bars {
		if b.Error > 0 && b.Error < 0.1 {
			digits = 2
		}
	}
	out := make([]number, len(bars))
	for i, b := range bars {
		out[i].value = strconv.FormatFloat(b.Value, 'f', digits, 64)
		if b.Error > 0 {
			out[i].spread = "± " + strconv.FormatFloat(b.Error, 'f', digits, 64)
		}
	}
	return out
}

func (s *sheet) numberWidth(n number) float64 {
	return width(s.strong, n.value) + errorGap + width(s.small, n.spread)
}

// writeNumber adds n at x, on a white background that covers grid lines.
func (s *sheet) writeNumber(n number, x float64, r row, strong bool) {
	face := s.normal
	if strong {
		face = s.strong
	}
	y, at := r.middle()-lineHeight(face)/2, x+width(face, n.value)+errorGap
	s.fill(x-2, y, at+width(s.small, n.spread)+2-(x-2), lineHeight(face), paper())
	s.write(n.value, face, x, y, 0, ink())
	// Both have the same base line, although their sizes differ.
	s.write(n.spread, s.small, at, y+ascent(face)-ascent(s.small), 0, faint())
}
