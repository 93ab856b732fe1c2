package pdq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// stateFormat is the version of a state's file: another number, another meaning.
const stateFormat = "pdquant state 1"

// State is how far Quantize has come: all that is needed to go on from there to the same bits. The
// zero State is the beginning.
type State struct {
	Unit     int           // to take next; those before it are finished
	Student  Student       // so far; if Rounding has begun, what it began from, with the unit's activation scales
	Rounding RounderState  // of Unit, or once all units are finished, of the fine-tuning; no steps: not begun
	Elapsed  time.Duration // that it took to come here
}

// Keeper is told of states to go on from, to write them down: after each unit, after each Every
// steps of rounding or fine-tuning, after the last step of fine-tuning, and where the steps of one end early, be it by an error
// or because the context ended. An error of Keep ends the run. No more than Every rounding steps are then ever lost, and the
// distribution correction of the unit, which is computed again.
type Keeper struct {
	Every int // 0: only between units
	Keep  func(State) error
}

// QuantizeFrom is Quantize from a State on: that of a run with the same Problem and Config, on the same
// backend with as many workers, for the same bits as if it had never stopped. What the units before
// saw is observed again, one after the other.
func (q *Quantizer) QuantizeFrom(ctx context.Context, from State, k Keeper) (Student, error) {
	if err := errors.Join(q.canGoOn(from), q.checkRoom()); err != nil {
		return Student{}, err
	}
	now := &passage{Quantizer: q, State: from, keeper: k, began: time.Now().Add(-from.Elapsed)}
	if from.Unit < len(q.p.Network.Units) {
		if err := now.units(ctx, from.Unit); err != nil {
			return now.Student, err
		}
	}
	return now.tune(ctx)
}

