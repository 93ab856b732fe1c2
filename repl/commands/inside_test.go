package commands

import (
	"bytes"
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
