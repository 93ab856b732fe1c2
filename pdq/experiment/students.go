package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq"
)

// Student returns the student of a cell that Run has computed in f, with the Quantizer that it is of. Its error is
// fs.ErrNotExist if f doesn't have it.
func (g Grid) Student(ctx context.Context, f Folder, c Cell) (*pdq.Quantizer, pdq.Student, error) {
	if c.Method.Change == nil {
		return nil, pdq.Student{}, fmt.Errorf("experiment: %v is no student; choose another method", c)
	}
	config, _, err := g.Config(c)
	if err != nil {
		return nil, pdq.Student{}, err
	}
	g.Warn = nil // Run has warned
	r := &gridRun{Grid: g, folder: f, drawn: map[uint64]datasets.Calibration{}, forecast: newForecast(g)}
	t, err := r.newTask(ctx, c, config)
	if err != nil {
		return nil, pdq.Student{}, err
	}
	k, err := f.kept(t.stem)
	if err == nil {
		err = f.Unchanged(t.stem+StudentEnding, k.Student)
	}
	if err != nil {
		return nil, pdq.Student{}, err
	}
	student, err := f.LoadStudent(t.Quantizer, t.stem+StudentEnding)
	return t.Quantizer, student, err
}

// task is a student to be computed.
type task struct {
	pdq.Run
	cell   Cell
	record Record
	stem   string // of its files' names
	peak   int64  // bytes that the units took which another method shares
}

// student returns the student of a configuration: from the folder if it is there, else quantised from where an earlier
// run stopped. Where seeds calibrate on the same images, those of the other seeds are quantised beside it, and go to
// the folder too.
func (r *gridRun) student(ctx context.Context, c Cell, config pdq.Config) (*pdq.Quantizer, pdq.Student, kept, error) {
	t, err := r.newTask(ctx, c, config)
	if err != nil {
		return nil, pdq.Student{}, kept{}, err
	}
	q := t.Quantizer
	if k, err := r.folder.kept(t.stem); err == nil {
		r.forecast.skipUnits(c, config, len(c.Subject.Network.Units))
		student, err := r.folder.LoadStudent(q, t.stem+StudentEnding)
		if err == nil {
			err = r.folder.Unchanged(t.stem+StudentEnding, k.Student)
		}
		if err == nil {
			err = r.folder.RemoveState(t.stem + ".state") // of a process that was killed before it did so
		}
		return q, student, k, err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return q, pdq.Student{}, k, err
	}
	tasks, err := r.withOtherSeeds(ctx, t)
	if err != nil {
		return q, pdq.Student{}, kept{}, err
	}
	for _, t := range tasks {
		if err := r.begin(ctx, t); err != nil {
			return q, pdq.Student{}, kept{}, err
		}
	}
	err = r.quantise(ctx, tasks)
	if err != nil {
		return q, pdq.Student{}, kept{}, err
	}
	k, err := r.folder.kept(t.stem)
	return q, t.Student, k, err
}

// newTask prepares a configuration of a cell.
func (r *gridRun) newTask(ctx context.Context, c Cell, config pdq.Config) (*task, error) {
	cal, err := r.calibration(ctx, c)
	if err != nil {
		return nil, err
	}
	q, err := pdq.New(r.Backend, c.Subject.problem(cal), config)
	if err != nil {
		return nil, err
	}
	q.Progress = func(e pdq.Event) { r.step(c, config, e) }
	q.Warn = func(text string) { r.warn(fmt.Sprintf("%v: %s", c, text)) }
	t := &task{Run: pdq.Run{Quantizer: q}, cell: c}
	t.stem = fileStem(c.Subject.Name, c.Width, c.Seed, r.hashOf(c.Subject, cal, config))
	t.Keeper.Keep = func(s pdq.State) error { return r.folder.SaveState(q, t.stem+".state", s) }
	if t.Keeper.Every = r.Every; r.Every == 0 {
		t.Keeper.Every = 500
	}
	t.record, err = r.record(c.Subject, cal, []Fixed{{Name: c.Method.Name, Config: config}})
	t.record.Plan = q.Plan()
	return t, err
}

