package commands

import (
	"context"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// methodsOf returns what c sets behind its baselines.
func methodsOf(c pdq.Config) []experiment.Fixed {
	name := "PD-Quant"
	if c.FineTune.Steps > 0 {
		name = "fine-tuned"
	}
	return []experiment.Fixed{{Name: "nearest rounding", Config: c.Nearest()}, {Name: "MSE only", Config: c.MSEOnly()}, {Name: name, Config: c}}
}

// result is what a method gave.
type result struct {
	Method      string
	Seed        uint64
	Student     pdq.Student
	Test        pdq.Score
	Calibration pdq.Score
	Seconds     float64
	PeakMemory  int64
}

// runFrom quantises with q from a State on, and evaluates.
func runFrom(ctx context.Context, q *pdq.Quantizer, name string, test datasets.Stream, from pdq.State, k pdq.Keeper) (result, error) {
	own := &pdq.Run{Quantizer: q, State: from, Keeper: k}
	memory.ResetPeak()
	if err := pdq.Quantize(ctx, own); err != nil {
		return result{Method: name, Seed: q.Config().Seed, Student: own.Student}, err
	}
	return resultOf(ctx, own, name, test, memory.Peak())
}

func resultOf(ctx context.Context, r *pdq.Run, name string, test datasets.Stream, peak int64) (result, error) {
	q := r.Quantizer
	x := result{Method: name, Seed: q.Config().Seed, Student: r.Student, Seconds: r.Elapsed.Seconds(), PeakMemory: peak}
	var err error
	if x.Test, err = q.Evaluate(ctx, r.Student, test); err != nil {
		return x, err
	}
	x.Calibration, err = q.Evaluate(ctx, r.Student, q.Problem().Calibration)
	return x, err
}

// runTeacher evaluates p's network in full precision.
func runTeacher(ctx context.Context, b compute.Backend, workers int, p pdq.Problem, test datasets.Stream, progress func(pdq.Event)) (result, error) {
	r := result{Method: "full precision"}
	between := func(done, total int) {
		if progress != nil {
			progress(pdq.Event{Step: pdq.StepEvaluate, Done: done, Total: total})
		}
	}
	start := time.Now()
	memory.ResetPeak()
	var err error
	if r.Calibration, err = pdq.EvaluateTeacher(ctx, b, workers, p.Network, p.Weights, p.Calibration, between); err != nil {
		return r, err
	}
	r.Seconds, r.PeakMemory = time.Since(start).Seconds(), memory.Peak()
	r.Test, err = pdq.EvaluateTeacher(ctx, b, workers, p.Network, p.Weights, test, between)
	return r, err
}

// runSeeds quantises with each of the seeds, side by side.
func runSeeds(ctx context.Context, b compute.Backend, p pdq.Problem, m experiment.Fixed, seeds []uint64, test datasets.Stream, progress func(pdq.Event)) ([]result, error) {
	runs := make([]*pdq.Run, len(seeds))
	for i, seed := range seeds {
		c := m.Config
		c.Seed = seed
		q, err := pdq.New(b, p, c)
		if err != nil {
			return nil, err
		}
		q.Progress = progress
		runs[i] = &pdq.Run{Quantizer: q}
	}
	memory.ResetPeak()
	if err := pdq.Quantize(ctx, runs...); err != nil {
		return nil, err
	}
	peak := memory.Peak()
	results := make([]result, len(runs))
	for i, r := range runs {
		var err error
		if results[i], err = resultOf(ctx, r, m.Name, test, peak); err != nil {
			return nil, err
		}
	}
	return results, nil
}
