package experiment

import (
	"context"
	"errors"
	"fmt"
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
	result.Test, result.Calibration = AccuracyOf(result.Right), AccuracyOf(FromOnes(k.Calibration))
	result.Seconds, result.PeakMemory, result.PD = k.Seconds, k.PeakMemory, mean(k.PD)
	if result, err = result.rounded(); err != nil {
		return result, err
	}
	if err := r.folder.WriteJSON(result.stem()+".json", k); err != nil {
		return result, err
	}
	add := r.folder.Append
	if r.Join {
		add = r.folder.appendJoined
	}
	if err := add(result); err != nil {
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
		return r.fullPrecision(ctx, c, cal)
	}
	config, _, err := r.Config(c)
	if err != nil {
		return kept{}, err
	}
	q, student, k, err := r.student(ctx, c, config)
	if err != nil {
		return k, err
	}
	tests := &Noting{Stream: c.Subject.Test}
	k.PD = nil // an earlier process may have evaluated it, too
	var test pdq.Score
	var each []float64
	if config.Loss.Temperature > 0 {
		test, each, err = q.Compare(ctx, student, tests)
	} else {
		test, err = q.Evaluate(ctx, student, tests)
	}
	if err == nil {
		err = r.skipped(tests)
	}
	if err != nil {
		return k, err
	}
	for _, d := range each {
		k.PD = append(k.PD, float32(d))
	}
	k.Test = Ones(test)
	if cal.Images.Labelled() {
		var own pdq.Score
		own, err = q.Evaluate(ctx, student, cal.Images)
		k.Calibration = Ones(own)
	}
	return k, err
}

// fullPrecision tests the network itself. The time is that of inference on the calibration images, which need no
// labels.
func (r *gridRun) fullPrecision(ctx context.Context, c Cell, cal datasets.Calibration) (kept, error) {
	s, machine, images := c.Subject, r.machine(), cal.Images
	labelled := images.Labelled()
	if labelled {
		if err := r.checkGuessing(ctx, s, cal); err != nil {
			return kept{}, err
		}
	} else {
		images.Labels = make([]int32, images.Len()) // what is right doesn't matter here
	}
	tell := func(done, total int) {
		r.step(c, pdq.Config{}, pdq.Event{Step: pdq.StepEvaluate, Done: done, Total: total})
	}
	memory.ResetPeak()
	start := time.Now()
	own, err := pdq.EvaluateTeacher(ctx, r.Backend, machine, s.Network, s.Weights, images, tell)
	if err != nil {
		return kept{}, err
	}
	k := kept{Seconds: time.Since(start).Seconds(), PeakMemory: memory.Peak()}
	if labelled {
		k.Calibration = Ones(own)
	}
	tests := &Noting{Stream: s.Test}
	test, err := pdq.EvaluateTeacher(ctx, r.Backend, machine, s.Network, s.Weights, tests, tell)
	if err == nil {
		err = r.skipped(tests)
	}
	if err == nil && !labelled {
		err = r.guessing(s, test, "test images")
	}
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
	score, err := pdq.EvaluateTeacher(ctx, r.Backend, r.machine(), s.Network, s.Weights, some, nil)
	if err != nil {
		return err
	}
	return r.guessing(s, score, "calibration images")
}

// guessing is an error if a score on images is that of guessing, unless the grid goes on anyway.
func (r *gridRun) guessing(s *Subject, score pdq.Score, images string) error {
	if !score.AtChance(s.Network.Classes) {
		return nil
	}
	warning := GuessWarning(s.Network.Name, s.Network.Classes, score, images)
	if r.Anyway {
		r.warn(warning)
		return nil
	}
	return errors.New(warning + "; anyway=true goes on")
}

// GuessWarning says what it means that a network's score on images is at chance level.
func GuessWarning(network string, classes int, score pdq.Score, images string) string {
	a := AccuracyOf(score)
	return fmt.Sprintf("%s is right on %.1f %% of %d %s, no better than guessing among %d classes: its weights, the "+
		"order of the images' classes or their normalisation are another network's",
		network, a.Percent(), a.N, images, classes)
}

func (r *gridRun) warn(text string) {
	if r.Warn != nil {
		r.Warn(text)
	}
}

// problem returns what pdq is given to quantise s.
func (s *Subject) problem(cal datasets.Calibration) pdq.Problem {
	return pdq.Problem{Network: s.Network, Weights: s.Weights, Calibration: cal.Images}
}
