package pdq

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/models"
)

func TestSaveStudent(t *testing.T) {
	b := anyBackend(t)
	p, c := tinyProblem(t, 8), tinyConfig(t)
	q := quantizerOf(t, b, p, c)
	s, err := q.Quantize(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	biased := s.Weights["conv1"]
	biased.Bias = slices.Repeat([]float32{-1}, len(biased.Scale))
	s.Weights["conv1"] = biased
	var file bytes.Buffer
	if err := q.WriteStudent(&file, s); err != nil {
		t.Fatal(err)
	}
	got, err := q.ReadStudent(bytes.NewReader(file.Bytes()))
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("the student read isn't the one written: %v", err)
	}
	if _, r, err := ReadStudent(bytes.NewReader(file.Bytes())); err != nil || r.Config != c ||
		r.Network != p.Network.Name || len(r.TeacherHash) != 64 {
		t.Errorf("record %+v, error %v", r, err)
	}

	refused := func(what string, p Problem, c Config, want string) {
		q := quantizerOf(t, b, p, c)
		if _, err := q.ReadStudent(bytes.NewReader(file.Bytes())); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", what, err, want)
		}
	}
	other := p
	other.Weights = models.Init(p.Network, 2)
	refused("other weights", other, c, "load that teacher first")
	c.Bits.W = 3
	refused("other bits", p, c, "has 2 bits; it should have 3; its configuration was W2A2, rule qdrop")
}

// TestDamagedStudent: a file that was cut off or changed is an error, never a panic.
func TestDamagedStudent(t *testing.T) {
	q, err := New(anyBackend(t), tinyProblem(t, 8), tinyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.WeightScales(context.Background(), Student{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := writeRecord(&file, s.blobs(), studentFormat, StudentRecord{Network: "x"}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := readStudent(bytes.NewReader(file.Bytes())); err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("the whole file: %v", err)
	}
	for n := range file.Len() {
		if _, _, err := readStudent(bytes.NewReader(file.Bytes()[:n])); err == nil {
			t.Fatalf("the first %d of %d bytes were read", n, file.Len())
		}
	}
	for i := range file.Len() {
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
			data := bytes.Clone(file.Bytes())
			data[i] ^= flip
			if _, _, err := readStudent(bytes.NewReader(data)); err == nil {
				t.Errorf("byte %d changed by %#x was read", i, flip)
			}
		}
	}
}

// TestRestore: after a state is restored, the next steps are those that followed it.
func TestRestore(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		q := quantizerOf(t, b, tinyProblem(t, 20), tinyConfig(t))
		s, d := prepare(t, q, 1)
		r, err := q.NewRounder(s, d)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		steps := func(r *Rounder, n int) (Loss, OptimiserState) {
			l, err := r.Steps(context.Background(), n)
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.State()
			if err != nil {
				t.Fatal(err)
			}
			return l, s
		}
		_, two := steps(r, 2)
		loss, five := steps(r, 3)
		if err := r.Restore(two); err != nil {
			t.Fatal(err)
		}
		if l, again := steps(r, 3); l != loss || !reflect.DeepEqual(again, five) {
			t.Errorf("loss %+v after going back, %+v before", l, loss)
		}
		other, err := q.NewRounder(s, d)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if err := other.Restore(two); err != nil {
			t.Fatal(err)
		}
		if l, again := steps(other, 3); l != loss || !reflect.DeepEqual(again, five) {
			t.Errorf("loss %+v in another rounder, want %+v", l, loss)
		}
		ds, err := r.Decided()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			sum := 0
			for _, n := range d.Histogram {
				sum += n
			}
			if sum != d.Size || d.Undecided > d.Size || d.Flipped > d.Size {
				t.Errorf("%+v", d)
			}
		}
		if err := r.Restore(OptimiserState{Values: two.Values[1:]}); err == nil ||
			!strings.Contains(err.Error(), "variables") {
			t.Errorf("error %v", err)
		}
	})
}
