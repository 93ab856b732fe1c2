package pdq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/nlpodyssey/safetensors"
)

// studentFormat names the format of a student's file, and its version.
const studentFormat = "pdquant student 2"

// StudentRecord says which network and settings a student belongs to.
type StudentRecord struct {
	Network     string
	TeacherHash string // hex SHA-256 of the teacher's weights
	Config      Config // that the student was made with
}

// WriteStudent writes s, which quantises the whole network or a part of it, to w: a sealed safetensors file with
// scales, zero points, levels and a StudentRecord.
func (q *Quantizer) WriteStudent(w io.Writer, s Student) error {
	record, err := q.studentRecord()
	if err != nil {
		return err
	}
	if err := writeRecord(w, s.blobs(), studentFormat, record); err != nil {
		return fmt.Errorf("pdq: writing the student: %w", err)
	}
	return nil
}

// ReadStudent reads a file that WriteStudent wrote. It returns an error if the file is damaged or belongs to another
// teacher, or if a layer's width isn't that in q's plan.
func (q *Quantizer) ReadStudent(r io.Reader) (Student, error) {
	s, record, err := readStudent(r)
	if err != nil {
		return s, fmt.Errorf("pdq: the student %w", err)
	}
	own, err := q.studentRecord()
	if err != nil {
		return s, err
	}
	if record.Network != own.Network || record.TeacherHash != own.TeacherHash {
		return Student{}, fmt.Errorf("pdq: a student of %s with weights %.12s, not of %s with weights %.12s; "+
			"load that teacher first", record.Network, record.TeacherHash, own.Network, own.TeacherHash)
	}
	if err := q.fits(s); err != nil {
		return Student{}, fmt.Errorf("pdq: the student: %w; its configuration was W%dA%d, rule %v",
			err, record.Config.Bits.W, record.Config.Bits.A, record.Config.Bits.Rule)
	}
	return s, nil
}

// ReadStudent reads a file that Quantizer.WriteStudent wrote, of whatever network, to look at. What needs a student of
// its own teacher and widths reads it by Quantizer.ReadStudent.
func ReadStudent(r io.Reader) (Student, StudentRecord, error) {
	s, record, err := readStudent(r)
	if err != nil {
		err = fmt.Errorf("pdq: the student %w", err)
	}
	return s, record, err
}

// readStudent reads a student's file.
func readStudent(r io.Reader) (s Student, record StudentRecord, err error) {
	blobs, err := readRecord(r, studentFormat, &record)
	if err != nil {
		return s, record, err
	}
	s, err = studentOf(blobs)
	return s, record, err
}

func (q *Quantizer) studentRecord() (StudentRecord, error) {
	hash, err := q.p.Weights.Hash()
	return StudentRecord{q.p.Network.Name, hash, q.c}, err
}

// fits returns an error if s quantises a tensor that q doesn't, or to another width, or one of another size.
func (q *Quantizer) fits(s Student) error {
	for _, layer := range slices.Sorted(maps.Keys(s.Weights)) {
		wq, want := s.Weights[layer], q.bits[layer].Weight
		if want == 0 {
			return fmt.Errorf("the weight of %q is quantised; there is none to quantise", layer)
		}
		if wq.Bits != want {
			return fmt.Errorf("the weight of %q has %d bits; it should have %d", layer, wq.Bits, want)
		}
		if err := wq.fits(q.weights[layer+".weight"]); err != nil {
			return fmt.Errorf("%s: %w", layer, err)
		}
		if _, ok := q.weights[layer+".bias"]; !ok && wq.Bias != nil {
			return fmt.Errorf("%q has a bias in the student, but none in %s", layer, q.folded.Name)
		}
	}
	for _, layer := range slices.Sorted(maps.Keys(s.Acts)) {
		if a, want := s.Acts[layer], q.bits[layer].Output; want == 0 {
			return fmt.Errorf("the output of %q is quantised; there is none to quantise", layer)
		} else if a.Bits != want {
			return fmt.Errorf("the output of %q has %d bits; it should have %d", layer, a.Bits, want)
		}
	}
	return nil
}

// blob is a tensor of a student's file.
type blob struct {
	kind safetensors.DType
	size int // elements
	data []byte
}

