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

// forecast estimates how long a grid still takes, from the time that each kind of step has taken so far and the share
// of its work that is done. Work is operations, times images, times the weights below. Cells that share work count it
// once.
type forecast struct {
	work    map[work]float64
	share   map[work]float64 // of each that is done
	kinds   map[pdq.Step]*pace
	current work
	now     func() time.Time
	last    time.Time // of the last event
}

// pace is how fast a kind of step goes.
type pace struct {
	total, done float64 // work
	spent       time.Duration
}

// work is a step of the algorithm, in a unit ("": the whole network) of a subject.
type work struct {
	subject *Subject
	config  pdq.Config // of the student; zero: of the network in full precision
	step    pdq.Step
	unit    string
}

// Costs of an operation, where 1 is that of a pass through the unit in a step of rounding, forward and backward. They
// fit runs of PD-Quant at W4A4 of EfficientNet-Lite0, mobilenetv2, resnet20 and regnetx (ONNX Runtime, AVX-512): while
// more than a fifth of the steps is to come, the time left is right within 20 %, judged by the units before.
// Fine-tuning, judged by these units, is right within 10 %. Those of scales and evaluation are from a run of
// mobilenetv2.
const (
	productWork = 1. / 40 // a multiplication, where an element of an output is 1
	weightWork  = 6.      // a weight that is rounded, which each step updates once for all images
	restWork    = 1. / 4  // the rest of the network, for the PD term
	tuneWork    = 1.25    // fine-tuning, which also takes the teacher
	correctWork = 0.45    // a step of correction
	scaleWork   = 4.      // observation and search of scales, which take each calibration image once
	testWork    = 1. / 8  // evaluation
)

// mostCorrection is where correction mostly ends by itself, if its Tolerance allows that.
const mostCorrection = 60

// newForecast counts what the cells of g take.
func newForecast(g Grid) *forecast {
	f := &forecast{work: map[work]float64{}, share: map[work]float64{}, kinds: map[pdq.Step]*pace{}, now: time.Now,
		last: time.Now()}
	for _, c := range g.Cells() {
		n, tests := c.Subject.Network, c.Subject.Test.Len()
		all := operations(n, 0)
		var config pdq.Config
		if c.Method.Change != nil {
			config, _, _ = g.Config(c) // Check has seen that there is no error
			tests *= 3                 // and the predictions of teacher and student are compared
		}
		f.add(workOf(c, config, pdq.StepEvaluate, ""), testWork*all*float64(g.Images+tests))
		if c.Method.Change == nil {
			continue
		}
		tuned := 0.0
		for _, u := range n.Units {
			rest := operations(n, u.First)
			unit := rest - operations(n, u.Last+1)
			step := unit
			if config.Loss.PD > 0 {
				step += unit + restWork*(rest-unit)
			}
			round, correct := config.Rounding, config.Correction.Steps
			if config.Correction.Tolerance > 0 {
				correct = min(correct, mostCorrection)
			}
			step = step*float64(round.BatchSize) + weightWork*weights(n, u)
			tuned += tuneWork*unit*float64(config.FineTune.BatchSize) + weightWork*weights(n, u)
			f.add(workOf(c, config, pdq.StepActivationScales, u.Name), scaleWork*unit*float64(g.Images))
			f.add(workOf(c, config, pdq.StepRound, u.Name), step*float64(round.Steps))
			f.add(workOf(c, config, pdq.StepCorrect, u.Name), correctWork*unit*float64(correct*g.Images))
		}
		f.add(workOf(c, config, pdq.StepFineTune, ""), tuned*float64(config.FineTune.Steps))
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

// operations counts those of n's layers for one image, from the layer first on.
func operations(n *models.Network, first int) float64 {
	var sum float64
	for i, shape := range n.Shapes()[first:] {
		elements := product(shape)
		sum += elements
		if l := n.Layers[first+i]; l.HasWeight() {
			sum += productWork * elements * product(l.Params()[0].Shape[1:]) // the weight [O,...]
		}
	}
	return sum
}

// weights counts those of the unit that are rounded.
func weights(n *models.Network, u models.Unit) float64 {
	var sum float64
	for _, l := range n.Layers[u.First : u.Last+1] {
		if l.HasWeight() {
			sum += product(l.Params()[0].Shape)
		}
	}
	return sum
}

func product(dims []int) float64 {
	p := 1.0
	for _, d := range dims {
		p *= float64(d)
	}
	return p
}

// add counts work, unless it is counted already.
func (f *forecast) add(w work, size float64) {
	if _, counted := f.work[w]; !counted && size > 0 {
		f.work[w] = size
		f.kind(w.step).total += size
	}
}

// kind returns the pace of a kind of step.
func (f *forecast) kind(s pdq.Step) *pace {
	if f.kinds[s] == nil {
		f.kinds[s] = &pace{}
	}
	return f.kinds[s]
}

// event notes how far a step of a cell has come. The time since the last event counts for this step.
func (f *forecast) event(c Cell, config pdq.Config, e pdq.Event) {
	now := f.now()
	took := now.Sub(f.last)
	f.last = now
	w := workOf(c, config, e.Step, e.Unit)
	if e.Step == pdq.StepObserve { // its work is in that of the scales
		w = workOf(c, config, pdq.StepActivationScales, e.Unit)
	}
	if _, counted := f.work[w]; !counted || f.share[w] == 1 && w != f.current {
		return // not part of the work, or done in an earlier run
	}
	f.kind(w.step).spent += took
	if e.Step == pdq.StepObserve {
		return
	}
	if w != f.current {
		f.reach(f.current, 1)
		f.current = w
		if (e.Step == pdq.StepRound || e.Step == pdq.StepFineTune) && e.Done > 1 && f.share[w] == 0 {
			f.skipShare(w, float64(e.Done-1)/float64(e.Total)) // steps of an earlier run
		}
	}
	f.reach(w, float64(e.Done)/float64(max(e.Total, 1)))
}

// reach notes that a share of w is done. An evaluation has two parts, of which the larger share counts.
func (f *forecast) reach(w work, share float64) {
	if more := share - f.share[w]; more > 0 {
		f.share[w] = share
		f.kind(w.step).done += more * f.work[w]
	}
}

// skip takes out what is left of the work.
func (f *forecast) skip(w work) {
	f.kind(w.step).total -= f.work[w] * (1 - f.share[w])
	f.work[w] *= f.share[w]
	f.share[w] = 1
}

// skipShare takes out a share of w, of which nothing is done.
func (f *forecast) skipShare(w work, share float64) {
	f.kind(w.step).total -= f.work[w] * share
	f.share[w] = share
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

// sum adds up the kinds.
func (f *forecast) sum() (all pace) {
	for _, k := range f.kinds {
		all.total += k.total
		all.done += k.done
		all.spent += k.spent
	}
	return all
}

// left estimates the time that is left; negative before enough is done to tell by. A kind of step goes on at its own
// pace, or at that of all steps together before enough of it is done.
func (f *forecast) left() time.Duration {
	const enough = 0.02
	all := f.sum()
	if !(all.done >= enough*all.total) || all.done == 0 {
		return -1
	}
	var left float64
	for _, k := range f.kinds {
		by := *k
		if k.done < enough*k.total || k.done == 0 {
			by = all
		}
		left += float64(by.spent) / by.done * max(0, k.total-k.done)
	}
	return time.Duration(left)
}
