package pdq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Run is a run of the algorithm with one seed, for Quantize.
type Run struct {
	Quantizer *Quantizer
	State               // how far the run is; Quantize changes it
	Keeper    Keeper    // the zero Keeper saves nothing
	started   time.Time // when the clock was started; zero: it is stopped
}

// timed calls f, and adds the time it takes to the runs' elapsed times.
func timed(runs []*Run, f func() error) error {
	for _, r := range runs {
		r.started = time.Now()
	}
	err := f()
	for _, r := range runs {
		r.Elapsed, r.started = r.elapsed(), time.Time{}
	}
	return err
}

// elapsed returns the time spent quantising so far.
func (r *Run) elapsed() time.Duration {
	if r.started.IsZero() {
		return r.Elapsed
	}
	return r.Elapsed + time.Since(r.started)
}

// canStart returns an error if runs differ in more than their seeds, if one can't resume from its state, or if there is
// no room for the caches.
func canStart(runs []*Run) error {
	if len(runs) == 0 {
		return errors.New("pdq: no runs; give at least one")
	}
	for i, r := range runs {
		if r == nil || r.Quantizer == nil {
			return fmt.Errorf("pdq: run %d has no quantizer; set Quantizer to what New returns", i+1)
		}
	}
	var errs []error
	for i, r := range runs {
		if i > 0 {
			if err := r.Quantizer.seedOnly(runs[0].Quantizer); err != nil {
				errs = append(errs, fmt.Errorf("pdq: run %d differs from the first: %w", i+1, err))
			}
		}
		errs = append(errs, r.Quantizer.canResume(r.State))
	}
	return errors.Join(append(errs, runs[0].Quantizer.checkRoom())...)
}

// seedOnly returns an error if q differs from first, the first of runs side by side, in more than the seed.
func (q *Quantizer) seedOnly(first *Quantizer) error {
	if q.b != first.b {
		return errors.New("it has another backend")
	}
	record, err := first.stateRecord(State{})
	if err != nil {
		return err
	}
	record.Config.Seed = q.c.Seed
	return q.sameRun(record)
}

// firstUnit returns the first unit that one of the runs hasn't finished.
func firstUnit(runs []*Run) int {
	first := runs[0].Unit
	for _, r := range runs {
		first = min(first, r.Unit)
	}
	return first
}

// startRuns returns the teacher's logits, and sets the scales of all weights in runs that are at the beginning.
func startRuns(ctx context.Context, runs []*Run) (teacher *Teacher, err error) {
	err = timed(runs, func() error {
		if teacher, err = runs[0].Quantizer.Teacher(ctx); err != nil {
			return err
		}
		var scaled Student
		for _, r := range runs {
			if len(r.Student.Weights) > 0 {
				continue
			}
			if scaled.Weights == nil {
				if scaled, err = r.Quantizer.WeightScales(ctx, Student{}); err != nil {
					return err
				}
			}
			r.Student = scaled
		}
		return nil
	})
	if err != nil && teacher != nil {
		teacher.Free()
	}
	return teacher, err
}

// observations yields, for each unit from first on, the unit's data for each run. The runs share the teacher's caches.
// It frees the data of a unit once it has that of the next.
func observations(ctx context.Context, t *Teacher, runs []*Run, first int) iter.Seq2[[]*UnitData, error] {
	return func(yield func([]*UnitData, error) bool) {
		data := make([]*UnitData, len(runs))
		defer func() { freeData(data) }()
		for u := range runs[0].Quantizer.folded.Units {
			next, err := observeAll(ctx, t, runs, u, data)
			freeData(data)
			data = next
			if err != nil {
				yield(nil, err)
				return
			}
			if u >= first && !yield(data, nil) {
				return
			}
		}
	}
}

// observeAll returns the data of unit u for each run, given the data of the unit before.
func observeAll(ctx context.Context, t *Teacher, runs []*Run, u int, before []*UnitData) ([]*UnitData, error) {
	data := make([]*UnitData, len(runs))
	for i, r := range runs {
		err := timed(runs[i:i+1], func() (err error) {
			data[i], err = r.Quantizer.Observe(ctx, r.Student, t, u, before[i])
			return err
		})
		if err != nil {
			freeData(data)
			return nil, err
		}
		if i > 0 {
			exec.FreeCaches(data[i].TeacherIn, data[i].TeacherOut)
			data[i] = data[0].withStudent(data[i])
		}
	}
	return data, nil
}