// units takes all steps of the units from the first one on.
func (p *passage) units(ctx context.Context, first int) error {
	teacher, err := p.Teacher(ctx)
	if err != nil {
		return err
	}
	defer teacher.Free()
	if len(p.Student.Weights) == 0 {
		if p.Student, err = p.WeightScales(ctx, Student{}); err != nil {
			return err
		}
	}
	var d *UnitData
	defer func() { d.Free() }()
	for u := range p.p.Network.Units {
		before := d
		d, err = p.Observe(ctx, p.Student, teacher, u, before)
		before.Free()
		if err != nil {
			return err
		}
		if u < first {
			continue
		}
		corrected, err := p.Correct(ctx, d)
		if err != nil {
			return err
		}
		d = corrected
		if err := p.take(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// tune is FineTune from the state's steps on.
func (p *passage) tune(ctx context.Context) (Student, error) {
	if p.c.FineTune.Steps == 0 {
		return p.Student, nil
	}
	t, err := p.newTuner(p.Student)
	if err != nil {
		return p.Student, err
	}
	defer t.close()
	if err := p.steps(ctx, t, p.c.FineTune.Steps); err != nil {
		return p.Student, err
	}
	if p.Rounding.Done < t.taken() { // unlike a unit's, the last steps are followed by work that takes time, and may end early
		if err := p.keepSteps(t); err != nil {
			return p.Student, err
		}
	}
	return t.better(ctx)
}

// canGoOn reports a state that isn't one of q's.
func (q *Quantizer) canGoOn(s State) error {
	units := len(q.folded.Units)
	if s.Unit < 0 || s.Unit > units {
		return fmt.Errorf("pdq: the state is of unit %d; %s has %d", s.Unit, q.folded.Name, units)
	}
	if s.Rounding.Done < 0 {
		return fmt.Errorf("pdq: the state is at step %d", s.Rounding.Done)
	}
	if err := q.fits(s.Student); err != nil {
		return fmt.Errorf("pdq: the state's student: %w", err)
	}
	if s.Unit == 0 && s.Rounding.Done == 0 {
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

// passage is a way through the units.
type passage struct {
	*Quantizer
	State
	keeper Keeper
	began  time.Time
}

// take takes the last steps of the unit that d is of.
func (p *passage) take(ctx context.Context, d *UnitData) (err error) {
	if p.Rounding.Done == 0 {
		if p.Student, err = p.ActivationScales(ctx, p.Student, d); err != nil {
			return err
		}
	}
	finished, err := p.round(ctx, d)
	if err != nil {
		return err
	}
	p.State = State{Unit: d.Unit + 1, Student: finished}
	return p.keep()
}

// round is Round from the state's steps on, with pauses to keep it.
func (p *passage) round(ctx context.Context, d *UnitData) (Student, error) {
	c := p.c.Rounding
	if c.trivial() {
		return p.Student, nil
	}
	r, err := p.NewRounder(p.Student, d)
	if err != nil {
		return p.Student, err
	}
	defer r.Close()
	if err := p.steps(ctx, r, c.Steps); err != nil {
		return p.Student, err
	}
	return r.Student()
}

// stepper is an optimisation that can be stopped and gone on with.
type stepper interface {
	Steps(ctx context.Context, n int) (Loss, error)
	State() (RounderState, error)
	Restore(s RounderState) error
	taken() int
}

// steps takes o from the state's steps on to the last one, with pauses to keep it.
func (p *passage) steps(ctx context.Context, o stepper, total int) error {
	if p.Rounding.Done > 0 {
		if err := o.Restore(p.Rounding); err != nil {
			return err
		}
	}
	for left := total - o.taken(); left > 0; left = total - o.taken() {
		if p.keeper.Every > 0 {
			left = min(left, p.keeper.Every)
		}
		_, err := o.Steps(ctx, left)
		if o.taken() == total && err == nil {
			break
		}
		if err := errors.Join(err, p.keepSteps(o)); err != nil { // after a failed step o is where it was before
			return err
		}
	}
	return nil
}

func (p *passage) keepSteps(o stepper) error {
	if p.keeper.Keep == nil || o.taken() == 0 {
		return nil
	}
	var err error
	if p.Rounding, err = o.State(); err != nil {
		return err
	}
	return p.keep()
}

func (p *passage) keep() error {
	if p.keeper.Keep == nil {
		return nil
	}
	p.Elapsed = time.Since(p.began)
	return p.keeper.Keep(p.State)
}

// StateRecord says what a state's file belongs to.
type StateRecord struct {
	StudentRecord
	Calibration string    // hash of the images, of datasets.Images
	Mean, Std   []float32 // that they are normalised with
	Unit        int
	Steps       int // of rounding or fine-tuning
	Elapsed     time.Duration
}

// String says how far the state has come.
func (r StateRecord) String() string {
	return fmt.Sprintf("%d units and %d steps", r.Unit, r.Steps)
}

// WriteState writes s to w: a sealed safetensors file with a StateRecord.
func (q *Quantizer) WriteState(w io.Writer, s State) error {
	own, err := q.studentRecord()
	if err != nil {
		return err
	}
	cal := q.p.Calibration
	record := StateRecord{own, cal.Hash(), cal.Mean, cal.Std, s.Unit, s.Rounding.Done, s.Elapsed}
	blobs := s.Student.blobs()
	for i, v := range s.Rounding.Values {
		blobs[rounderBlob(i)] = floatBlob(v...)
	}
	if err := writeRecord(w, blobs, stateFormat, record); err != nil {
		return fmt.Errorf("pdq: writing the state: %w", err)
	}
	return nil
}

// rounderBlob is the name of a rounder's tensor.
func rounderBlob(i int) string { return fmt.Sprintf("rounder.%d", i) }

// ErrDamaged is the error of ReadState for a file that isn't whole.
var ErrDamaged = errors.New("the state")

// ReadState reads what WriteState wrote. A file that isn't whole is ErrDamaged; one of another teacher,
// calibration set or configuration is an error that names what differs.
func (q *Quantizer) ReadState(r io.Reader) (State, error) {
	s, record, err := readState(r)
	if err != nil {
		return s, fmt.Errorf("pdq: %w %w", ErrDamaged, err)
	}
	if err := q.sameRun(record); err != nil {
		return State{}, fmt.Errorf("pdq: the state: %w", err)
	}
	return s, q.canGoOn(s)
}

// ReadStateRecord reads a state's file and returns what it belongs to. A file that isn't whole is ErrDamaged.
func ReadStateRecord(r io.Reader) (StateRecord, error) {
	_, record, err := readState(r)
	if err != nil {
		err = fmt.Errorf("pdq: %w %w", ErrDamaged, err)
	}
	return record, err
}

// readState reads a state's file.
func readState(r io.Reader) (s State, record StateRecord, err error) {
	blobs, err := readRecord(r, stateFormat, &record)
	if err != nil {
		return s, record, err
	}
	if s.Student, err = studentOf(blobs); err != nil {
		return s, record, err
	}
	s.Unit, s.Elapsed, s.Rounding.Done = record.Unit, record.Elapsed, record.Steps
	for i := 0; ; i++ {
		b, ok := blobs[rounderBlob(i)]
		if !ok {
			return s, record, nil
		}
		v, err := b.floats()
		if err != nil {
			return s, record, fmt.Errorf("variable %d: %w", i, err)
		}
		s.Rounding.Values = append(s.Rounding.Values, v)
	}
}

// sameRun reports how a state's run differs from q.
func (q *Quantizer) sameRun(r StateRecord) error {
	own, err := q.studentRecord()
	if err != nil {
		return err
	}
	for _, x := range []struct{ what, theirs, own string }{
		{"network", r.Network, own.Network},
		{"teacher's weights", r.TeacherHash, own.TeacherHash},
		{"calibration images", r.Calibration, q.p.Calibration.Hash()},
	} {
		if x.theirs != x.own {
			return fmt.Errorf("the %s are others: the run had %.12s, now it is %.12s", x.what, x.theirs, x.own)
		}
	}
	if cal := q.p.Calibration; !slices.Equal(r.Mean, cal.Mean) || !slices.Equal(r.Std, cal.Std) {
		return fmt.Errorf("the images are normalised otherwise: the run had mean %v and deviation %v, now they are %v and %v", r.Mean, r.Std, cal.Mean, cal.Std)
	}
	if d := r.Config.Differs(own.Config); d != "" {
		return fmt.Errorf("the configuration is another: the run had %s", d)
	}
	return nil
}

// writeRecord writes blobs as a sealed file with a record among its metadata.
func writeRecord(w io.Writer, blobs map[string]blob, format string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return writeSealed(w, blobs, map[string]string{"format": format, "record": string(text)})
}

// readRecord reads what writeRecord wrote.
func readRecord(r io.Reader, format string, record any) (map[string]blob, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	blobs, metadata, err := readSealed(data, format)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(metadata["record"]), record); err != nil {
		return nil, fmt.Errorf("the record: %w", err)
	}
	return blobs, nil
}
