package commands

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/repl/shell"
)

// mostReported is how many runs a report shows side by side: as many as charts have colours for.
const mostReported = 5

// reportCommand writes what is known of runs.
func (e *engine) reportCommand() command {
	return command{Name: "report", Group: groupRuns, Run: e.do(writeReport),
		Help: "write one page on a run, or on several side by side",
		More: "The page has accuracies with their errors, what was run, settings, losses and the correction's effect by " +
			"unit, widths and scales by layer, as far as the run kept them, and needs no other file. The first run is the one " +
			"that others are compared with. Names are as in compare: students', then run folders.",
		Args: []shell.Argument{{Name: "run", Need: true, Many: true,
			Help: fmt.Sprintf("up to %d names of students, now (the one at work), or run folders", mostReported)}},
		Options: []shell.Option{option("file", "", "the page; empty: report.html in the first run's folder, or here")}}
}

func writeReport(c *call) (session, error) {
	var names []string
	for _, word := range c.Words {
		if !strings.HasPrefix(word, "file=") {
			names = append(names, shell.AtHome(strings.TrimPrefix(word, "run=")))
		}
	}
	if len(names) > mostReported {
		return c.s, fmt.Errorf("repl: %d runs; a report has up to %d", len(names), mostReported)
	}
	var runs []reported
	for _, name := range names {
		r, err := c.reported(name)
		if err != nil {
			return c.s, err
		}
		runs = append(runs, r)
	}
	path := c.Values["file"]
	if path == "" {
		path = "report.html"
		if c.s.called(names[0]) == nil {
			path = filepath.Join(names[0], path)
		}
	}
	page, err := reportPage(runs)
	if err != nil {
		return c.s, err
	}
	err = shell.WriteFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, page)
		return err
	})
	if err == nil {
		c.Print("report in %s", path)
	}
	return c.s, err
}