// withStudent returns d with other's StudentIn.
func (d *UnitData) withStudent(other *UnitData) *UnitData {
	own := *d
	own.StudentIn = other.StudentIn
	return &own
}

func freeData(data []*UnitData) {
	for _, d := range data {
		d.Free()
	}
}

// correctAll returns the result of Correct, which is the same for all runs.
func correctAll(ctx context.Context, runs []*Run, data []*UnitData) (d *UnitData, err error) {
	err = timed(runs, func() (err error) {
		d, err = runs[0].Quantizer.Correct(ctx, data[0])
		return err
	})
	return d, err
}

// finishUnit takes the steps of d's unit that depend on the seed, from the run's state on.
func (r *Run) finishUnit(ctx context.Context, d *UnitData) error {
	if d.Unit < r.Unit {
		return nil // only another run needs this unit
	}
	return timed([]*Run{r}, func() (err error) {
		if r.Optimiser.Done == 0 {
			if r.Student, err = r.Quantizer.ActivationScales(ctx, r.Student, d); err != nil {
				return err
			}
		}
		finished, err := r.round(ctx, d)
		if err != nil {
			return err
		}
		r.Unit, r.Student, r.Optimiser = d.Unit+1, finished, OptimiserState{}
		return r.save()
	})
}

// round is Round from the run's state on. It saves states in between.
func (r *Run) round(ctx context.Context, d *UnitData) (Student, error) {
	if r.Quantizer.c.Rounding.trivial() {
		return r.Student, nil
	}
	o, err := r.Quantizer.NewRounder(r.Student, d)
	if err != nil {
		return r.Student, err
	}
	defer o.Close()
	if o.opt.idle() {
		return r.Student, nil
	}
	if err := r.steps(ctx, o, r.Quantizer.c.Rounding.Steps); err != nil {
		return r.Student, err
	}
	return o.Student()
}

// fineTune is FineTune from the run's state on. It saves states in between.
func (r *Run) fineTune(ctx context.Context) error {
	if r.Quantizer.c.FineTune.Steps == 0 || r.Finished {
		return nil
	}
	return timed([]*Run{r}, func() error {
		t, err := r.Quantizer.newFineTuner(r.Student)
		if err != nil {
			return err
		}
		defer t.close()
		if t.opt.idle() {
			return nil
		}
		if err := r.steps(ctx, t, r.Quantizer.c.FineTune.Steps); err != nil {
			return err
		}
		if r.Optimiser.Done < t.stepsDone() { // better takes time, and may be interrupted
			if err := r.saveSteps(t); err != nil {
				return err
			}
		}
		better, err := t.better(ctx)
		if err == nil {
			r.Student, r.Optimiser, r.Finished = better, OptimiserState{}, true
		}
		return err
	})
}

// optimisation is a Rounder or a fineTuner.
type optimisation interface {
	Steps(ctx context.Context, n int) (Loss, error)
	State() (OptimiserState, error)
	Restore(s OptimiserState) error
	stepsDone() int
}

// steps takes the steps of o from the run's state to step total. It saves states in between.
func (r *Run) steps(ctx context.Context, o optimisation, total int) error {
	if r.Optimiser.Done > 0 {
		if err := o.Restore(r.Optimiser); err != nil {
			return err
		}
	}
	for left := total - o.stepsDone(); left > 0; left = total - o.stepsDone() {
		if r.Keeper.Every > 0 {
			left = min(left, r.Keeper.Every)
		}
		_, err := o.Steps(ctx, left)
		if o.stepsDone() == total && err == nil {
			break
		}
		if err := errors.Join(err, r.saveSteps(o)); err != nil { // after a failed step, o is as before it
			return err
		}
	}
	return nil
}

// saveSteps gives the run's state, with the state of o, to its keeper.
func (r *Run) saveSteps(o optimisation) error {
	if r.Keeper.Keep == nil || o.stepsDone() == 0 {
		return nil
	}
	var err error
	if r.Optimiser, err = o.State(); err != nil {
		return err
	}
	return r.save()
}

// save gives the run's state to its keeper.
func (r *Run) save() error {
	if r.Keeper.Keep == nil {
		return nil
	}
	s := r.State
	s.Elapsed = r.elapsed()
	return r.Keeper.Keep(s)
}
