package pdq

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
)

// Score says for each image whether a network was right, so that two networks can be
// compared in pairs.
type Score struct{ Top1 []bool }

// Accuracy returns the fraction of images that were right, and its standard error. Both are
// NaN of no images.
func (s Score) Accuracy() (acc, stderr float64) {
	right := 0
	for _, ok := range s.Top1 {
		if ok {
			right++
		}
	}
	n := float64(len(s.Top1))
	acc = float64(right) / n
	return acc, math.Sqrt(acc * (1 - acc) / n)
}

// Minus returns the difference of the accuracies of s and o on the same images, and its
// standard error. Errors on the same image cancel: the difference is known far better
// than either accuracy. Both are NaN if the numbers of images differ, or are 0.
func (s Score) Minus(o Score) (diff, stderr float64) {
	if len(s.Top1) != len(o.Top1) {
		return math.NaN(), math.NaN()
	}
	n := float64(len(s.Top1))
	var squares float64
	for i, ok := range s.Top1 {
		if ok != o.Top1[i] {
			squares++
			if ok {
				diff++
			} else {
				diff--
			}
		}
	}
	diff /= n
	return diff, math.Sqrt((squares/n - diff*diff) / n)
}

// EvaluateTeacher returns the score of the full-precision network n on im, computed by so many
// workers as of MachineConfig. between is called between batches; nil: not.
func EvaluateTeacher(ctx context.Context, b compute.Backend, workers int, n *models.Network, w models.Weights, im datasets.Images, between func(done, total int)) (Score, error) {
	f := func(x *Node) []*Node {
		return []*Node{n.Forward(x, 0, len(n.Layers)-1, models.Hooks{Param: constants(x.Graph(), w)})}
	}
	run := newRunner(b, workers, n)
	run.between = between
	score, err := evaluate(ctx, run, f, im)
	if err != nil {
		return score, &UnitError{StepEvaluate, "", err}
	}
	return score, nil
}

// evaluate returns the score on im of the network whose logits [N,classes] forward gives
// for images [N,C,H,W].
func evaluate(ctx context.Context, r runner, forward func(x *Node) []*Node, im datasets.Images) (Score, error) {
	if err := im.Validate(); err != nil {
		return Score{}, err
	}
	out, err := r.run(ctx, func(xs []*Node) []*Node { return forward(xs[0]) }, normalised{im})
	if err != nil {
		return Score{}, err
	}
	logits := out[0].flat
	s := Score{Top1: make([]bool, im.Len())}
	classes := len(logits) / im.Len()
	for i, label := range im.Labels {
		row := logits[i*classes : (i+1)*classes]
		if k := nonFinite(row); k >= 0 {
			return Score{}, fmt.Errorf("logit %d of image %d is %g", k, i, row[k])
		}
		best := 0
		for c, v := range row {
			if v > row[best] {
				best = c
			}
		}
		s.Top1[i] = best == int(label)
	}
	return s, nil
}

// nonFinite returns the index of the first of x that is NaN or infinite, or -1.
func nonFinite(x []float32) int {
	return slices.IndexFunc(x, func(v float32) bool { return v-v != 0 })
}
