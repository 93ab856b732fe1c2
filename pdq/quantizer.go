package pdq

import (
	"context"
	"fmt"
	"maps"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
)

// Quantizer takes the steps for one Problem and Config, and holds nothing that a step
// could leave changed. Not for concurrent use.
type Quantizer struct {
	Progress func(Event) // called between batches and optimisation steps; nil: silent

	b       compute.Backend
	p       Problem
	c       Config
	images  datasets.Images      // calibration images, and perhaps mirrored ones
	bits    map[string]LayerBits // by layer of folded
	folded  *models.Network      // batch normalisation folded: what is quantised
	weights models.Weights       // of folded
}

// New prepares the steps. The errors are those of Validate of p and c.
func New(b compute.Backend, p Problem, c Config) (*Quantizer, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	folded, weights, err := models.Fold(p.Network, p.Weights)
	if err != nil {
		return nil, err
	}
	if err := finiteWeights(weights); err != nil {
		return nil, fmt.Errorf("pdq: with batch normalisation folded: %w; a running variance is too small", err)
	}
	q := &Quantizer{b: b, p: p, c: c, folded: folded, weights: weights, bits: map[string]LayerBits{}, images: p.Calibration}
	if c.Mirror {
		if q.images, err = withMirrored(p.Calibration); err != nil {
			return nil, fmt.Errorf("pdq: mirrored images: %w", err)
		}
	}
	for _, lb := range c.Bits.Map(folded) {
		q.bits[lb.Layer] = lb
	}
	return q, nil
}

// Folded returns the network that is quantised, with batch normalisation folded, and its
// weights.
func (q *Quantizer) Folded() (*models.Network, models.Weights) { return q.folded, q.weights }

// Quantize takes all the steps.
func (q *Quantizer) Quantize(ctx context.Context) (Student, error) {
	return q.QuantizeFrom(ctx, State{}, Keeper{})
}

// Evaluate returns the score on test of the student s: of the network with what s quantises
// quantised, and the rest in full precision.
func (q *Quantizer) Evaluate(ctx context.Context, s Student, test datasets.Stream) (Score, error) {
	w, err := q.studentWeights(s)
	if err != nil {
		return Score{}, q.fail(StepEvaluate, -1, err)
	}
	score, err := evaluate(ctx, q.runner(StepEvaluate, -1), q.folded, func(xs []*Node) []*Node {
		return []*Node{q.folded.Forward(xs[0], 0, len(q.folded.Layers)-1, studentHooks(xs[0].Graph(), w, s))}
	}, test)
	return score, q.fail(StepEvaluate, -1, err)
}

// studentWeights returns the folded weights with those that s quantises on their levels, and the biases that it has of its own.
func (q *Quantizer) studentWeights(s Student) (models.Weights, error) {
	w := q.withBiases(s)
	for layer, wq := range s.Weights {
		full, ok := w[layer+".weight"]
		if !ok {
			return nil, fmt.Errorf("%s has no weight %s, which the student quantises", q.folded.Name, layer)
		}
		t, err := wq.Dequantize(full)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", layer, err)
		}
		w[layer+".weight"] = t
	}
	return w, nil
}

// withBiases returns the folded weights with the biases that s has of its own.
func (q *Quantizer) withBiases(s Student) models.Weights {
	w := maps.Clone(q.weights)
	for layer, wq := range s.Weights {
		if wq.Bias != nil {
			w[layer+".bias"] = tensors.FromFlatDataAndDimensions(wq.Bias, len(wq.Bias))
		}
	}
	return w
}

// studentHooks are the hooks of a forward pass with constant weights w that quantises the
// activations that s does.
func studentHooks(g *Graph, w models.Weights, s Student) models.Hooks {
	return models.Hooks{Param: constants(g, w), After: func(l models.Layer, y *Node) *Node {
		a, ok := s.Acts[l.Name]
		if !ok {
			return y
		}
		return a.levels(l).quantize(y, Const(g, a.Scale))
	}}
}

// fail wraps err with the step and the unit (-1: none) it happened in.
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

// runner computes graphs over images, and reports the progress of a step.
func (q *Quantizer) runner(step Step, unit int) runner {
	r := newRunner(q.b, q.c.Machine.Workers, q.folded)
	r.between = func(done, total int) { q.tell(step, unit, done, total, Loss{}) }
	return r
}
