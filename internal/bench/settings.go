package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// variant is a case with other settings.
type variant struct {
	name    string
	rounder *pdq.Rounder
	period  int // steps after which their times repeat

	times, cpu []float64 // milliseconds of a step: by the clock, and of all processors together
}

// compareSettings prints, for each backend and case, the milliseconds of a step of rounding with each of the settings,
// and its share of the first one's processor time, which says more on a busy machine. They take turns, so that changes
// in the machine's speed affect all.
func (s settings) compareSettings(ctx context.Context) error {
	for _, name := range s.backends {
		b, note, err := backend.Open(name)
		if err != nil {
			return err
		}
		fmt.Printf("%s\n\n| case | settings | ms a step | of processors | to the first |\n|---|---|---:|---:|---:|\n", note)
		for _, c := range cases() {
			if !s.wants(c.name) {
				continue
			}
			m, err := newMeasurement(ctx, b, c, backend.Workers(b), backend.PartLimit(b))
			if err == nil {
				err = s.compareOn(ctx, c.name, m)
				m.close()
			}
			if err != nil {
				return fmt.Errorf("%s on %s: %w", c.name, name, err)
			}
		}
	}
	return nil
}

// compareOn is compareSettings for the case called name.
func (s settings) compareOn(ctx context.Context, name string, m *measurement) error {
	var all []*variant
	defer func() {
		for _, v := range all {
			v.rounder.Close()
		}
	}()
	for set := range strings.SplitSeq(s.set, ";") {
		v, err := m.variant(set)
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	for round := range s.rounds + 1 {
		for _, v := range all {
			if round == 1 {
				v.times, v.cpu = nil, nil // the round before compiled
			}
			if err := v.time(ctx, s.seconds); err != nil {
				return err
			}
		}
	}
	first := spreadOf(all[0].cpu).median
	for _, v := range all {
		cpu := spreadOf(v.cpu).median
		fmt.Printf("| %s | %s | %.1f | %.1f | %.2f |\n", name, v.name, spreadOf(v.times).median, cpu, cpu/first)
	}
	return nil
}

// variant prepares the unit's rounding with settings in place of the case's.
func (m *measurement) variant(set string) (*variant, error) {
	changes, err := experiment.ParseSettings(set)
	if err != nil {
		return nil, err
	}
	c, err := changes.Set(m.config)
	if err != nil {
		return nil, err
	}
	q, err := pdq.New(m.b, m.problem, c)
	if err != nil {
		return nil, err
	}
	r, err := q.NewRounder(m.student, m.d)
	return &variant{name: changes.String(), rounder: r, period: max(1, c.Loss.Every)}, err
}

// time takes steps for some seconds, whole periods, and notes the milliseconds of a step in each period.
func (v *variant) time(ctx context.Context, seconds float64) error {
	for begin := time.Now(); time.Since(begin).Seconds() < seconds; {
		start, used := time.Now(), processorTime()
		if _, err := v.rounder.Steps(ctx, v.period); err != nil {
			return err
		}
		v.times = append(v.times, float64(time.Since(start))/1e6/float64(v.period))
		v.cpu = append(v.cpu, float64(processorTime()-used)/1e6/float64(v.period))
	}
	return nil
}

// processorTime returns the time that all processors have spent on this process, or 0 if it is unknown.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
