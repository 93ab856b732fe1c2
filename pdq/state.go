package pdq

import (
	"errors"
	"fmt"
	"time"
)

// State is the state of a run: all it needs to resume, to the same bits. The zero State is the beginning.
type State struct {
	Unit      int            // the next unit; those before it are finished
	Student   Student        // the student so far; while Optimiser is under way, the one that it started from
	Optimiser OptimiserState // of the rounding of Unit or, after the last unit, of fine-tuning; Done 0: not started
	Elapsed   time.Duration  // time spent quantising so far
	Finished  bool           // Student is what fine-tuning made
}

// Keeper saves states from which a run can resume. It gets a state after each unit, after every Every steps of rounding
// or fine-tuning, after the last step of fine-tuning, and when an error or the context ends steps early. So a run that
// breaks off loses at most Every steps, and the distribution correction of a unit, which is computed again. An error of
// Keep ends the run.
type Keeper struct {
	Every int               // steps between two states; 0: only between units
	Keep  func(State) error // nil: no state is saved
}

// canResume returns an error if s isn't a state of a run of q.
func (q *Quantizer) canResume(s State) error {
	units := len(q.folded.Units)
	if s.Unit < 0 || s.Unit > units {
		return fmt.Errorf("pdq: the state is of unit %d; %s has %d units", s.Unit, q.folded.Name, units)
	}
	if s.Optimiser.Done < 0 {
		return fmt.Errorf("pdq: the state is at step %d", s.Optimiser.Done)
	}
	if err := q.fits(s.Student); err != nil {
		return fmt.Errorf("pdq: the state's student: %w", err)
	}
	if s.Unit == 0 && s.Optimiser.Done == 0 {
		return nil
	}
	if len(s.Student.Weights) == 0 {
		return errors.New("pdq: the state has finished units, but no student")
	}
	if s.Unit == units {
		return q.quantised(s.Student, q.folded.Layers)
	}
	return q.canObserve(s.Student, s.Unit, nil)
}
