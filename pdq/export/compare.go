package export

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Comparison says how far a written model computes what its student does.
type Comparison struct {
	Largest        float64   // difference of two logits
	Close          int       // images whose logits all differ by at most 1e-4; for others a level flipped at a tie
	Same           int       // images for which both predict the same class
	Model, Student pdq.Score // on the same images
}

// Run computes the logits [n,Classes] of a written model for normalised images of shape dims, [n,C,H,W].
type Run func(images []float32, dims ...int) ([]float32, error)

// Evaluate returns the score of a model on test, one that ONNX wrote or another classifier.
func Evaluate(ctx context.Context, model Run, test datasets.Stream) (s pdq.Score, err error) {
	for batch, err := range test.Batches(ctx, exec.MaxChunk) {
		if err != nil {
			return pdq.Score{}, fmt.Errorf("export: evaluate: %w", err)
		}
		n := batch.Len()
		logits, err := model(batch.Floats(0, n), n, batch.Channels, batch.Height, batch.Width)
		if err == nil && (len(logits)%n > 0 || len(logits)/n < len(batch.Classes)) {
			err = fmt.Errorf("%d logits of %d images, but %d classes; give a classifier of these images", len(logits), n,
				len(batch.Classes))
		}
		if err != nil {
			return pdq.Score{}, fmt.Errorf("export: evaluate: model: %w", err)
		}
		classes := len(logits) / n
		for i, label := range batch.Labels {
			s.Top1 = append(s.Top1, largest(logits[i*classes:(i+1)*classes]) == int(label))
		}
	}
	return s, nil
}

// Compare runs a written model of the student s, and s itself, on images, of which there must be one at least.
func Compare(ctx context.Context, q *pdq.Quantizer, s pdq.Student, images datasets.Stream, model Run) (
	c Comparison, err error) {
	w, err := q.StudentWeights(s)
	if err != nil {
		return c, fmt.Errorf("export: compare: student: %w", err)
	}
	n, _ := q.Folded()
	m := q.Config().Machine
	runner := exec.NewRunner(q.Backend(), exec.Crew{Workers: m.Workers, Devices: m.Devices}, n)
	forward, err := exec.NewShared(q.Backend(), func(xs []*graph.Node) []*graph.Node {
		return []*graph.Node{n.Forward(xs[0], 0, len(n.Layers)-1, s.Hooks(xs[0].Graph(), w))}
	})
	if err != nil {
		return c, fmt.Errorf("export: compare: student: %w", err)
	}
	defer forward.Finalize()
	for batch, err := range images.Batches(ctx, exec.MaxChunk) {
		if err != nil {
			return c, fmt.Errorf("export: compare: %w", err)
		}
		got, err := model(batch.Floats(0, batch.Len()), batch.Len(), batch.Channels, batch.Height, batch.Width)
		if err == nil && len(got) != batch.Len()*n.Classes {
			err = fmt.Errorf("%d logits of %d images and %d classes", len(got), batch.Len(), n.Classes)
		}
		if err != nil {
			return c, fmt.Errorf("export: compare: model: %w", err)
		}
		out, err := runner.Call(ctx, forward, exec.Normalised{Images: batch})
		if err != nil {
			return c, fmt.Errorf("export: compare: student: %w", err)
		}
		want := out[0].Flat()
		for i, label := range batch.Labels {
			lo, hi := i*n.Classes, (i+1)*n.Classes
			c.add(got[lo:hi], want[lo:hi], int(label))
		}
		exec.FreeCaches(out...)
	}
	if len(c.Model.Top1) == 0 {
		return c, errors.New("export: compare: no images; give at least one")
	}
	return c, nil
}

// add counts an image's logits.
func (c *Comparison) add(model, student []float32, label int) {
	var most float64
	for k, x := range model {
		most = max(most, math.Abs(float64(x)-float64(student[k]))) // NaN if any is
	}
	c.Largest = max(c.Largest, most)
	if most <= 1e-4 {
		c.Close++
	}
	a, b := largest(model), largest(student)
	if a == b {
		c.Same++
	}
	c.Model.Top1, c.Student.Top1 = append(c.Model.Top1, a == label), append(c.Student.Top1, b == label)
}

func largest(x []float32) (at int) {
	for k, v := range x {
		if v > x[at] {
			at = k
		}
	}
	return at
}
