package pdq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Quantizer takes the steps for one Problem and Config. No step changes it. It isn't for concurrent use.
type Quantizer struct {
	Progress func(Event)       // called between batches and optimisation steps; nil: silent
	Warn     func(text string) // called with what the user should know of a step's result; nil: silent
	Terms    []Term            // of rounding's loss: PaperTerms at first; append others before the first step

	b       compute.Backend
	p       Problem
	c       Config
	images  datasets.Images      // the calibration images and, with Config.Mirror, their mirrored copies
	plan    Plan                 // widths of all quantised tensors
	bits    map[string]LayerBits // the same by layer of folded
	folded  *models.Network      // the network that is quantised: batch normalisation folded
	weights models.Weights       // of folded
}

// New prepares the steps. It returns the errors of p.Validate and c.Validate.
func New(b compute.Backend, p Problem, c Config) (*Quantizer, error) {
	if b == nil {
		return nil, errors.New("pdq: no backend; give one that backend.Open returns")
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if has := int(b.NumDevices()); c.Machine.Devices > max(has, 1) {
		return nil, fmt.Errorf("pdq: Machine.Devices is %d; backend %s has %d", c.Machine.Devices, b.Name(), has)
	}
	folded, weights, err := models.Fold(p.Network, p.Weights)
	if err != nil {
		return nil, err
	}
	if err := finiteWeights(weights); err != nil {
		return nil, fmt.Errorf("pdq: with batch normalisation folded: %w; a running variance is too small", err)
	}
	q := &Quantizer{b: b, p: p, c: c, folded: folded, weights: weights, bits: map[string]LayerBits{},
		images: p.Calibration, Terms: PaperTerms(c)}
	if c.Mirror {
		if q.images, err = withMirrored(p.Calibration); err != nil {
			return nil, fmt.Errorf("pdq: mirrored images: %w", err)
		}
	}
	if q.plan, err = c.Bits.Plan(folded); err != nil {
		return nil, err
	}
	for _, lb := range q.plan {
		q.bits[lb.Layer] = lb
	}
	if err := q.inUnits(); err != nil {
		return nil, err
	}
	return q, nil
}

// inUnits is an error if something to quantise is in no unit, so that no step would.
func (q *Quantizer) inUnits() error {
	in := map[string]bool{}
	for _, u := range q.folded.Units {
		for _, l := range q.folded.Layers[u.First : u.Last+1] {
			in[l.Name] = true
		}
	}
	for _, lb := range q.plan {
		if !in[lb.Layer] {
			return fmt.Errorf("pdq: %s of %s lies between the units, but is quantised; let the unit before it end with it",
				lb.Layer, q.folded.Name)
		}
	}
	return nil
}

// Problem returns the network, weights and images that q was made for.
func (q *Quantizer) Problem() Problem { return q.p }

// Config returns the settings that q was made with.
func (q *Quantizer) Config() Config { return q.c }

// Backend returns the backend that computes the steps.
func (q *Quantizer) Backend() compute.Backend { return q.b }

// Folded returns the network that is quantised, which has batch normalisation folded, and its weights.
func (q *Quantizer) Folded() (*models.Network, models.Weights) { return q.folded, q.weights }

// Plan returns the widths of all quantised tensors.
func (q *Quantizer) Plan() Plan { return slices.Clone(q.plan) }

// Quantize takes all steps.
func (q *Quantizer) Quantize(ctx context.Context) (Student, error) {
	return q.QuantizeFrom(ctx, State{}, Keeper{})
}

// QuantizeFrom is Quantize from a State on. If the state is of a run with the same Problem, Config and Terms, on the
// same backend with the same number of workers, the bits are those of a run that never stopped. The units before are
// observed again.
func (q *Quantizer) QuantizeFrom(ctx context.Context, from State, k Keeper) (Student, error) {
	r := &Run{Quantizer: q, State: from, Keeper: k}
	err := Quantize(ctx, r)
	return r.Student, err
}

// Quantize is the whole algorithm. It takes runs that differ only in their seeds, each from its State on, and leaves
// the last State in each. Their students are the same as if each ran alone.
//
// The runs go side by side, unit by unit. What doesn't depend on the seed is computed once: the teacher's logits, the
// scales of weights and the distribution correction. The time for these is in the elapsed time of each run. A unit's
// data for all runs are in memory together.
func Quantize(ctx context.Context, runs ...*Run) error {
	if err := canStart(runs); err != nil {
		return err
	}
	q, first := runs[0].Quantizer, firstUnit(runs)
	if first < len(q.folded.Units) {
		teacher, err := startRuns(ctx, runs) // full-precision logits, scales of all weights
		if err != nil {
			return err
		}
		defer teacher.Free()
		for data, err := range observations(ctx, teacher, runs, first) { // unit by unit, what each student sees of it
			if err != nil {
				return err
			}
			corrected, err := correctAll(ctx, runs, data) // distribution correction
			for i, r := range runs {
				if err == nil {
					err = r.finishUnit(ctx, corrected.withStudent(data[i])) // activation scales, rounding
				}
			}
			corrected.FreeBut(data...)
			if err != nil {
				return err
			}
		}
	}
	for _, r := range runs {
		if err := r.fineTune(ctx); err != nil { // not in the paper
			return err
		}
	}
	return nil
}

// Units is the loop over the units, for steps of your own. It yields each unit's data, for which it takes the student
// *s as it is when the unit's turn comes. It frees the data of a unit once it has that of the next, except for the
// caches that Correct adds.
func (q *Quantizer) Units(ctx context.Context, t *Teacher, s *Student) iter.Seq2[*UnitData, error] {
	return func(yield func(*UnitData, error) bool) {
		if s == nil {
			yield(nil, errors.New("pdq: Units: no student; give a pointer to the one that your steps replace"))
			return
		}
		r := &Run{Quantizer: q, State: State{Student: *s}}
		for data, err := range observations(ctx, t, []*Run{r}, 0) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(data[0], nil) {
				return
			}
			r.Student = *s
		}
	}
}

