package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/pdquant/pdquant/internal/tsv"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// row is a line of the table.
type row struct {
	job
	half          string // calibrated on
	images        int    // calibrated on
	outcome, base outcome
	threads       int // of a peer
}

// columns lists the cells of r by their names. "-" stands for what there isn't.
func (r row) columns() [][2]string {
	top1, top1Error, difference, differenceError, seconds := "-", "-", "-", "-", "-"
	if r.outcome.Reason == "" {
		a := experiment.AccuracyOf(r.outcome.score())
		d := experiment.Paired(r.outcome.score(), r.base.score())
		top1, top1Error = fmt.Sprintf("%.2f", a.Percent()), fmt.Sprintf("%.2f", a.StandardError())
		difference, differenceError = fmt.Sprintf("%+.2f", d.Mean), fmt.Sprintf("%.2f", d.StandardError)
		seconds = fmt.Sprintf("%.0f", r.outcome.Seconds)
	}
	threads := fmt.Sprint(r.threads)
	if r.peer == own {
		threads = "-" // as many as suit the backend
	}
	return [][2]string{
		{"peer", r.peer}, {"setting", r.setting}, {"w", fmt.Sprint(r.w)}, {"a", fmt.Sprint(r.a)},
		{"calibrated_on", "half-" + r.half}, {"images", fmt.Sprint(r.images)},
		{"test_images", fmt.Sprint(len(r.base.Right))}, {"top1_percent", top1}, {"top1_error", top1Error},
		{"to_full_precision", difference}, {"to_full_precision_error", differenceError}, {"seconds", seconds},
		{"threads", threads}, {"versions", r.outcome.Versions}, {"reason", oneLine(r.outcome.Reason)},
		{"date", time.Now().UTC().Format(time.DateOnly)},
	}
}

// oneLine returns text without what would end a cell.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func (r row) cells() (names, cells []string) {
	for _, c := range r.columns() {
		names, cells = append(names, c[0]), append(cells, c[1])
	}
	return names, cells
}

// append adds r to the table at path.
func (r row) append(path string) error {
	names, cells := r.cells()
	return tsv.Append(path, names, cells)
}

// String says what progress shows.
func (r row) String() string {
	_, cells := r.cells()
	return strings.Join(cells, "  ")
}

// fits is an error if the table at path is another one.
func fits(path string) error {
	names, _ := row{}.cells()
	return tsv.Fits(path, names)
}

// has says whether the table at path has the row of a job.
func has(path string, j job, half string) (bool, error) {
	_, cells := row{job: j, half: half}.cells()
	const key = 5 // cells, up to the half
	keys, err := tsv.Keys(path, key)
	return keys[strings.Join(cells[:key], " ")], err
}
