package experiment

import (
	"time"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
)

// Progress is a step of a Grid that is being computed.
type Progress struct {
	Cell Cell // that the step is for
	pdq.Event
	Left time.Duration // estimated time until all cells are computed; negative: unknown
}

// forecast estimates how long a grid still takes, from the time so far and the share of the work that is done. Work is
// elements of layers' outputs, times images, times the weights below. Cells that share work count it once.
type forecast struct {
	work        map[work]float64
	share       map[work]float64 // of each that is done
	total, done float64
	current     work
	began       time.Time
}

// work is a step of the algorithm, in a unit ("": the whole network) of a subject.
type work struct {
	subject *Subject
	config  pdq.Config // of the student; zero: of the network in full precision
	step    pdq.Step
	unit    string
}

// Costs of an element, where 1 is that of a step of rounding within its unit: from a run of mobilenetv2 on ONNX
// Runtime.
const (
	restWork    = 1. / 7 // the rest of the network, for the PD term
	correctWork = 1. / 4 // correction, which mostly ends before its last step
	tuneWork    = 3. / 4 // fine-tuning
	scaleWork   = 4.     // observation and search of scales, which take each calibration image once
	testWork    = 1. / 8 // evaluation
)

// newForecast counts what the cells of g take.
func newForecast(g Grid) *forecast {
	f := &forecast{work: map[work]float64{}, share: map[work]float64{}, began: time.Now()}
	for _, c := range g.Cells() {
		n, tests := c.Subject.Network, c.Subject.Test.Len()
		all := elements(n, 0)
		var config pdq.Config
		if c.Method.Change != nil {
			config, _, _ = g.Config(c) // Check has seen that there is no error
			tests *= 3                 // and the predictions of teacher and student are compared
		}
		f.add(workOf(c, config, pdq.StepEvaluate, ""), testWork*all*float64(g.Images+tests))
		if c.Method.Change == nil {
			continue
		}
		tune := config.FineTune
		f.add(workOf(c, config, pdq.StepFineTune, ""), tuneWork*all*float64(tune.Steps*tune.BatchSize))
		for _, u := range n.Units {
			rest := elements(n, u.First)
			unit := rest - elements(n, u.Last+1)
			step := unit
			if config.Loss.PD > 0 {
				step += unit + restWork*(rest-unit)
			}
			round, correct := config.Rounding, config.Correction
			f.add(workOf(c, config, pdq.StepActivationScales, u.Name), scaleWork*unit*float64(g.Images))
			f.add(workOf(c, config, pdq.StepRound, u.Name), step*float64(round.Steps*round.BatchSize))
			f.add(workOf(c, config, pdq.StepCorrect, u.Name), correctWork*unit*float64(correct.Steps*g.Images))
		}
	}
	return f
}

// workOf returns the work of a cell's step. What cells share is the same work: units, without the fine-tuning that
// follows them, and the correction of seeds that calibrate on the same images.
func workOf(c Cell, config pdq.Config, step pdq.Step, unit string) work {
	if unit != "" {
		config.FineTune.Steps = 0
	}
	if _, given := c.Subject.Pool.(Given); given && step == pdq.StepCorrect {
		config.Seed = 0
	}
	config.Machine = pdq.MachineConfig{}
	return work{c.Subject, withoutIdle(config, pdq.Config{}), step, unit}
}

// elements counts those of the outputs of n's layers for one image, from the layer first on.
func elements(n *models.Network, first int) float64 {
	var sum float64
	for _, shape := range n.Shapes()[first:] {
		size := 1.0
		for _, d := range shape {
			size *= float64(d)
		}
		sum += size
	}
	return sum
}

// add counts work, unless it is counted already.
func (f *forecast) add(w work, size float64) {
	if _, counted := f.work[w]; !counted && size > 0 {
		f.work[w] = size
		f.total += size
	}
}

// event notes how far a step of a cell has come.
func (f *forecast) event(c Cell, config pdq.Config, e pdq.Event) {
	w := workOf(c, config, e.Step, e.Unit)
	if _, counted := f.work[w]; !counted {
		return
	}
	if w != f.current {
		f.reach(f.current, 1)
		f.current = w
	}
	f.reach(w, float64(e.Done)/float64(max(e.Total, 1)))
}

// reach notes that a share of w is done. An evaluation has two parts, of which the larger share counts.
func (f *forecast) reach(w work, share float64) {
	if more := share - f.share[w]; more > 0 {
		f.share[w] = share
		f.done += more * f.work[w]
	}
}

// skip takes out what is left of the work.
func (f *forecast) skip(w work) {
	f.total -= f.work[w] * (1 - f.share[w])
	f.work[w] *= f.share[w]
	f.share[w] = 1
}

// skipUnits takes out the first units of a cell's student, which need no computing.
func (f *forecast) skipUnits(c Cell, config pdq.Config, units int) {
	for _, u := range c.Subject.Network.Units[:units] {
		for _, step := range []pdq.Step{pdq.StepRound, pdq.StepCorrect, pdq.StepActivationScales} {
			f.skip(workOf(c, config, step, u.Name))
		}
	}
}

// skipCell takes out all that a cell takes.
func (f *forecast) skipCell(c Cell, config pdq.Config) {
	f.skip(workOf(c, config, pdq.StepEvaluate, ""))
	f.skip(workOf(c, config, pdq.StepFineTune, ""))
	if c.Method.Change != nil {
		f.skipUnits(c, config, len(c.Subject.Network.Units))
	}
}

// left estimates the time that is left; negative before enough is done to tell by.
func (f *forecast) left() time.Duration {
	share := 0.0
	if f.total > 0 {
		share = f.done / f.total
	}
	if share < 0.02 {
		return -1
	}
	return time.Duration(float64(time.Since(f.began)) * max(0, 1-share) / share)
}
