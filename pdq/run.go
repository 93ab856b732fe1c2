package pdq

import (
	"context"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/memory"
)

// Method is a configuration under the name it has in tables.
type Method struct {
	Name   string
	Config Config
}

// Methods returns what c sets, PD-Quant or units with fine-tuning after them, behind the baselines it is measured against:
// rounding to nearest with searched scales, and reconstruction by squared error only.
func Methods(c Config) []Method {
	name := "PD-Quant"
	if c.FineTune.Steps > 0 {
		name = "fine-tuned"
	}
	return []Method{{"nearest rounding", c.Nearest()}, {"MSE only", c.MSEOnly()}, {name, c}}
}

// Result is what a method gave.
type Result struct {
	Method      string
	Seed        uint64
	Student     Student // of the full-precision network: nothing quantised
	Test        Score   // on images the method never saw
	Calibration Score   // on the images it was fitted to
	Seconds     float64 // of quantising; evaluation not counted
	PeakMemory  int64   // of the process while quantising, bytes; 0: unknown on this system
}

// Run quantises p's network as m says, and evaluates it on test and on the calibration
// images. progress sees every step; nil: silent.
func Run(ctx context.Context, b compute.Backend, p Problem, m Method, test datasets.Stream, progress func(Event)) (Result, error) {
	q, err := New(b, p, m.Config)
	if err != nil {
		return Result{Method: m.Name, Seed: m.Config.Seed}, err
	}
	q.Progress = progress
	return q.RunFrom(ctx, m.Name, test, State{}, Keeper{})
}

// RunFrom is Run of q's configuration under that name, from a State on. Seconds are those of all its parts; the memory
// is that of this process.
func (q *Quantizer) RunFrom(ctx context.Context, name string, test datasets.Stream, from State, k Keeper) (r Result, err error) {
	own := &run{Quantizer: q, State: from, keeper: k}
	memory.ResetPeak()
	err = quantizeRuns(ctx, []*run{own})
	if err != nil {
		return Result{Method: name, Seed: q.c.Seed, Student: own.Student}, err
	}
	return own.result(ctx, name, test, memory.Peak())
}

// result returns what a finished run gave: it evaluates the student on test and on the calibration images.
func (r *run) result(ctx context.Context, name string, test datasets.Stream, peak int64) (Result, error) {
	result := Result{Method: name, Seed: r.c.Seed, Student: r.Student, Seconds: r.Elapsed.Seconds(), PeakMemory: peak}
	var err error
	if result.Test, err = r.Evaluate(ctx, r.Student, test); err != nil {
		return result, err
	}
	result.Calibration, err = r.Evaluate(ctx, r.Student, r.p.Calibration)
	return result, err
}

// RunTeacher evaluates p's network in full precision, by so many workers as of MachineConfig, as a
// Result to compare others with.
// Its seconds and memory are those of the teacher's inference on the calibration images.
func RunTeacher(ctx context.Context, b compute.Backend, workers int, p Problem, test datasets.Stream, progress func(Event)) (Result, error) {
	r := Result{Method: "full precision"}
	between := func(done, total int) {
		if progress != nil {
			progress(Event{Step: StepEvaluate, Done: done, Total: total})
		}
	}
	start := time.Now()
	memory.ResetPeak()
	var err error
	if r.Calibration, err = EvaluateTeacher(ctx, b, workers, p.Network, p.Weights, p.Calibration, between); err != nil {
		return r, err
	}
	r.Seconds, r.PeakMemory = time.Since(start).Seconds(), memory.Peak()
	r.Test, err = EvaluateTeacher(ctx, b, workers, p.Network, p.Weights, test, between)
	return r, err
}
