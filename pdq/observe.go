package pdq

import (
	"context"
	"errors"
	"fmt"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Cache holds float32 numbers for each image, in memory or in a temporary file. Goroutines may read it concurrently.
type Cache = exec.Cache

// UnitData holds the inputs and outputs of one unit for the calibration images.
type UnitData struct {
	Unit                  int    // index into the network's Units
	StudentIn             *Cache // [N,C,H,W] the unit's input with the units before it quantised
	TeacherIn, TeacherOut *Cache // the teacher's input and output, for the original images
	CorrectedIn, Target   *Cache // the same after Correct; before, they are TeacherIn and TeacherOut
	Logits                *Cache // [N,classes] the teacher's, for the original images
}

// Observe computes the inputs and outputs of unit u. It starts from prev, the data of an earlier unit, or from the
// images if prev is nil. It returns an error if u isn't a unit after that of prev, or if s doesn't quantise everything
// before u.
func (q *Quantizer) Observe(ctx context.Context, s Student, t *Teacher, u int, prev *UnitData) (*UnitData, error) {
	if err := errors.Join(q.canObserve(s, u, prev), q.sameImages(t, prev)); err != nil {
		return nil, q.fail(StepObserve, u, err)
	}
	w, err := q.StudentWeights(s)
	if err != nil {
		return nil, q.fail(StepObserve, u, err)
	}
	student, teacher := q.folded, q.p.Network
	var first, teacherFirst int
	var studentIn, teacherIn exec.Images = exec.Normalised{Images: q.images}, exec.Normalised{Images: q.images}
	if prev != nil {
		first, teacherFirst = student.Units[prev.Unit].First, teacher.Units[prev.Unit].First
		studentIn, teacherIn = prev.StudentIn, prev.TeacherIn
	}
	run := q.runner(StepObserve, u)
	run.NewCache = q.newCache(u)
	run.Finite = []string{"the student's input to it", "the teacher's input to it", "the teacher's output of it"}
	out, err := run.Run(ctx, func(xs []*Node) []*Node {
		g := xs[0].Graph()
		h := models.Hooks{Param: exec.Constants(g, q.p.Weights)}
		tu := teacher.Units[u]
		in := teacher.Forward(xs[1], teacherFirst, tu.First-1, h)
		return []*Node{
			student.Forward(xs[0], first, student.Units[u].First-1, s.Hooks(g, w)),
			in,
			teacher.Forward(in, tu.First, tu.Last, h),
		}
	}, studentIn, teacherIn)
	if err != nil {
		return nil, q.fail(StepObserve, u, err)
	}
	return &UnitData{Unit: u, StudentIn: out[0], TeacherIn: out[1], TeacherOut: out[2],
		CorrectedIn: out[1], Target: out[2], Logits: t.Logits}, nil
}

// canObserve returns an error if Observe can't take these arguments.
func (q *Quantizer) canObserve(s Student, u int, prev *UnitData) error {
	if u < 0 || u >= len(q.folded.Units) {
		return fmt.Errorf("there is no unit %d; %s has units 0 to %d", u, q.folded.Name, len(q.folded.Units)-1)
	}
	if prev != nil && prev.Unit >= u {
		return fmt.Errorf("the data given is of unit %d; give the data of an earlier unit, or nil", prev.Unit)
	}
	return q.quantised(s, q.folded.Layers[:q.folded.Units[u].First])
}

// quantised returns an error if s doesn't quantise all tensors of layers that the plan quantises.
func (q *Quantizer) quantised(s Student, layers []models.Layer) error {
	for _, l := range layers {
		if _, ok := s.Weights[l.Name]; !ok && q.bits[l.Name].Weight > 0 {
			return fmt.Errorf("the weight of %s, which comes before, isn't quantised; search weight scales first", l.Name)
		}
		if _, ok := s.Acts[l.Name]; !ok && q.bits[l.Name].Output > 0 {
			return fmt.Errorf("the output of %s, which comes before, isn't quantised; take the units in order", l.Name)
		}
	}
	return nil
}

// sameImages returns an error if t or prev was computed for another number of images.
func (q *Quantizer) sameImages(t *Teacher, prev *UnitData) error {
	if err := canUseTeacher(t); err != nil {
		return err
	}
	if prev != nil {
		if err := q.canUse(prev, "StudentIn", "TeacherIn"); err != nil {
			return fmt.Errorf("the data of the unit before: %w", err)
		}
	}
	if n, want := t.Logits.Len(), q.images.Len(); n != want {
		return fmt.Errorf("the teacher's logits are of %d images, but the units are fitted to %d; run Teacher again",
			n, want)
	}
	if prev != nil && prev.StudentIn.Len() != q.images.Len() {
		return fmt.Errorf("unit %d was observed on %d images, but the units are fitted to %d; observe the first unit again",
			prev.Unit, prev.StudentIn.Len(), q.images.Len())
	}
	return nil
}

// Free frees the caches of d, including those that it shares with the result of Correct, but not the logits, which
// belong to the teacher. d must not be used afterwards; it may be nil.
func (d *UnitData) Free() { d.FreeBut() }

// FreeBut is Free, but keeps the caches that d shares with any of the others, which may be nil.
func (d *UnitData) FreeBut(others ...*UnitData) {
	live := map[*Cache]bool{}
	for _, o := range others {
		for _, c := range o.caches() {
			live[c] = true
		}
	}
	for _, c := range d.caches() {
		if !live[c] {
			c.Free()
		}
	}
}

// caches returns all caches of d except for the logits; none if d is nil.
func (d *UnitData) caches() []*Cache {
	if d == nil {
		return nil
	}
	return []*Cache{d.StudentIn, d.TeacherIn, d.TeacherOut, d.CorrectedIn, d.Target}
}
