package backend

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"github.com/pdquant/pdquant/internal/memory"
)

// ModelCost is what a model takes to run.
type ModelCost struct {
	Milliseconds float64 // of the fastest batch
	Runs         int     // batches
	Peak         int64   // most bytes that the process had in memory (VmHWM), program and library too; 0: unknown
	Model        int64   // bytes of these that came after ONNX Runtime was loaded
}

// MeasureModel runs the model in an ONNX file on batches of noise, for the time given and at least eight times. The
// memory is right only in a process that does nothing else.
func MeasureModel(ctx context.Context, path string, o ModelOptions, batch int, t time.Duration) (
	c ModelCost, err error) {
	if err := LoadRuntime(); err != nil {
		return c, err
	}
	before := memory.InUse()
	memory.ResetPeak()
	m, err := OpenModelFile(path, o)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	dims, err := m.batch(batch)
	if err != nil {
		return c, err
	}
	size := 1
	for _, d := range dims {
		size *= d
	}
	x, rng := make([]float32, size), rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	c.Milliseconds = math.Inf(1)
	for began := time.Now(); c.Runs < 8 || time.Since(began) < t; c.Runs++ {
		if err := ctx.Err(); err != nil {
			return c, err
		}
		start := time.Now()
		if _, err := m.Run(x, dims...); err != nil {
			return c, err
		}
		c.Milliseconds = min(c.Milliseconds, time.Since(start).Seconds()*1000)
	}
	c.Peak = memory.Peak()
	c.Model = max(0, c.Peak-before)
	return c, nil
}
