package pdq

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Score says, for each image, whether a network classified it correctly, so that two networks can be compared image by
// image.
type Score struct{ Top1 []bool }

// Accuracy returns the fraction of images that were classified correctly, and its standard error. Without images both
// are NaN.
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

// Minus returns the accuracy of s minus that of o on the same images, and its standard error. Images that both classify
// wrongly cancel out, so the difference has a far smaller error than either accuracy. Both are NaN if the numbers of
// images differ or are 0.
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

// AtChance says whether s is no better than guessing among the given number of classes: whether guesses would get at
// least as many images right with a probability above 1e-3. Below ten images, which are too few to tell, it is false.
func (s Score) AtChance(classes int) bool {
	right := 0
	for _, ok := range s.Top1 {
		if ok {
			right++
		}
	}
	guess := distuv.Binomial{N: float64(len(s.Top1)), P: 1 / float64(classes)}
	return len(s.Top1) >= 10 && (right == 0 || guess.Survival(float64(right-1)) > 1e-3)
}

// Compare returns the score of Evaluate and, for each image, the prediction difference between the teacher and the
// student s, at Loss.Temperature. To compare students, the mean of these needs fewer images than their accuracies.
func (q *Quantizer) Compare(ctx context.Context, s Student, test datasets.Stream) (Score, []float64, error) {
	score, each, err := q.compare(ctx, q.runner(StepEvaluate, -1), s, test)
	return score, each, q.fail(StepEvaluate, -1, err)
}

func (q *Quantizer) compare(ctx context.Context, r exec.Runner, s Student, test datasets.Stream) (
	Score, []float64, error) {
	w, err := q.canCompare(s, test)
	if err != nil {
		return Score{}, nil, err
	}
	return evaluate(ctx, r, q.folded, func(xs []*Node) []*Node {
		logits, each := q.predictions(xs[0], s, w, q.lastLayer())
		return append(logits, each...)
	}, test)
}

// canCompare returns the weights of s, and an error if it can't be compared with the teacher on test.
func (q *Quantizer) canCompare(s Student, test datasets.Stream) (models.Weights, error) {
	if !(q.c.Loss.Temperature > 0) {
		return nil, fmt.Errorf("Loss.Temperature is %g; it must be > 0", q.c.Loss.Temperature)
	}
	if test == nil {
		return nil, errNoImages
	}
	return q.StudentWeights(s)
}

// ComparePrefixes returns what Compare does for s with its first unit quantised and the rest of the network in full
// precision, for s with its first two, and so on up to the last unit that s quantises. It takes a fraction of as many
// calls of Compare: the teacher and the units of s are computed once.
func (q *Quantizer) ComparePrefixes(ctx context.Context, s Student, test datasets.Stream) (
	scores []Score, each [][]float64, err error) {
	w, err := q.canCompare(s, test)
	if err != nil {
		return nil, nil, q.fail(StepEvaluate, -1, err)
	}
	var ends []int
	for _, u := range q.folded.Units[:q.quantisedUnits(s)] {
		ends = append(ends, u.Last)
	}
	scores, each, err = evaluateAll(ctx, q.runner(StepEvaluate, -1), q.folded, len(ends), func(xs []*Node) []*Node {
		logits, differences := q.predictions(xs[0], s, w, ends...)
		return append(logits, differences...)
	}, test)
	return scores, each, q.fail(StepEvaluate, -1, err)
}

// quantisedUnits returns how many units there are up to the last one that s quantises, at least 1.
func (q *Quantizer) quantisedUnits(s Student) int {
	for u := len(q.folded.Units) - 1; u > 0; u-- {
		for _, l := range q.folded.Layers[q.folded.Units[u-1].Last+1 : q.folded.Units[u].Last+1] {
			_, weight := s.Weights[l.Name]
			_, output := s.Acts[l.Name]
			if weight || output {
				return u + 1
			}
		}
	}
	return 1
}

// meanDifference returns the mean prediction difference between the teacher and the student s on images, which need no
// labels.
func (q *Quantizer) meanDifference(ctx context.Context, s Student, images exec.Images) (float64, error) {
	w, err := q.StudentWeights(s)
	if err != nil {
		return 0, err
	}
	r := q.quietRunner()
	r.Finite = []string{"the prediction difference"}
	out, err := r.Run(ctx, func(xs []*Node) []*Node {
		_, each := q.predictions(xs[0], s, w, q.lastLayer())
		return each
	}, images)
	if err != nil {
		return 0, err
	}
	defer exec.FreeCaches(out...)
	sum := 0.0
	for _, d := range out[0].Flat() {
		sum += float64(d)
	}
	return sum / float64(images.Len()), nil
}

// predictions returns, for each of the layers ends, the logits [N,classes] for the images x [N,C,H,W] of the student s,
// whose weights are w, up to that layer, and of the full-precision network after it, and the prediction difference [N]
// between the teacher and these. ends are in order, and only one tensor passes from each to later layers.
func (q *Quantizer) predictions(x *Node, s Student, w models.Weights, ends ...int) (logits, each []*Node) {
	full, student := models.Hooks{Param: exec.Constants(x.Graph(), q.weights)}, s.Hooks(x.Graph(), w)
	teacher, next := q.folded.Forward(x, 0, q.lastLayer(), full), 0
	for _, end := range ends {
		x, next = q.folded.Forward(x, next, end, student), end+1
		of := q.folded.Forward(x, next, q.lastLayer(), full)
		logits = append(logits, of)
		each = append(each, ReduceSum(differenceTerms(teacher, of, q.c.Loss.Temperature), 1))
	}
	return logits, each
}

