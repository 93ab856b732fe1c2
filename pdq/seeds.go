package pdq

import (
	"context"
	"fmt"

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
	runs := make([]*run, len(seeds))
	for i, seed := range seeds {
		c := m.Config
		c.Seed = seed
		q, err := New(b, p, c)
		if err != nil {
			return nil, err
		}
		q.Progress = progress
		runs[i] = &run{Quantizer: q}
	}
	memory.ResetPeak()
	if err := quantizeRuns(ctx, runs); err != nil {
		return nil, err
	}
	peak := memory.Peak()
	results := make([]Result, len(runs))
	for i, r := range runs {
		var err error
		if results[i], err = r.result(ctx, m.Name, test, peak); err != nil {
			return nil, err
		}
	}
	return results, nil
}
