package pdq

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// stateFormat names the format of a state's file, and its version.
const stateFormat = "pdquant state 1"

// StateRecord says which run a state belongs to, and how far it is.
type StateRecord struct {
	StudentRecord
	Calibration string    // hash of the images, as datasets.Images.Hash returns it
	Mean, Std   []float32 // of the images' normalisation
	Terms       string    // names and weights of the terms of rounding's loss, as "PD=10"; "": unknown, in older files
	Unit        int       // the number of finished units
	Steps       int       // steps taken of the next unit's rounding or, after the last unit, of fine-tuning
	Elapsed     time.Duration
	Finished    bool `json:",omitempty"` // fine-tuning is
}

// String says how much of the run is done.
func (r StateRecord) String() string {
	return fmt.Sprintf("%d units and %d steps", r.Unit, r.Steps)
}

// WriteState writes s to w, as a sealed safetensors file with a StateRecord.
func (q *Quantizer) WriteState(w io.Writer, s State) error {
	record, err := q.stateRecord(s)
	if err != nil {
		return err
	}
	blobs := s.Student.blobs()
	for i, v := range s.Optimiser.Values {
		blobs[rounderBlob(i)] = floatBlob(v...)
	}
	if err := writeRecord(w, blobs, stateFormat, record); err != nil {
		return fmt.Errorf("pdq: writing the state: %w", err)
	}
	return nil
}

// stateRecord returns the record of a state s of a run of q.
func (q *Quantizer) stateRecord(s State) (StateRecord, error) {
	own, err := q.studentRecord()
	cal := q.p.Calibration
	return StateRecord{own, cal.Hash(), cal.Mean, cal.Std, q.termsText(), s.Unit, s.Optimiser.Done, s.Elapsed,
		s.Finished}, err
}

// rounderBlob returns the name of the i-th tensor of an optimiser's state.
func rounderBlob(i int) string { return fmt.Sprintf("rounder.%d", i) }

// ErrDamaged is the error of ReadState for a damaged file.
var ErrDamaged = errors.New("the state")

// ReadState reads a file that WriteState wrote. If the file is damaged, the error is ErrDamaged. If it is of a run with
// another teacher, other calibration images or another configuration, the error names the difference.
func (q *Quantizer) ReadState(r io.Reader) (State, error) {
	s, record, err := readState(r)
	if err != nil {
		return s, fmt.Errorf("pdq: %w %w", ErrDamaged, err)
	}
	if err := q.sameRun(record); err != nil {
		return State{}, fmt.Errorf("pdq: the state: %w", err)
	}
	return s, q.canResume(s)
}

// ReadStateRecord returns the record in a state's file. If the file is damaged, the error is ErrDamaged.
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
	s.Unit, s.Elapsed, s.Optimiser.Done, s.Finished = record.Unit, record.Elapsed, record.Steps, record.Finished
	for i := 0; ; i++ {
		b, ok := blobs[rounderBlob(i)]
		if !ok {
			return s, record, nil
		}
		v, err := b.floats()
		if err != nil {
			return s, record, fmt.Errorf("variable %d: %w", i, err)
		}
		s.Optimiser.Values = append(s.Optimiser.Values, v)
	}
}

// sameRun returns an error if the state of r is of a run with another problem or configuration than q's. It names the
// difference.
func (q *Quantizer) sameRun(r StateRecord) error {
	own, err := q.studentRecord()
	if err != nil {
		return err
	}
	for _, x := range []struct{ what, theirs, own string }{
		{"another network", r.Network, own.Network},
		{"other weights of the teacher", r.TeacherHash, own.TeacherHash},
		{"other calibration images", r.Calibration, q.p.Calibration.Hash()},
	} {
		if x.theirs != x.own {
			return fmt.Errorf("%s: the run had %.12s, now it has %.12s", x.what, x.theirs, x.own)
		}
	}
	if cal := q.p.Calibration; !slices.Equal(r.Mean, cal.Mean) || !slices.Equal(r.Std, cal.Std) {
		return fmt.Errorf("the images are normalised differently: the run had mean %v and deviation %v, now %v and %v",
			r.Mean, r.Std, cal.Mean, cal.Std)
	}
	if d := r.Config.Differs(own.Config); d != "" {
		return fmt.Errorf("the configuration differs: the run had %s", d)
	}
	if own := q.termsText(); r.Terms != "" && r.Terms != own {
		return fmt.Errorf("the loss has other terms: the run had %s, now it has %s", r.Terms, own)
	}
	return nil
}

// writeRecord writes blobs as a sealed file, with the record in its metadata.
func writeRecord(w io.Writer, blobs map[string]blob, format string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return writeSealed(w, blobs, map[string]string{"format": format, "record": string(text)})
}

// readRecord reads a file that writeRecord wrote.
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
