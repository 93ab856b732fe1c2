package commands

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/train"
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
	step     string    // the current one; "": none
	began    time.Time // the current step
	count    int       // steps done of it
	loss     string    // the last one
	forecast *forecast // of the methods to come; nil: none
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// start names the method whose steps follow.
func (p *progress) start(method string) {
	p.done()
	p.method = method
}

// event shows one event of a run.
func (p *progress) event(e pdq.Event) {
	step := e.Step.String()
	if e.Unit != "" {
		step += " of " + e.Unit
	}
	if p.method != "" {
		step = p.method + ": " + step
	}
	if p.forecast != nil {
		p.forecast.event(p.method, e)
	}
	p.show(step, e.Done, e.Total, lossText(e))
}

// attach returns what shows a training of so many epochs, each a step.
func (p *progress) attach(epochs int) func(*train.Loop) {
	return func(loop *train.Loop) {
		loop.OnStep("progress", 0, func(l *train.Loop, metrics []*tensors.Tensor) error {
			steps := l.EndStep / epochs
			p.show(fmt.Sprintf("epoch %d of %d", l.LoopStep/steps+1, epochs), l.LoopStep%steps+1, steps, fmt.Sprintf(" loss %.4g", metrics[0].Value()))
			return nil
		})
	}
}

// show tells how far a step has come.
func (p *progress) show(step string, count, total int, loss string) {
	if step != p.step {
		p.done()
		p.step, p.began = step, time.Now()
		if p.terminal {
			p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w), progressbar.OptionShowIts(), progressbar.OptionSetWidth(20),
				progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetItsString("steps"))
		}
	}
	p.count, p.loss = count, loss
	if p.bar != nil {
		p.bar.Describe(step + loss + p.leftText())
		_ = p.bar.Set(count) // fails only for a bar that ended
	}
}

// done ends the current step.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish() // fails only for a bar that ended
		p.bar = nil
	}
	if took := time.Since(p.began); p.step != "" && took > time.Second {
		fmt.Fprintf(p.w, "%-60s %6.1f s  %5.1f steps/s %s\n", p.step, took.Seconds(), float64(p.count)/took.Seconds(), p.loss+p.leftText())
	}
	p.step = ""
}

// leftText is the forecast, as the end of a line.
func (p *progress) leftText() string {
	if left := p.forecast.left(); left != "" {
		return "; " + left
	}
	return ""
}

// besideBar writes to w, on a line without p's bar, which the next event shows again.
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

func lossText(e pdq.Event) string {
	switch e.Step {
	case pdq.StepCorrect:
		return fmt.Sprintf(" loss %.4g", e.Loss.Correction)
	case pdq.StepFineTune:
		return fmt.Sprintf(" loss %.4g = features %.3g + pd %.3g", e.Loss.Total(), e.Loss.Reconstruction, e.Loss.PD)
	case pdq.StepRound:
		return fmt.Sprintf(" loss %.4g = rec %.3g + pd %.3g + round %.3g", e.Loss.Total(), e.Loss.Reconstruction, e.Loss.PD, e.Loss.Round)
	}
	return ""
}