func (q *Quantizer) lastLayer() int { return len(q.folded.Layers) - 1 }

// EvaluateTeacher returns the score of the full-precision network n on test. m says how it is computed. progress, if
// not nil, is called between batches.
func EvaluateTeacher(ctx context.Context, b compute.Backend, m MachineConfig, n *models.Network, w models.Weights,
	test datasets.Stream, progress func(done, total int)) (Score, error) {
	if b == nil || n == nil || test == nil {
		return Score{}, &UnitError{StepEvaluate, "", errors.New("backend, network or images are missing; give all three")}
	}
	if err := errors.Join(n.Validate(), w.Check(n)); err != nil {
		return Score{}, &UnitError{StepEvaluate, "", err}
	}
	f := func(xs []*Node) []*Node {
		return []*Node{n.Forward(xs[0], 0, len(n.Layers)-1, models.Hooks{Param: exec.Constants(xs[0].Graph(), w)})}
	}
	run := exec.NewRunner(b, m.crew(), n)
	run.Progress = progress
	score, _, err := evaluate(ctx, run, n, f, test)
	if err != nil {
		return score, &UnitError{StepEvaluate, "", err}
	}
	return score, nil
}

// evaluate returns the score of n, or of a student of n, on test. forward is the graph from images [N,C,H,W] to logits
// [N,classes] and, perhaps, a number for each image [N], which it returns as well.
func evaluate(ctx context.Context, r exec.Runner, n *models.Network, forward func(xs []*Node) []*Node,
	test datasets.Stream) (Score, []float64, error) {
	scores, each, err := evaluateAll(ctx, r, n, 1, forward, test)
	if err != nil {
		return Score{}, nil, err
	}
	return scores[0], each[0], nil
}

// evaluateAll returns the scores of several students of n on test. forward is the graph from images to the logits of
// each and, perhaps, as many numbers for each image.
func evaluateAll(ctx context.Context, r exec.Runner, n *models.Network, students int,
	forward func(xs []*Node) []*Node, test datasets.Stream) (scores []Score, each [][]float64, err error) {
	compiled, err := exec.NewShared(r.Backend, forward)
	if err != nil {
		return nil, nil, err
	}
	defer compiled.Finalize()
	progress, done := r.Progress, 0
	scores, each = make([]Score, students), make([][]float64, students)
	for batch, err := range test.Batches(ctx, r.Chunk*r.AtOnce()) {
		if err == nil {
			err = batch.Validate()
		}
		if err == nil {
			err = canTest(n, batch)
		}
		if err != nil {
			return nil, nil, err
		}
		r.Progress = func(more, _ int) {
			if progress != nil {
				progress(min(done+more, test.Len()), test.Len())
			}
		}
		right, numbers, err := classify(ctx, r, compiled, batch, done, students)
		if err != nil {
			return nil, nil, err
		}
		for i := range scores {
			scores[i].Top1, each[i] = append(scores[i].Top1, right[i]...), append(each[i], numbers[i]...)
		}
		done += batch.Len()
	}
	if done == 0 {
		return nil, nil, errNoImages
	}
	return scores, each, nil
}

// canTest returns an error unless the images have the size that n takes, and labels.
func canTest(n *models.Network, im datasets.Images) error {
	if err := fitsInput(n, im); err != nil {
		return fmt.Errorf("images %w", err)
	}
	if !im.Labelled() {
		return fmt.Errorf("images of %s have no labels; test on images that have", im.Name)
	}
	return nil
}

var errNoImages = errors.New("no images to evaluate on; give at least one")

// classify says which images of a batch each student classifies correctly, and returns the numbers that follow their
// logits in the graph's outputs. first is the number of the batch's first image, for messages.
func classify(ctx context.Context, r exec.Runner, compiled *exec.Shared, batch datasets.Images, first, students int) (
	right [][]bool, each [][]float64, err error) {
	filled := batch
	if first > 0 && batch.Len() < r.Chunk { // fill it up to a whole chunk, for which there is a compiled graph
		indices := make([]int, r.Chunk)
		for i := range indices {
			indices[i] = i % batch.Len()
		}
		if filled, err = batch.Select(indices); err != nil {
			return nil, nil, err
		}
	}
	out, err := r.Call(ctx, compiled, exec.Normalised{Images: filled})
	if err != nil {
		return nil, nil, err
	}
	defer exec.FreeCaches(out...)
	right, each = make([][]bool, students), make([][]float64, students)
	for k := range right {
		logits := out[k].Flat()
		right[k], err = correct(logits[:batch.Len()*len(logits)/filled.Len()], batch.Labels, first)
		if err != nil {
			return nil, nil, err
		}
	}
	for k, numbers := range out[students:] {
		for i, v := range numbers.Flat()[:batch.Len()] {
			if each[k] = append(each[k], float64(v)); v-v != 0 {
				return nil, nil, fmt.Errorf("the prediction difference of image %d is %g", first+i, v)
			}
		}
	}
	return right, each, nil
}

// correct says, for each image, whether the largest of its logits [N,classes] is that of its label. first is the number
// of the first image, for messages.
func correct(logits []float32, labels []int32, first int) ([]bool, error) {
	classes := len(logits) / len(labels)
	right := make([]bool, len(labels))
	for i, label := range labels {
		row := logits[i*classes : (i+1)*classes]
		if k := exec.NonFinite(row); k >= 0 {
			return nil, fmt.Errorf("logit %d of image %d is %g", k, first+i, row[k])
		}
		best := 0
		for c, v := range row {
			if v > row[best] {
				best = c
			}
		}
		right[i] = best == int(label)
	}
	return right, nil
}