// Evaluate returns the score on test of the network with the tensors that s quantises quantised, and the rest in full
// precision.
func (q *Quantizer) Evaluate(ctx context.Context, s Student, test datasets.Stream) (Score, error) {
	if test == nil {
		return Score{}, q.fail(StepEvaluate, -1, errNoImages)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		return Score{}, q.fail(StepEvaluate, -1, err)
	}
	score, _, err := evaluate(ctx, q.runner(StepEvaluate, -1), q.folded, func(xs []*Node) []*Node {
		return []*Node{q.folded.Forward(xs[0], 0, len(q.folded.Layers)-1, s.Hooks(xs[0].Graph(), w))}
	}, test)
	return score, q.fail(StepEvaluate, -1, err)
}

// StudentWeights returns the weights of the folded network with those that s quantises on their levels, and with the
// biases of s.
func (q *Quantizer) StudentWeights(s Student) (models.Weights, error) {
	if err := q.canHold(s); err != nil {
		return nil, err
	}
	w := q.withBiases(s)
	for layer, wq := range s.Weights {
		t, err := wq.Dequantize(w[layer+".weight"])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", layer, err)
		}
		w[layer+".weight"] = t
	}
	return w, nil
}

// canHold returns an error if s has a quantiser that can't be one of the folded network. Unlike fits, it takes any
// width.
func (q *Quantizer) canHold(s Student) error {
	for layer, wq := range s.Weights {
		full, ok := q.weights[layer+".weight"]
		if !ok {
			return fmt.Errorf("%s has no layer %s with a weight, but the student quantises it", q.folded.Name, layer)
		}
		if err := wq.fits(full); err != nil {
			return fmt.Errorf("the weight of %s: %w", layer, err)
		}
	}
	for layer, a := range s.Acts {
		if err := checkWidth(a.Bits); err != nil {
			return fmt.Errorf("the output of %s: %w", layer, err)
		}
		if !(a.Scale > 0) || a.Zero-a.Zero != 0 {
			return fmt.Errorf("the output of %s has scale %g and zero point %g; the scale must be > 0, the zero point finite",
				layer, a.Scale, a.Zero)
		}
	}
	return nil
}

// withBiases returns the weights of the folded network with the biases of s.
func (q *Quantizer) withBiases(s Student) models.Weights {
	w := maps.Clone(q.weights)
	for layer, wq := range s.Weights {
		if wq.Bias != nil {
			w[layer+".bias"] = tensors.FromFlatDataAndDimensions(wq.Bias, len(wq.Bias))
		}
	}
	return w
}

// fail wraps err, which may be nil, with its step and unit (-1: none).
func (q *Quantizer) fail(step Step, unit int, err error) error {
	if err == nil {
		return nil
	}
	return &UnitError{step, q.unitName(unit), err}
}

func (q *Quantizer) unitName(unit int) string {
	if unit < 0 || unit >= len(q.folded.Units) {
		return ""
	}
	return q.folded.Units[unit].Name
}

// tell reports progress.
func (q *Quantizer) tell(step Step, unit, done, total int, l Loss) {
	if q.Progress != nil {
		q.Progress(Event{step, q.unitName(unit), done, total, l})
	}
}

// runner returns a runner of graphs over images that reports its progress as that of step.
func (q *Quantizer) runner(step Step, unit int) exec.Runner {
	r := q.quietRunner()
	r.Progress = func(done, total int) { q.tell(step, unit, done, total, Loss{}) }
	return r
}

// quietRunner returns a runner that doesn't report progress.
func (q *Quantizer) quietRunner() exec.Runner {
	return exec.NewRunner(q.b, q.c.Machine.crew(), q.folded)
}
