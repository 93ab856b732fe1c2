package pdq

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// stateFormat is the version of a state's file: another number, another meaning.
const stateFormat = "pdquant state 1"

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
	record := StateRecord{own, cal.Hash(), cal.Mean, cal.Std, s.Unit, s.Optimiser.Done, s.Elapsed}
	blobs := s.Student.blobs()
	for i, v := range s.Optimiser.Values {
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
	s.Unit, s.Elapsed, s.Optimiser.Done = record.Unit, record.Elapsed, record.Steps
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
