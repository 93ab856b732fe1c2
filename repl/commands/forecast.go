package commands

import (
	"fmt"
	"time"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// forecast tells how long a comparison of methods will still take, from the time so far and the share of the work that
// is done. Work is elements of layers' outputs, times images, times the weights below.
type forecast struct {
	work    map[workKey]float64 // elements of what is still to come, and of what is under way
	total   float64
	done    float64
	current workKey
	share   float64 // of the current work that is done
	began   time.Time
}

// workKey is an optimisation: a step of the algorithm, of a unit ("": the whole network), by a method.
type workKey struct {
	method string
	step   pdq.Step
	unit   string
}

// What an element costs, where 1 is that of a step of rounding within its unit. From a run of mobilenetv2 on ONNX Runtime.
const (
	restWork    = 1. / 7 // the rest of the network, for the PD term
	correctWork = 1. / 4 // correction, which mostly ends before its last step
	tuneWork    = 3. / 4 // fine-tuning
	scaleWork   = 4.     // observation and search of scales, which take each calibration image once
	testWork    = 1. / 8 // evaluation
)

// newForecast counts what methods will compute for n with so many calibration and test images.
func newForecast(n *models.Network, images, tests int, methods []experiment.Fixed) *forecast {
	f := &forecast{work: map[workKey]float64{}, began: time.Now()}
	all := elements(n, 0)
	for i, m := range methods {
		c := m.Config
		f.work[workKey{m.Name, pdq.StepFineTune, ""}] = tuneWork * all * float64(c.FineTune.Steps*c.FineTune.BatchSize)
		f.work[workKey{m.Name, pdq.StepEvaluate, ""}] = testWork * all * float64(images+tests)
		if startsFrom(m, methods[:i]) >= 0 {
			continue
		}
		for _, u := range n.Units {
			rest := elements(n, u.First)
			unit := rest - elements(n, u.Last+1)
			step := unit
			if c.Loss.PD > 0 {
				step += unit + restWork*(rest-unit)
			}
			f.work[workKey{m.Name, pdq.StepActivationScales, u.Name}] = scaleWork * unit * float64(images)
			f.work[workKey{m.Name, pdq.StepRound, u.Name}] = step * float64(c.Rounding.Steps*c.Rounding.BatchSize)
			f.work[workKey{m.Name, pdq.StepCorrect, u.Name}] = correctWork * unit * float64(c.Correction.Steps*images)
		}
	}
	for _, w := range f.work {
		f.total += w
	}
	return f
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

// event notes how far a method's step has come.
func (f *forecast) event(method string, e pdq.Event) {
	key := workKey{method, e.Step, e.Unit}
	if _, counted := f.work[key]; !counted {
		return
	}
	if key != f.current {
		f.done += f.work[f.current]
		f.current, f.share = key, 0
	}
	f.share = max(f.share, float64(e.Done)/float64(max(e.Total, 1))) // an evaluation has two parts
}

// skip takes out what a method that goes on from s need not compute.
func (f *forecast) skip(method string, units []models.Unit, s pdq.State) {
	if f == nil {
		return
	}
	for _, u := range units[:s.Unit] {
		for _, step := range []pdq.Step{pdq.StepRound, pdq.StepCorrect, pdq.StepActivationScales} {
			key := workKey{method, step, u.Name}
			f.total -= f.work[key]
			delete(f.work, key)
		}
	}
}

// left says how much time is left; "" before there is enough to tell by.
func (f *forecast) left() string {
	if f == nil || f.total <= 0 {
		return ""
	}
	share := (f.done + f.share*f.work[f.current]) / f.total
	if share < 0.02 || share >= 1 {
		return ""
	}
	left := time.Duration(float64(time.Since(f.began)) * (1 - share) / share)
	return fmt.Sprintf("about %v left", left.Round(time.Second))
}
