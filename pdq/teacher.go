package pdq

import (
	"context"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// Teacher is the full-precision network's answer to the calibration images. Free it after use.
type Teacher struct {
	Logits *tensors.Tensor // [N,classes]
}

// Free releases the logits. t, and data observed with it, must not be used again.
func (t *Teacher) Free() { free(t.Logits) }

// Teacher computes the logits of the full-precision network, batch normalisation with
// running statistics, for the calibration images.
func (q *Quantizer) Teacher(ctx context.Context) (*Teacher, error) {
	n := q.p.Network
	images := imageTensor(q.p.Calibration)
	defer free(images)
	out, err := overImages(ctx, q.b, q.c.Machine.Workers, func(xs []*Node) []*Node {
		return []*Node{n.Forward(xs[0], 0, len(n.Layers)-1, models.Hooks{Param: constants(xs[0].Graph(), q.p.Weights)})}
	}, q.between(StepTeacher, -1), images)
	if err != nil {
		return nil, q.fail(StepTeacher, -1, err)
	}
	logits, err := tensors.CopyFlatData[float32](out[0])
	if i := nonFinite(logits); err == nil && i >= 0 {
		err = fmt.Errorf("logit %d of image %d is %g; check weights and images", i%n.Classes, i/n.Classes, logits[i])
	}
	return &Teacher{out[0]}, q.fail(StepTeacher, -1, err)
}
