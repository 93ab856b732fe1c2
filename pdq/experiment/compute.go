package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq"
)

// compute computes a cell and adds it to the table.
func (r *gridRun) compute(ctx context.Context, c Cell, result Result) (Result, error) {
	k, err := r.evaluate(ctx, c, result)
	if err != nil {
		return result, err
	}
	result = result.with(k)
	result.Test, result.Calibration = accuracyOf(result.Right), accuracyOf(FromOnes(k.Calibration))
	result.Seconds, result.PeakMemory, result.PD = k.Seconds, k.PeakMemory, mean(k.PD)
	if result, err = result.rounded(); err != nil {
		return result, err
	}
	if err := r.folder.WriteJSON(result.stem()+".json", k); err != nil {
		return result, err
	}
	if err := r.folder.Append(result); err != nil {
		return result, err
	}
	r.table = append(r.table, result)
	if r.Finished != nil {
		r.Finished(result)
	}
	return result, nil
}

func mean(xs []float32) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, x := range xs {
		sum += float64(x)
	}
	return sum / float64(len(xs))
}

// evaluate quantises as a cell says, and tests the student.
func (r *gridRun) evaluate(ctx context.Context, c Cell, result Result) (kept, error) {
	cal, err := r.calibration(ctx, c)
	if err != nil {
		return kept{}, err
	}
	if c.Method.Change == nil {
		return r.fullPrecision(ctx, c.Subject, cal)
	}
	config, _, err := r.Config(c)
	if err != nil {
		return kept{}, err
	}
	q, student, k, err := r.student(ctx, c, cal, config)
	if err != nil {
		return k, err
	}
	test, err := q.Evaluate(ctx, student, c.Subject.Test)
	if err != nil {
		return k, err
	}
	own, err := q.Evaluate(ctx, student, cal.Images)
	if err != nil {
		return k, err
	}
	k.Test, k.Calibration = Ones(test), Ones(own)
	images, inMemory := c.Subject.Test.(datasets.Images)
	if !inMemory || config.Loss.Temperature <= 0 {
		return k, nil
	}
	each, err := q.PredictionDifferences(ctx, student, images)
	for _, d := range each {
		k.PD = append(k.PD, float32(d))
	}
	return k, err
}

// fullPrecision tests the network itself. The time is that of inference on the calibration images.
func (r *gridRun) fullPrecision(ctx context.Context, s *Subject, cal datasets.Calibration) (kept, error) {
	workers := r.machine().Workers
	if err := r.checkGuessing(ctx, s, cal); err != nil {
		return kept{}, err
	}
	tell := func(done, total int) {
		if r.Step != nil {
			r.Step(pdq.Event{Step: pdq.StepEvaluate, Done: done, Total: total})
		}
	}
	memory.ResetPeak()
	start := time.Now()
	own, err := pdq.EvaluateTeacher(ctx, r.Backend, workers, s.Network, s.Weights, cal.Images, tell)
	if err != nil {
		return kept{}, err
	}
	k := kept{Seconds: time.Since(start).Seconds(), PeakMemory: memory.Peak(), Calibration: Ones(own)}
	test, err := pdq.EvaluateTeacher(ctx, r.Backend, workers, s.Network, s.Weights, s.Test, tell)
	if err != nil {
		return k, err
	}
	k.Test = Ones(test)
	k.Record, err = r.record(s, cal, nil)
	return k, err
}

// checkGuessing is an error if the network only guesses on some calibration images, before hours go by.
func (r *gridRun) checkGuessing(ctx context.Context, s *Subject, cal datasets.Calibration) error {
	some := cal.Slice(0, min(cal.Len(), 256))
	score, err := pdq.EvaluateTeacher(ctx, r.Backend, r.machine().Workers, s.Network, s.Weights, some, nil)
	if err != nil || !score.AtChance(s.Network.Classes) {
		return err
	}
	warning := GuessWarning(s.Network.Name, s.Network.Classes, score)
	if r.Anyway {
		r.warn(warning)
		return nil
	}
	return errors.New(warning + "; anyway=true goes on")
}

