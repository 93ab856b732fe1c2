package pdq

import (
	"context"
	"errors"
	"fmt"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Teacher holds the outputs of the full-precision network for the calibration images. Free it after use.
type Teacher struct {
	Logits *Cache // [N,classes]
}

// Free frees the logits. t, which may be nil, and unit data observed with it must not be used afterwards.
func (t *Teacher) Free() {
	if t != nil {
		t.Logits.Free()
	}
}

// Score compares the logits of the calibration images, without mirrored copies, with their labels, which all must have.
// Nothing else in pdq uses labels of calibration images.
func (t *Teacher) Score(labels []int32) (Score, error) {
	if err := canUseTeacher(t); err != nil {
		return Score{}, fmt.Errorf("pdq: %w", err)
	}
	if n := t.Logits.Len(); len(labels) == 0 || n%len(labels) != 0 {
		return Score{}, fmt.Errorf("pdq: %d labels for logits of %d images", len(labels), n)
	}
	if slices.Contains(labels, datasets.Unlabelled) {
		return Score{}, errors.New("pdq: the calibration images have no labels, so there is no score")
	}
	right, err := correct(t.Logits.Flat()[:len(t.Logits.Flat())/t.Logits.Len()*len(labels)], labels, 0)
	return Score{right}, err
}

// Teacher computes the logits of the full-precision network for the calibration images and, with Config.Mirror, for
// their mirrored copies after them. Batch normalisation uses running statistics.
func (q *Quantizer) Teacher(ctx context.Context) (*Teacher, error) {
	n := q.p.Network
	out, err := q.runner(StepTeacher, -1).Run(ctx, func(xs []*Node) []*Node {
		return []*Node{n.Forward(xs[0], 0, len(n.Layers)-1, models.Hooks{Param: exec.Constants(xs[0].Graph(), q.p.Weights)})}
	}, exec.Normalised{Images: q.images})
	if err != nil {
		return nil, q.fail(StepTeacher, -1, err)
	}
	logits := out[0].Flat()
	if i := exec.NonFinite(logits); i >= 0 {
		err = fmt.Errorf("logit %d of image %d is %g; check weights and images", i%n.Classes, i/n.Classes, logits[i])
	}
	return &Teacher{out[0]}, q.fail(StepTeacher, -1, err)
}
