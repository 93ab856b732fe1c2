package pdq

import (
	"context"
	"fmt"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/memory"
)

// RunSeeds is Run with each of the seeds, side by side, for the spread between them. What no
// seed enters into is computed once, and its time counted in each result: teacher inference,
// weight scales and distribution correction. The results are those of Run with
// m.Config.Seed set to a seed. It keeps the data of a unit for each seed in memory; the peak
// in each result is that of all seeds together.
func RunSeeds(ctx context.Context, b compute.Backend, p Problem, m Method, seeds []uint64, test datasets.Stream, progress func(Event)) ([]Result, error) {
	if len(seeds) == 0 {
		return nil, fmt.Errorf("pdq: no seeds; give at least one")
	}
	runs := make([]seedRun, len(seeds))
	for i, seed := range seeds {
		c := m.Config
		c.Seed = seed
		q, err := New(b, p, c)
		if err != nil {
			return nil, err
		}
		q.Progress = progress
		runs[i] = seedRun{q: q, seed: seed}
	}
	memory.ResetPeak()
	common, err := quantizeSeeds(ctx, runs)
	for _, r := range runs {
		r.d.Free()
	}
	if err != nil {
		return nil, err
	}
	peak := memory.Peak()
	results := make([]Result, len(runs))
	for i, r := range runs {
		results[i] = Result{Method: m.Name, Seed: r.seed, Student: r.s, Seconds: (common + r.took).Seconds(), PeakMemory: peak}
		if results[i].Test, err = r.q.Evaluate(ctx, r.s, test); err != nil {
			return nil, err
		}
		if results[i].Calibration, err = r.q.Evaluate(ctx, r.s, p.Calibration); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// seedRun is one seed's way through the units.
type seedRun struct {
	q    *Quantizer
	seed uint64
	s    Student
	d    *UnitData
	took time.Duration // its own steps
}

// quantizeSeeds takes all steps of all runs, and returns the time of those they share.
func quantizeSeeds(ctx context.Context, runs []seedRun) (common time.Duration, err error) {
	start, q := time.Now(), runs[0].q
	teacher, err := q.Teacher(ctx)
	if err != nil {
		return 0, err
	}
	defer teacher.Free()
	s, err := q.WeightScales(ctx, Student{})
	if err != nil {
		return 0, err
	}
	common = time.Since(start)
	for i := range runs {
		runs[i].s = s
	}
	for u := range q.folded.Units {
		if err := observeSeeds(ctx, runs, teacher, u); err != nil {
			return 0, err
		}
		start = time.Now()
		corrected, err := q.Correct(ctx, runs[0].d)
		if err != nil {
			return 0, err
		}
		common += time.Since(start)
		for i := range runs {
			r := &runs[i]
			own := *corrected
			own.StudentIn = r.d.StudentIn
			r.d = &own
			start = time.Now()
			if r.s, err = r.q.ActivationScales(ctx, r.s, r.d); err != nil {
				return 0, err
			}
			if r.s, err = r.q.Round(ctx, r.s, r.d); err != nil {
				return 0, err
			}
			r.took += time.Since(start)
		}
	}
	for i := range runs {
		r := &runs[i]
		start = time.Now()
		if r.s, err = r.q.FineTune(ctx, r.s); err != nil {
			return 0, err
		}
		r.took += time.Since(start)
	}
	return common, nil
}

// observeSeeds gives each run what unit u sees. What the teacher sees is the same for all: the
// runs share the first one's tensors.
func observeSeeds(ctx context.Context, runs []seedRun, teacher *Teacher, u int) error {
	next := make([]*UnitData, len(runs))
	for i := range runs {
		start := time.Now()
		d, err := runs[i].q.Observe(ctx, runs[i].s, teacher, u, runs[i].d)
		if err != nil {
			return err
		}
		if i > 0 {
			freeCaches(d.TeacherIn, d.TeacherOut)
			in := d.StudentIn
			*d = *next[0]
			d.StudentIn = in
		}
		next[i] = d
		runs[i].took += time.Since(start)
	}
	for i := range runs {
		runs[i].d.Free()
		runs[i].d = next[i]
	}
	return nil
}
