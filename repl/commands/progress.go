package commands

import (
	"fmt"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/train"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// progress shows the events of pdq.
type progress struct {
	display shell.Display
	method  string        // whose steps follow
	left    time.Duration // until all methods are done; negative: unknown
}

func newProgress(d shell.Display) *progress { return &progress{display: d, left: -1} }

// show tells how far a step has come.
func (p *progress) show(name string, done, total int, text string) {
	p.display.Progress(shell.Step{Name: name, Done: done, Total: total, Text: text + p.leftText()})
}

// done ends the current step.
func (p *progress) done() { p.display.Done() }

// start names the method whose steps follow.
func (p *progress) start(method string) {
	p.done()
	p.method, p.left = method, -1
}

// cell shows one event of a grid, in the cell of that number.
func (p *progress) cell(number string, e experiment.Progress) {
	p.method, p.left = fmt.Sprintf("%s %v", number, e.Cell), e.Left
	p.event(e.Event)
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
	p.show(step, e.Done, e.Total, lossText(e))
}

// attach returns what shows a training of so many epochs, each a step.
func (p *progress) attach(epochs int) func(*train.Loop) {
	return func(loop *train.Loop) {
		loop.OnStep("progress", 0, func(l *train.Loop, metrics []*tensors.Tensor) error {
			steps := l.EndStep / epochs
			p.show(fmt.Sprintf("epoch %d of %d", l.LoopStep/steps+1, epochs), l.LoopStep%steps+1, steps,
				fmt.Sprintf(" loss %.4g", metrics[0].Value()))
			return nil
		})
	}
}

// leftText tells the time left, as the end of a line.
func (p *progress) leftText() string {
	if p.left <= 0 {
		return ""
	}
	return fmt.Sprintf("; about %v left", p.left.Round(time.Second))
}

// lossText shows the parts of a step's loss.
func lossText(e pdq.Event) string {
	switch e.Step {
	case pdq.StepCorrect:
		return fmt.Sprintf(" loss %.4g", e.Loss.Correction)
	case pdq.StepFineTune:
		return fmt.Sprintf(" loss %.4g = features %.3g + pd %.3g", e.Loss.Total(), e.Loss.Reconstruction, e.Loss.PD)
	case pdq.StepRound:
		return fmt.Sprintf(" loss %.4g = rec %.3g + pd %.3g + round %.3g", e.Loss.Total(), e.Loss.Reconstruction, e.Loss.PD,
			e.Loss.Round)
	}
	return ""
}
