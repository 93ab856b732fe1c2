package shell

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows steps: as bars in a terminal, else a line for each step that took over a second, and for longer ones a
// line a minute.
type progress struct {
	w        io.Writer
	terminal bool
	bar      *progressbar.ProgressBar
	step     Step      // the one under way; no name: none
	began    time.Time // that one
	from     int       // what was done of it then: it may go on
	said     time.Time // its last line, or its beginning
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// show tells how far a step has come.
func (p *progress) show(s Step) {
	if s.Name != p.step.Name {
		p.done()
		p.began, p.from = time.Now(), s.Done
		p.said = p.began
		if p.terminal {
			p.bar = p.newBar(s.Total)
		}
	}
	p.step = s
	switch {
	case p.bar != nil:
		p.bar.Describe(p.fit(Visible(s.Name + s.Text)))
		_ = p.bar.Set(s.Done) // fails only for a bar that ended
	case !p.terminal && time.Since(p.said) >= time.Minute:
		p.said = time.Now()
		p.say(fmt.Sprintf("; %d of %d", s.Done, s.Total))
	}
}

// narrow is from how many columns on a bar has its rate, and more than barNarrow columns.
const (
	narrow               = 110
	barWide, barNarrow   = 20, 8
	restWide, restNarrow = 56, 36 // columns of a bar's numbers and times
)

func (p *progress) newBar(total int) *progressbar.ProgressBar {
	options := []progressbar.Option{progressbar.OptionSetWriter(p.w), progressbar.OptionClearOnFinish(),
		progressbar.OptionThrottle(100 * time.Millisecond), progressbar.OptionSetWidth(barNarrow)}
	if columns, _ := screen(p.w); columns == 0 || columns >= narrow {
		options = append(options, progressbar.OptionSetWidth(barWide), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("steps"))
	}
	return progressbar.NewOptions(total, options...)
}

// fit cuts the description of a step so that all of its line fits the terminal.
func (p *progress) fit(text string) string {
	columns, _ := screen(p.w)
	rest := barNarrow + restNarrow
	switch {
	case columns == 0:
		return text
	case columns >= narrow:
		rest = barWide + restWide
	}
	return ansi.Truncate(text, max(columns-rest, 12), "…")
}

// done ends the current step.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish() // fails only for a bar that ended
		p.bar = nil
	}
	if p.step.Name != "" && time.Since(p.began) > time.Second {
		p.say("")
	}
	p.step = Step{}
}

// say writes a line about the step under way; far says how far that is.
func (p *progress) say(far string) {
	took := time.Since(p.began).Seconds()
	pace := fmt.Sprintf("%5.1f steps/s", float64(p.step.Done-p.from)/took)
	line := fmt.Sprintf("%-60s %6.1f s  %s%s %s", p.step.Name, took, pace, far, p.step.Text)
	if columns, _ := screen(p.w); columns > 0 && ansi.StringWidth(line) > columns {
		line = fmt.Sprintf("%s  %.1f s, %s%s %s", p.step.Name, took, strings.TrimSpace(pace), far, p.step.Text)
		line = ansi.Truncate(line, columns, "…")
	}
	fmt.Fprintln(p.w, Visible(line))
}

// besideBar writes to w, on a line without p's bar, which the next step shows again.
type besideBar struct {
	p *progress
	w io.Writer
}

func (b besideBar) Write(text []byte) (int, error) {
	if b.p.bar != nil {
		_ = b.p.bar.Clear() // what fails there fails here
	}
	return b.w.Write(text)
}