// withOtherSeeds returns t, and behind it what the other seeds still need of the same, if all seeds calibrate on the
// same images. The steps of fine-tuning share nothing, and with Join, other processes may be at the other seeds.
func (r *gridRun) withOtherSeeds(ctx context.Context, t *task) ([]*task, error) {
	tasks := []*task{t}
	config := t.Quantizer.Config()
	if _, given := t.cell.Subject.Pool.(Given); !given || config.FineTune.Steps > 0 || r.Join {
		return tasks, nil
	}
	for _, seed := range r.Seeds {
		c := t.cell
		if c.Seed = seed; seed == t.cell.Seed {
			continue
		}
		if _, found, err := r.find(ctx, c); err != nil {
			return nil, err
		} else if found {
			continue
		}
		config.Seed = seed
		other, err := r.newTask(ctx, c, config)
		if err != nil {
			return nil, err
		}
		if _, err := r.folder.kept(other.stem); errors.Is(err, fs.ErrNotExist) {
			tasks = append(tasks, other)
		} else if err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// begin finds where t begins: where an earlier run stopped, or after the units that another method shares, or with the
// first unit. Fine-tuning begins with the student of the same configuration without it.
func (r *gridRun) begin(ctx context.Context, t *task) error {
	from, err := r.state(t.Quantizer, t.stem+".state")
	if err == nil {
		t.State = from
		r.forecast.skipUnits(t.cell, t.Quantizer.Config(), from.Unit)
		r.warn(fmt.Sprintf("%v goes on after %d units and %d steps, which took %.0f s",
			t.cell, from.Unit, from.Optimiser.Done, from.Elapsed.Seconds()))
		return nil
	}
	config := t.Quantizer.Config()
	if !errors.Is(err, fs.ErrNotExist) || config.FineTune.Steps == 0 {
		return ignore(err, fs.ErrNotExist)
	}
	config.FineTune.Steps = 0
	_, student, k, err := r.student(ctx, t.cell, config)
	elapsed := time.Duration(k.Seconds * float64(time.Second))
	t.State = pdq.State{Unit: len(t.cell.Subject.Network.Units), Student: student, Elapsed: elapsed}
	t.peak = k.PeakMemory
	return err
}

// ignore returns err unless it is what.
func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// quantise goes on with tasks that differ in their seeds alone, and writes their students. Their states are in the
// folder all the while. The memory is that of all tasks together.
func (r *gridRun) quantise(ctx context.Context, tasks []*task) error {
	var runs []*pdq.Run
	for _, t := range tasks {
		runs = append(runs, &t.Run)
	}
	memory.ResetPeak()
	if err := pdq.Quantize(ctx, runs...); err != nil {
		return err
	}
	peak := memory.Peak()
	for _, t := range slices.Backward(tasks) { // the first one's cell is under way
		k := kept{Record: t.record, Seconds: t.Elapsed.Seconds(), PeakMemory: max(peak, t.peak)}
		var err error
		if k.Student, err = r.folder.SaveStudent(t.Quantizer, t.stem+StudentEnding, t.Student); err == nil {
			err = r.folder.WriteJSON(t.stem+".json", k)
		}
		if err == nil {
			err = r.folder.RemoveState(t.stem + ".state")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// state reads a state, or the one before it where it is damaged. Where neither is whole, or there is none, it is
// fs.ErrNotExist.
func (r *gridRun) state(q *pdq.Quantizer, name string) (pdq.State, error) {
	s, err := r.folder.LoadState(q, name)
	if errors.Is(err, pdq.ErrDamaged) {
		r.warn(err.Error())
		if s, err = r.folder.LoadState(q, Previous(name)); errors.Is(err, pdq.ErrDamaged) {
			return s, fs.ErrNotExist
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; remove the file", err)
	}
	return s, err
}
