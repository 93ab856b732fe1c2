package pdq

import (
	"errors"
	"fmt"
	"time"
)

// State is how far a run has come: all that is needed to go on from there to the same bits. The zero State is the
// beginning.
type State struct {
	Unit      int            // the unit to take next; those before it are finished
	Student   Student        // so far; where Optimiser has begun, what it began from, with the unit's activation scales
	Optimiser OptimiserState // of Unit's rounding, or once all units are finished, of the fine-tuning; Done 0: not begun
	Elapsed   time.Duration  // quantising time so far
}

// Keeper is told of states to go on from, to write them down: after each unit, after each Every steps of rounding or
// fine-tuning, after the last step of fine-tuning, and where steps end early, be it by an error or because the context
// ended. An error of Keep ends the run. So no more than Every steps are ever lost, and the distribution correction of
// the unit, which is computed again.
type Keeper struct {
	Every int               // steps between two states; 0: states come between units only
	Keep  func(State) error // nil: nothing is kept
}

// canGoOn reports a state that isn't one of q's.
func (q *Quantizer) canGoOn(s State) error {
	units := len(q.folded.Units)
	if s.Unit < 0 || s.Unit > units {
		return fmt.Errorf("pdq: the state is of unit %d; %s has %d", s.Unit, q.folded.Name, units)
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