// GuessWarning says what it means that a network's score is at chance level.
func GuessWarning(network string, classes int, score pdq.Score) string {
	a := accuracyOf(score)
	return fmt.Sprintf("%s is right on %.1f %% of %d calibration images, no better than guessing among %d classes: "+
		"its weights, the order of the images' classes or their normalisation are another network's",
		network, a.Percent(), a.N, classes)
}

func (r *gridRun) warn(text string) {
	if r.Warn != nil {
		r.Warn(text)
	}
}

func (r *gridRun) record(s *Subject, cal datasets.Calibration, methods []Configured) (Record, error) {
	record, err := NewRecord(s.Network, s.Weights, cal, s.Test, methods)
	record.Backend, record.Command = r.Note, r.Command
	return record, err
}

// student returns the student of a configuration: from the folder if it is there, else quantised from where an earlier
// run stopped. Fine-tuning goes on from the student of the same configuration without it, which other methods share.
func (r *gridRun) student(ctx context.Context, c Cell, cal datasets.Calibration, config pdq.Config) (
	*pdq.Quantizer, pdq.Student, kept, error) {
	problem := pdq.Problem{Network: c.Subject.Network, Weights: c.Subject.Weights, Calibration: cal.Images}
	q, err := pdq.New(r.Backend, problem, config)
	if err != nil {
		return nil, pdq.Student{}, kept{}, err
	}
	q.Progress = r.Step
	stem := fileStem(c.Subject.Name, c.Width, c.Seed, r.hashOf(c.Subject, cal, config))
	if k, err := r.folder.kept(stem); err == nil {
		student, err := r.folder.LoadStudent(q, stem+".safetensors")
		return q, student, k, err
	} else if !errors.Is(err, fs.ErrNotExist) {
		return q, pdq.Student{}, k, err
	}
	from, peak, err := r.start(ctx, c, cal, config, q, stem)
	if err != nil {
		return q, pdq.Student{}, kept{}, err
	}
	student, k, err := r.quantise(ctx, q, from, stem)
	if err != nil {
		return q, student, k, err
	}
	k.PeakMemory = max(k.PeakMemory, peak)
	if k.Record, err = r.record(c.Subject, cal, []Configured{{Name: c.Method.Name, Config: config}}); err != nil {
		return q, student, k, err
	}
	err = errors.Join(r.folder.SaveStudent(q, stem+".safetensors", student), r.folder.WriteJSON(stem+".json", k))
	if err != nil {
		return q, student, k, err
	}
	return q, student, k, r.folder.RemoveState(stem + ".state")
}

// quantise goes on from a state to the student. Where to go on from is in the folder all the while.
func (r *gridRun) quantise(ctx context.Context, q *pdq.Quantizer, from pdq.State, stem string) (
	pdq.Student, kept, error) {
	every := r.Every
	if every == 0 {
		every = 500
	}
	memory.ResetPeak()
	start := time.Now()
	keep := func(s pdq.State) error { return r.folder.SaveState(q, stem+".state", s) }
	student, err := q.QuantizeFrom(ctx, from, pdq.Keeper{Every: every, Keep: keep})
	return student, kept{Seconds: (from.Elapsed + time.Since(start)).Seconds(), PeakMemory: memory.Peak()}, err
}

// start returns where to begin: where an earlier run stopped, or after the units that another method shares, or at
// the zero State. peak is the memory that those units took.
func (r *gridRun) start(ctx context.Context, c Cell, cal datasets.Calibration, config pdq.Config, q *pdq.Quantizer,
	stem string) (from pdq.State, peak int64, err error) {
	from, err = r.state(q, stem+".state")
	if err == nil {
		r.warn(fmt.Sprintf("%v goes on after %d units and %d steps, which took %.0f s",
			c, from.Unit, from.Optimiser.Done, from.Elapsed.Seconds()))
		return from, 0, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return from, 0, err
	}
	if config.FineTune.Steps == 0 {
		return pdq.State{}, 0, nil
	}
	config.FineTune.Steps = 0
	_, student, k, err := r.student(ctx, c, cal, config)
	elapsed := time.Duration(k.Seconds * float64(time.Second))
	return pdq.State{Unit: len(c.Subject.Network.Units), Student: student, Elapsed: elapsed}, k.PeakMemory, err
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
