package shell

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows steps: as bars in a terminal, else a line for each step that took over a second.
type progress struct {
	w        io.Writer
	terminal bool
	bar      *progressbar.ProgressBar
	step     Step      // the one under way; no name: none
	began    time.Time // that one
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// show tells how far a step has come.
func (p *progress) show(s Step) {
	if s.Name != p.step.Name {
		p.done()
		p.began = time.Now()
		if p.terminal {
			p.bar = progressbar.NewOptions(s.Total, progressbar.OptionSetWriter(p.w), progressbar.OptionShowIts(),
				progressbar.OptionSetWidth(20), progressbar.OptionClearOnFinish(),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetItsString("steps"))
		}
	}
	p.step = s
	if p.bar != nil {
		p.bar.Describe(s.Name + s.Text)
		_ = p.bar.Set(s.Done) // fails only for a bar that ended
	}
}

// done ends the current step.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish() // fails only for a bar that ended
		p.bar = nil
	}
	if took := time.Since(p.began); p.step.Name != "" && took > time.Second {
		rate := float64(p.step.Done) / took.Seconds()
		fmt.Fprintf(p.w, "%-60s %6.1f s  %5.1f steps/s %s\n", p.step.Name, took.Seconds(), rate, p.step.Text)
	}
	p.step = Step{}
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
