package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/janpfeifer/go-benchmarks"

	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq/backend"
)

// row has the measurements of a case on a backend. Times are in milliseconds; 0 means not measured.
type row struct {
	benchCase
	backend, note, torch string
	workers              int
	step, torchStep      spread
	dc, torchDC          spread  // for 32 images
	compiled, compiledDC spread  // PyTorch's with torch.compile
	torchCompile         float64 // seconds
	stepRatio, dcRatio   float64 // ours to PyTorch's
	gflop                float64 // of a step
	peak                 float64 // GFLOP/s of the machine
	compile, scales      float64 // seconds
	peakMiB              int64
}

// spread is the median of times, and their 5th and 95th percentiles.
type spread struct{ median, low, high float64 }

func spreadOf(times []float64) spread {
	if len(times) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(times))
	at := func(p float64) float64 { return s[int(p*float64(len(s)-1)+0.5)] }
	return spread{at(0.5), at(0.05), at(0.95)}
}

func (s settings) measure(ctx context.Context, name string, c benchCase) (row, error) {
	r := row{benchCase: c, backend: name}
	b, note, err := backend.Open(name)
	if err != nil {
		return r, err
	}
	r.note, r.workers = note, backend.Workers(b)
	memory.ResetPeak()
	m, err := newMeasurement(ctx, b, c, r.workers, backend.PartLimit(b))
	if err != nil {
		return r, err
	}
	defer m.close()
	r.gflop, r.scales = gflop(m.folded(), m.folded().Units[m.unit]), m.scales
	if s.python != "" {
		if m.torch, err = startTorch(s.python, s.device, m.q, m.problem.Network, m.unit, batch, m.bits); err != nil {
			fmt.Printf("no comparison with PyTorch: %v\n", err)
		} else {
			r.torch = m.torch.version
		}
	}
	start := time.Now()
	if err := m.step(ctx); err != nil {
		return r, err
	}
	first := time.Since(start)
	fmt.Printf("\n%s, a step of rounding: ours on %s, then PyTorch, %d rounds\n", c.name, name, s.rounds)
	ours := func() error { return m.step(ctx) }
	if r.step, r.torchStep, r.stepRatio, err = s.alternate(m.torch, "step", ours); err != nil {
		return r, err
	}
	r.compile = m.compiled.Seconds() + first.Seconds() - r.step.median/1e3
	fmt.Printf("%s, a step of distribution correction on %d images\n", c.name, batch)
	if r.dc, r.torchDC, r.dcRatio, err = s.alternateDC(ctx, m); err != nil {
		return r, err
	}
	r.peakMiB = memory.Peak() >> 20
	return r, s.measureCompiled(&r, m.torch)
}

// measureCompiled measures PyTorch's steps with torch.compile.
func (s settings) measureCompiled(r *row, t *torch) (err error) {
	if t == nil || !s.compile {
		return nil
	}
	if r.torchCompile, err = t.compile(); err != nil {
		fmt.Println(err)
		return nil
	}
	for kind, to := range map[string]*spread{"compiled": &r.compiled, "compiled-dc": &r.compiledDC} {
		times, err := s.time(0, "PyTorch, "+kind, func() error { return t.steps(kind, 1) })
		if err != nil {
			return err
		}
		*to = spreadOf(times)
	}
	return nil
}

// alternate takes our steps and PyTorch's in turn, so that changes in the machine's speed affect both. ratio is the
// median over the rounds of our time divided by PyTorch's.
func (s settings) alternate(t *torch, kind string, ours func() error) (us, them spread, ratio float64, err error) {
	var all, theirs, ratios []float64
	for round := range s.rounds {
		mine, failed := s.time(round, "pdquant", ours)
		if failed != nil {
			return us, them, 0, failed
		}
		all = append(all, mine...)
		if t == nil {
			continue
		}
		other, failed := s.time(round, "PyTorch", func() error { return t.steps(kind, 1) })
		if failed != nil {
			return us, them, 0, failed
		}
		theirs = append(theirs, other...)
		ratios = append(ratios, spreadOf(mine).median/spreadOf(other).median)
	}
	return spreadOf(all), spreadOf(theirs), spreadOf(ratios).median, nil
}

// time runs f for s.seconds by go-benchmarks, which prints statistics, and returns the times.
func (s settings) time(round int, name string, f func() error) (times []float64, err error) {
	warm := 2
	run := func() {
		start := time.Now()
		if e := f(); e != nil && err == nil {
			err = e
		}
		times = append(times, float64(time.Since(start))/1e6)
	}
	benchmarks.New(benchmarks.NamedFunction{Name: name, Func: run}).
		WithWarmUps(warm).WithDuration(time.Duration(s.seconds*float64(time.Second))).WithQuantiles(5, 95).
		WithHeader(round == 0).Done()
	return times[warm:], err
}

// alternateDC is alternate for distribution correction. Its steps can't be taken one by one, so it takes the time from
// the first step to the last.
func (s settings) alternateDC(ctx context.Context, m *measurement) (us, them spread, ratio float64, err error) {
	var all, theirs, ratios []float64
	for round := range s.rounds {
		took, err := m.correct(ctx)
		if err != nil {
			return us, them, 0, err
		}
		all = append(all, took)
		if m.torch == nil {
			continue
		}
		other, err := s.time(round, "PyTorch", func() error { return m.torch.steps("dc", 1) })
		if err != nil {
			return us, them, 0, err
		}
		theirs = append(theirs, other...)
		ratios = append(ratios, took/spreadOf(other).median)
	}
	us = spreadOf(all)
	fmt.Printf("pdquant    %.1fms, median of %d\n", us.median, len(all))
	return us, spreadOf(theirs), spreadOf(ratios).median, nil
}

// gemmPeak returns the GFLOP/s of products of matrices on b, with as many at the same time as backend.Workers says.
func gemmPeak(b compute.Backend, duration time.Duration) (float64, error) {
	const n = 1024
	exec, err := graph.NewExec(b,
		func(x, y *graph.Node) *graph.Node { return graph.ReduceAllSum(graph.Dot(x, y).Product()) })
	if err != nil {
		return 0, err
	}
	defer exec.Finalize()
	var mu sync.Mutex
	var done int
	var failed error
	work := func(until time.Time) {
		x := tensors.FromFlatDataAndDimensions(make([]float32, n*n), n, n)
		defer x.MustFinalizeAll()
		for time.Now().Before(until) {
			y, err := exec.Call1(x, x)
			mu.Lock()
			done++
			failed = err
			mu.Unlock()
			if err != nil {
				return
			}
			y.MustFinalizeAll()
		}
	}
	work(time.Now().Add(time.Millisecond)) // compiles
	var g sync.WaitGroup
	done = 0
	start := time.Now()
	for range backend.Workers(b) {
		g.Go(func() { work(start.Add(duration)) })
	}
	g.Wait()
	return float64(done) * 2 * n * n * n / time.Since(start).Seconds() / 1e9, failed
}
