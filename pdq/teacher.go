package pdq

import (
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// Teacher is the full-precision network's answer to the calibration images.
type Teacher struct {
	Logits *tensors.Tensor // [N,classes]
}

// Teacher computes the logits of the full-precision network, batch normalisation with
// running statistics, for the calibration images.
func (q *Quantizer) Teacher(ctx context.Context) (*Teacher, error) {
	n := q.p.Network
	out, err := overImages(ctx, q.b, func(xs []*Node) []*Node {
		return []*Node{n.Forward(xs[0], 0, len(n.Layers)-1, models.Hooks{Param: constants(xs[0].Graph(), q.p.Weights)})}
	}, q.between(StepTeacher, -1), imageTensor(q.p.Calibration))
	if err != nil {
		return nil, q.fail(StepTeacher, -1, err)
	}
	return &Teacher{out[0]}, nil
}
