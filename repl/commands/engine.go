package commands

import (
	"errors"
	"slices"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// engine computes for the commands, and keeps what sessions share: a Quantizer, the rounding under way, and the data
// to free.
type engine struct {
	progress *progress
	losses   []loss // of the steps since they were last taken

	q     *pdq.Quantizer // the last one, and what it was made for
	qOf   quantizerKey
	live  *pdq.Rounder // the last one, what it was begun from, and where it is
	begun *roundingStart
	at    int
	datas []*pdq.UnitData // not freed yet
	all   []*pdq.Teacher

	program string // that cost runs; "": this one
}

// quantizerKey says what a Quantizer is made for.
type quantizerKey struct {
	teacher *teacher
	images  *images
	config  pdq.Config
}

// call is one command being run.
type call struct {
	*shell.Call[session]
	*engine
	s session // before
}

// do makes a command of f.
func (e *engine) do(f func(c *call) (session, error)) func(*shell.Call[session]) (session, error) {
	return func(c *shell.Call[session]) (session, error) { return f(&call{c, e, c.State}) }
}

// alone makes a command of f, which needs no session.
func (e *engine) alone(f func(c *call) error) func(*shell.Call[session]) (session, error) {
	return func(c *shell.Call[session]) (session, error) { return c.State, f(&call{c, e, c.State}) }
}

// keep remembers data to free once no session has it.
func (e *engine) keep(d *pdq.UnitData) *pdq.UnitData {
	if d != nil && !slices.Contains(e.datas, d) {
		e.datas = append(e.datas, d)
	}
	return d
}

// freeBut frees the data and logits that none of the sessions has, and the rounder if its data goes.
func (e *engine) freeBut(sessions []session) {
	var live []*pdq.UnitData
	var logits []*pdq.Teacher
	for _, s := range sessions {
		live = append(live, s.data)
		logits = append(logits, s.logits)
		if s.rounding != nil {
			live = append(live, s.rounding.start.data)
		}
	}
	if e.live != nil && !slices.Contains(live, e.begun.data) {
		e.dropRounder()
	}
	e.datas = slices.DeleteFunc(e.datas, func(d *pdq.UnitData) bool {
		if slices.Contains(live, d) {
			return false
		}
		d.FreeBut(live...)
		return true
	})
	e.all = slices.DeleteFunc(e.all, func(t *pdq.Teacher) bool {
		if slices.Contains(logits, t) {
			return false
		}
		t.Free()
		return true
	})
}

func (e *engine) dropRounder() {
	if e.live != nil {
		e.live.Close()
		e.live, e.begun = nil, nil
	}
}

// opened returns s with a backend: by name, or the one it has, or the one with whose note a saved session was begun, or
// the default.
func (e *engine) opened(s session, name, begun string) (session, error) {
	if s.backend != nil && name == "" {
		return s, nil
	}
	b, note, err := backend.Reopen(name, begun)
	if err != nil {
		return s, err
	}
	s.backend, s.note = b, note
	base := s.base
	base.Machine = experiment.Suited(base.Machine, b)
	return s.rebase(base)
}

// quantizer returns the steps for s with configuration c.
func (e *engine) quantizer(s session, c pdq.Config) (*pdq.Quantizer, error) {
	switch {
	case s.teacher == nil:
		return nil, errNoTeacher()
	case s.images == nil:
		return nil, errors.New("repl: no calibration images yet; draw some: calib 256")
	}
	key := quantizerKey{s.teacher, s.images, c}
	if e.q != nil && e.qOf == key {
		return e.q, nil
	}
	problem := pdq.Problem{Network: s.teacher.Network, Weights: s.teacher.Weights,
		Calibration: s.images.calibration.Images}
	q, err := pdq.New(s.backend, problem, c)
	if err != nil {
		return nil, err
	}
	q.Progress = e.event
	e.q, e.qOf = q, key
	return q, nil
}

// event shows a step's progress and keeps its loss.
func (e *engine) event(x pdq.Event) {
	e.progress.event(x)
	if x.Step == pdq.StepCorrect || x.Step == pdq.StepRound {
		e.losses = append(e.losses, loss{x.Step, x.Done, x.Loss})
	}
}

// takeLosses returns the losses since the last call.
func (e *engine) takeLosses() []loss {
	losses := e.losses
	e.losses = nil
	return losses
}