func (b blob) DType() safetensors.DType { return b.kind }
func (b blob) Shape() []uint64          { return []uint64{uint64(b.size)} }
func (b blob) Data() []byte             { return b.data }
func (b blob) DataLen() uint64          { return uint64(len(b.data)) }

func floatBlob(xs ...float32) blob {
	b := blob{kind: safetensors.F32, size: len(xs)}
	for _, x := range xs {
		b.data = binary.LittleEndian.AppendUint32(b.data, math.Float32bits(x))
	}
	return b
}

// A layer's tensors in a student's file are named by the layer and one of these: for the quantiser of its weight, the
// level of each weight, the bias if it is trained, and the quantiser of its output.
const (
	weightBits, weightScale, weightZero, weightLevels = ".weight.bits", ".weight.scale", ".weight.zero", ".weight.levels"
	trainedBias                                       = ".bias"
	outputQuant                                       = ".output" // bits, scale, zero
)

// blobs returns the tensors of s by name.
func (s Student) blobs() map[string]blob {
	blobs := map[string]blob{}
	for layer, q := range s.Weights {
		blobs[layer+weightBits] = floatBlob(float32(q.Bits))
		blobs[layer+weightScale], blobs[layer+weightZero] = floatBlob(q.Scale...), floatBlob(q.Zero...)
		if q.Levels != nil {
			blobs[layer+weightLevels] = blob{safetensors.U8, len(q.Levels), q.Levels}
		}
		if q.Bias != nil {
			blobs[layer+trainedBias] = floatBlob(q.Bias...)
		}
	}
	for layer, a := range s.Acts {
		blobs[layer+outputQuant] = floatBlob(float32(a.Bits), a.Scale, a.Zero)
	}
	return blobs
}

// studentOf returns the student with the tensors blobs.
func studentOf(blobs map[string]blob) (s Student, err error) {
	s = s.clone()
	for name := range blobs {
		if layer, ok := strings.CutSuffix(name, weightBits); ok {
			s.Weights[layer], err = readWeightQuant(blobs, layer)
		} else if layer, ok := strings.CutSuffix(name, outputQuant); ok {
			s.Acts[layer], err = readActQuant(blobs, layer)
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

func readWeightQuant(blobs map[string]blob, layer string) (WeightQuant, error) {
	head, err := blobs[layer+weightBits].floats()
	scale, err2 := blobs[layer+weightScale].floats()
	zero, err3 := blobs[layer+weightZero].floats()
	err = errors.Join(err, err2, err3)
	if err != nil || len(head) != 1 || !isWidth(head[0]) || len(scale) == 0 || len(zero) != len(scale) {
		return WeightQuant{}, fmt.Errorf("the quantiser of %s's weight is damaged", layer)
	}
	q := WeightQuant{Bits: int(head[0]), Scale: scale, Zero: zero}
	for _, k := range blobs[layer+weightLevels].data {
		if int(k) >= 1<<q.Bits {
			return q, fmt.Errorf("the levels of %s are damaged", layer)
		}
	}
	q.Levels = blobs[layer+weightLevels].data
	if b, ok := blobs[layer+trainedBias]; ok {
		if q.Bias, err = b.floats(); err != nil || len(q.Bias) != len(scale) {
			return q, fmt.Errorf("the bias of %s is damaged", layer)
		}
	}
	return q, nil
}

func readActQuant(blobs map[string]blob, layer string) (ActQuant, error) {
	head, err := blobs[layer+outputQuant].floats()
	if err != nil || len(head) != 3 || !isWidth(head[0]) || !(head[1] > 0) {
		return ActQuant{}, fmt.Errorf("the quantiser of %s's output is damaged", layer)
	}
	return ActQuant{Bits: int(head[0]), Scale: head[1], Zero: head[2]}, nil
}

func isWidth(bits float32) bool { return bits >= 2 && bits <= 8 && bits == float32(int(bits)) }

func (b blob) floats() ([]float32, error) {
	if b.kind != safetensors.F32 {
		return nil, errors.New("no float32 tensor")
	}
	xs := make([]float32, len(b.data)/4)
	for i := range xs {
		xs[i] = math.Float32frombits(binary.LittleEndian.Uint32(b.data[4*i:]))
		if xs[i]-xs[i] != 0 {
			return nil, errors.New("not a number")
		}
	}
	return xs, nil
}
