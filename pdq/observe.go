package pdq

import (
	"context"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// UnitData is what one unit sees over the calibration images. No field changes its
// meaning later.
type UnitData struct {
	Unit                  int             // index into the network's Units
	StudentIn             *tensors.Tensor // [N,C,H,W] units before it quantised
	TeacherIn, TeacherOut *tensors.Tensor // full precision, original images
	CorrectedIn, Target   *tensors.Tensor // by Correct; until then TeacherIn and TeacherOut
	Logits                *tensors.Tensor // [N,classes] the teacher's, original images
}

// Observe records what unit u sees. prev, the data of the unit before it, saves running
// the network again from the images; nil: run it. The units before u must be quantised in s.
func (q *Quantizer) Observe(ctx context.Context, s Student, t *Teacher, u int, prev *UnitData) (*UnitData, error) {
	d := &UnitData{Unit: u, Logits: t.Logits}
	from, studentIn, teacherIn := 0, imageTensor(q.p.Calibration), imageTensor(q.p.Calibration)
	if prev != nil {
		from, studentIn, teacherIn = prev.Unit, prev.StudentIn, prev.TeacherIn
	}
	w, err := q.studentWeights(s)
	if err != nil {
		return nil, q.fail(StepObserve, u, err)
	}
	student, teacher := q.folded, q.p.Network
	first, teacherFirst := 0, 0
	if prev != nil {
		first, teacherFirst = student.Units[from].First, teacher.Units[from].First
	}
	out, err := overImages(ctx, q.b, func(xs []*Node) []*Node {
		g := xs[0].Graph()
		h := models.Hooks{Param: constants(g, q.p.Weights)}
		tu := teacher.Units[u]
		in := teacher.Forward(xs[1], teacherFirst, tu.First-1, h)
		return []*Node{
			student.Forward(xs[0], first, student.Units[u].First-1, studentHooks(g, w, s)),
			in,
			teacher.Forward(in, tu.First, tu.Last, h),
		}
	}, q.between(StepObserve, u), studentIn, teacherIn)
	if err != nil {
		return nil, q.fail(StepObserve, u, err)
	}
	d.StudentIn, d.TeacherIn, d.TeacherOut = out[0], out[1], out[2]
	d.CorrectedIn, d.Target = d.TeacherIn, d.TeacherOut
	return d, nil
}

// Free releases d's tensors, but for the logits, at once rather than at some garbage
// collection. d must not be used again.
func (d *UnitData) Free() {
	for _, t := range []*tensors.Tensor{d.StudentIn, d.TeacherIn, d.TeacherOut, d.CorrectedIn, d.Target} {
		if t.Ok() {
			t.MustFinalizeAll()
		}
	}
}
