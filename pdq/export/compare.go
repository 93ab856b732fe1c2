package export

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

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

// Batched returns run for a model that takes exactly batch images at a time; run itself if batch is 0. Images are
// repeated where fewer are left.
func Batched(run Run, batch int) Run {
	if batch == 0 {
		return run
	}
	return func(images []float32, dims ...int) (all []float32, err error) {
		per := exec.Product(dims[1:])
		for lo := 0; lo < dims[0]; lo += batch {
			n := min(batch, dims[0]-lo)
			x := slices.Clone(images[lo*per : (lo+n)*per])
			for i := n; i < batch; i++ {
				x = append(x, images[lo*per:(lo+1)*per]...)
			}
			y, err := run(x, append([]int{batch}, dims[1:]...)...)
			if err != nil {
				return nil, err
			}
			all = append(all, y[:len(y)/batch*n]...)
		}
		return all, nil
	}
}

// Evaluate returns the score of a written model on test.
func Evaluate(ctx context.Context, model Run, test datasets.Stream) (s pdq.Score, err error) {
	for batch, err := range test.Batches(ctx, exec.MaxChunk) {
		if err != nil {
			return pdq.Score{}, fmt.Errorf("export: evaluate: %w", err)
		}
		n := batch.Len()
		logits, err := model(batch.Floats(0, n), n, batch.Channels, batch.Height, batch.Width)
		if err == nil && len(logits)%n > 0 {
			err = fmt.Errorf("%d logits of %d images", len(logits), n)
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

// Compare runs a written model of the student s, and s itself, on images.
func Compare(ctx context.Context, q *pdq.Quantizer, s pdq.Student, images datasets.Images, model Run) (
	c Comparison, err error) {
	student, err := logits(ctx, q, s, images)
	if err != nil {
		return c, fmt.Errorf("export: compare: student: %w", err)
	}
	classes := len(student) / images.Len()
	for lo := 0; lo < images.Len(); lo += exec.MaxChunk {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		hi := min(lo+exec.MaxChunk, images.Len())
		got, err := model(images.Floats(lo, hi), hi-lo, images.Channels, images.Height, images.Width)
		if err == nil && len(got) != (hi-lo)*classes {
			err = fmt.Errorf("%d logits of %d images and %d classes", len(got), hi-lo, classes)
		}
		if err != nil {
			return c, fmt.Errorf("export: compare: model: %w", err)
		}
		for i := range hi - lo {
			c.add(got[i*classes:(i+1)*classes], student[(lo+i)*classes:(lo+i+1)*classes], int(images.Labels[lo+i]))
		}
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

// logits returns the student's logits [N,Classes] of images.
func logits(ctx context.Context, q *pdq.Quantizer, s pdq.Student, images datasets.Images) ([]float32, error) {
	if images.Len() == 0 {
		return nil, errors.New("no images; give at least one")
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		return nil, err
	}
	n, _ := q.Folded()
	out, err := exec.NewRunner(q.Backend(), q.Config().Machine.Workers, n).Run(ctx, func(xs []*graph.Node) []*graph.Node {
		return []*graph.Node{n.Forward(xs[0], 0, len(n.Layers)-1, s.Hooks(xs[0].Graph(), w))}
	}, exec.Normalised{Images: images})
	if err != nil {
		return nil, err
	}
	defer exec.FreeCaches(out...)
	return out[0].Flat(), nil
}
