package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/pdquant/pdquant/pdq"
)

// progress shows the steps of a run: as bars in a terminal, else a line for each step
// that took over a second.
type progress struct {
	w        io.Writer
	terminal bool
	method   string
	bar      *progressbar.ProgressBar
	last     pdq.Event
	began    time.Time // the current step
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd())), last: pdq.Event{Step: -1}}
}

// start names the method whose steps follow.
func (p *progress) start(method string) {
	p.done()
	p.method, p.last = method, pdq.Event{Step: -1}
}

// event shows one event.
func (p *progress) event(e pdq.Event) {
	if e.Step != p.last.Step || e.Unit != p.last.Unit {
		p.done()
		p.began = time.Now()
		if p.terminal {
			p.bar = progressbar.NewOptions(e.Total, progressbar.OptionSetWriter(p.w), progressbar.OptionShowIts(), progressbar.OptionSetWidth(20),
				progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetItsString("steps"))
		}
	}
	p.last = e
	if p.bar != nil {
		p.bar.Describe(p.title() + lossText(e))
		_ = p.bar.Set(e.Done) // fails only for a bar that ended
	}
}

// done ends the current step.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish() // fails only for a bar that ended
		p.bar = nil
	}
	if took := time.Since(p.began); p.last.Step >= 0 && took > time.Second {
		fmt.Fprintf(p.w, "%-60s %6.1f s  %5.1f steps/s %s\n", p.title(), took.Seconds(), float64(p.last.Done)/took.Seconds(), lossText(p.last))
	}
	p.last = pdq.Event{Step: -1}
}

func (p *progress) title() string {
	s := p.last.Step.String()
	if p.last.Unit != "" {
		s += " of " + p.last.Unit
	}
	if p.method != "" {
		s = p.method + ": " + s
	}
	return s
}

func lossText(e pdq.Event) string {
	switch e.Step {
	case pdq.StepCorrect:
		return fmt.Sprintf(" loss %.4g", e.Loss.Correction)
	case pdq.StepRound:
		return fmt.Sprintf(" loss %.4g = rec %.3g + pd %.3g + round %.3g", e.Loss.Total(), e.Loss.Reconstruction, e.Loss.PD, e.Loss.Round)
	}
	return ""
}
