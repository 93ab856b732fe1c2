package show

import (
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/plot"
)

// Outside a notebook nothing is displayed, and nothing fails.
func TestOutside(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if err := Chart(func(path string) error {
		return plot.Bars(path, "t", "s", "a", []plot.Bar{{Label: "x", Value: 1}})
	}); err != nil {
		t.Error(err)
	}
	if err := Table([]string{"a"}, [][]string{{"1"}}); err != nil {
		t.Error(err)
	}
	var p Progress
	p.Event(pdq.Event{Step: pdq.StepRound, Unit: "conv1", Done: 1, Total: 1})
	p.Done()
}

func TestTableHTML(t *testing.T) {
	got := tableHTML([]string{"name", "<n>"}, [][]string{{"a & b", "-1.5 ± 0.1"}})
	for _, want := range []string{"<th>&lt;n&gt;</th>", `<td style="text-align:left">a &amp; b</td>`,
		`<td style="text-align:right">-1.5 ± 0.1</td>`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
}
