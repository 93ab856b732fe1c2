package main

import (
	"context"
	"iter"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
)

// measurement is a case at the start of its unit's rounding.
type measurement struct {
	b        compute.Backend
	problem  pdq.Problem
	config   pdq.Config
	unit     int
	q        *pdq.Quantizer
	student  pdq.Student // at the start of rounding
	d        *pdq.UnitData
	stop     func() // ends the loop over the units, and frees d
	rounder  *pdq.Rounder
	bits     []pdq.LayerBits
	torch    *torch
	scales   float64       // seconds for the search of the unit's activation scales
	compiled time.Duration // for making the rounder
}

func newMeasurement(ctx context.Context, b compute.Backend, c benchCase, workers int, limit int64) (
	*measurement, error) {
	p, err := c.problem(max(pool, search))
	if err != nil {
		return nil, err
	}
	m := &measurement{b: b, problem: p}
	if m.unit, err = p.Network.Unit(c.unit); err != nil {
		return nil, err
	}
	if m.config, err = pdq.Paper(c.network, 2, 2); err != nil {
		return nil, err
	}
	m.config.Machine.Workers, m.config.Machine.PartLimit = workers, limit
	m.config.Scales.Images = search
	if m.q, err = pdq.New(b, p, m.config); err != nil {
		return nil, err
	}
	m.bits = m.q.Plan()
	return m, m.prepare(ctx)
}

// prepare takes the steps up to the unit's rounding.
func (m *measurement) prepare(ctx context.Context) error {
	teacher, err := m.q.Teacher(ctx)
	if err != nil {
		return err
	}
	s, err := m.q.WeightScales(ctx, pdq.Student{})
	if err != nil {
		return err
	}
	next, stop := iter.Pull2(m.q.Units(ctx, teacher, &s))
	m.stop = stop
	for range m.unit + 1 {
		if m.d, err, _ = next(); err != nil {
			return err
		}
		start := time.Now()
		if s, err = m.q.ActivationScales(ctx, s, m.d); err != nil {
			return err
		}
		m.scales = time.Since(start).Seconds()
	}
	m.student = s
	start := time.Now()
	m.rounder, err = m.q.NewRounder(s, m.d)
	m.compiled = time.Since(start)
	return err
}

func (m *measurement) folded() *models.Network {
	n, _ := m.q.Folded()
	return n
}

// step takes a step of rounding.
func (m *measurement) step(ctx context.Context) error {
	_, err := m.rounder.Steps(ctx, 1)
	return err
}

// correct returns the milliseconds that a step of correction takes for 32 of the images, which are corrected together.
func (m *measurement) correct(ctx context.Context) (float64, error) {
	const steps = 6
	c := m.config
	c.Correction.Steps = steps
	c.Correction.Group = m.problem.Calibration.Len() / 2 // chunks of one shape: a second one would be compiled meanwhile
	q, err := pdq.New(m.b, m.problem, c)
	if err != nil {
		return 0, err
	}
	var first, last time.Time
	var from, to, total int
	q.Progress = func(e pdq.Event) {
		if e.Step != pdq.StepCorrect {
			return
		}
		if last = time.Now(); first.IsZero() && e.Done > e.Total/4 { // compiled, and all workers are busy
			first, from = last, e.Done
		}
		to, total = e.Done, e.Total
	}
	d, err := q.Correct(ctx, m.d)
	if err != nil {
		return 0, err
	}
	d.CorrectedIn.Free() // m.d has the other caches
	d.Target.Free()
	batches := float64(to-from) / float64(total) * steps * float64(m.problem.Calibration.Len()) / batch
	return float64(last.Sub(first)) / 1e6 / batches, nil
}

func (m *measurement) close() {
	if m.torch != nil {
		m.torch.close()
	}
	if m.rounder != nil {
		m.rounder.Close()
	}
	if m.stop != nil {
		m.stop()
	}
}
