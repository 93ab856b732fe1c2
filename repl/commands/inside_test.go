package commands

import (
	"bytes"
	"math"
	"testing"

	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

// TestPicture: a figure is drawn as SVG, PNG and characters.
func TestPicture(t *testing.T) {
	for _, f := range []figure{
		{lines: []plot.Line{{Label: "a", X: []float64{1, 2}, Y: []float64{3, 5}}}},
		{bins: []plot.Bin{{Low: 1, High: 2, Count: 3}}},
	} {
		var p shell.Picture = f
		svg, err := p.SVG()
		if err != nil || !bytes.Contains(svg, []byte("<svg")) {
			t.Errorf("SVG %.40q, error %v", svg, err)
		}
		drawn, err := p.PNG()
		if err != nil || !bytes.HasPrefix(drawn, []byte("\x89PNG")) {
			t.Errorf("PNG %.40q, error %v", drawn, err)
		}
		if p.Text(80) == "" {
			t.Error("no text")
		}
	}
	if _, err := (figure{}).SVG(); err == nil {
		t.Error("nothing is drawn")
	}
}

// TestLowest: channels without a signal to noise ratio aren't the worst.
func TestLowest(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		xs    []float64
		least float64
		at    int
	}{{[]float64{nan, 20, 10, nan, 30}, 10, 2}, {[]float64{-1}, -1, 0}, {[]float64{3, nan, 3}, 3, 0}} {
		if least, at := lowest(c.xs); least != c.least || at != c.at {
			t.Errorf("%v: %g at %d, want %g at %d", c.xs, least, at, c.least, c.at)
		}
	}
	if least, at := lowest([]float64{nan}); !math.IsNaN(least) || at != -1 {
		t.Errorf("no ratio at all: %g at %d", least, at)
	}
}
