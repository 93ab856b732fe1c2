package pdq

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/internal/fuzzed"
	"github.com/pdquant/pdquant/internal/sealed"
	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/models"
)

// states quantises, and returns all states, kept after every step, and the student.
func states(t *testing.T, q *Quantizer) ([]State, Student) {
	var all []State
	s, err := q.QuantizeFrom(t.Context(), State{}, Keeper{1, func(s State) error {
		all = append(all, s)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return all, s
}

// TestQuantizeFrom: from states after units and after rounding steps, a new Quantizer resumes to the same bits. The
// long form of the test takes every state.
func TestQuantizeFrom(t *testing.T) {
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 20), tinyConfig(t)
		c.Rounding.Steps, c.Machine.Workers, c.Loss.Balanced, c.Mirror = 3, 2, true, true
		c.FineTune = FineTuneConfig{Steps: 3, BatchSize: 8, LearningRate: 0.05, ScaleLearningRate: 0.01,
			BiasLearningRate: 0.01, Flip: 0.5, Shift: 1, Mix: 0.5}
		q := quantizerOf(t, b, p, c)
		all, want := states(t, q)
		if units := len(p.Network.Units); len(all) != units*3+3 || all[len(all)-1].Optimiser.Done != 3 {
			t.Fatalf("%d states of %d units and fine-tuning, with 3 steps each: after the first, the second, and the third "+
				"or the unit", len(all), units)
		}
		if whole, err := q.Quantize(t.Context()); err != nil || !reflect.DeepEqual(whole, want) {
			t.Errorf("keeping states changes the student, error %v", err)
		}
		for i, s := range all {
			// a few of each kind: the first step of a unit, one within, its last
			if !soaked.Long() && i%4 != 0 && i != len(all)-1 {
				continue
			}
			var file bytes.Buffer
			if err := q.WriteState(&file, s); err != nil {
				t.Fatal(err)
			}
			other, err := New(b, p, c)
			if err != nil {
				t.Fatal(err)
			}
			read, err := other.ReadState(&file)
			if err != nil || !reflect.DeepEqual(read, s) {
				t.Fatalf("state %d: read %+v, error %v", i, read.Unit, err)
			}
			if got, err := other.QuantizeFrom(t.Context(), read, Keeper{}); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("from unit %d, step %d: another student, error %v", s.Unit, s.Optimiser.Done, err)
			}
		}
	})
}

// TestKeptWhenInterrupted: if the context ends within a unit's rounding, no step is lost.
func TestKeptWhenInterrupted(t *testing.T) {
	q, err := New(anyBackend(t), tinyProblem(t, 8), tinyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	want, err := q.Quantize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	q.Progress = func(e Event) {
		if e.Step == StepRound && e.Unit == "layer1.0" && e.Done == 4 {
			cancel()
		}
	}
	var last State
	_, err = q.QuantizeFrom(ctx, State{}, Keeper{500, func(s State) error { last = s; return nil }})
	if !errors.Is(err, context.Canceled) || last.Unit != 1 || last.Optimiser.Done != 4 || last.Elapsed <= 0 {
		t.Fatalf("kept unit %d, step %d after %v, error %v", last.Unit, last.Optimiser.Done, last.Elapsed, err)
	}
	q.Progress = nil
	if got, err := q.QuantizeFrom(t.Context(), last, Keeper{}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("another student, error %v", err)
	}
	full := errors.New("disk full")
	failing := Keeper{0, func(State) error { return full }}
	if _, err := q.QuantizeFrom(t.Context(), State{}, failing); !errors.Is(err, full) {
		t.Errorf("a state that can't be kept ends the run with %v", err)
	}
}

// TestKeptBeforeComparison: if the context ends after the last step of fine-tuning, while the student is compared with
// the one before, no step is repeated, however rarely states are saved.
func TestKeptBeforeComparison(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	c.FineTune.Steps = 3
	q := quantizerOf(t, b, p, c)
	want, err := q.FineTune(t.Context(), s)
	if err != nil || reflect.DeepEqual(want, s) {
		t.Fatalf("fine-tuning changes nothing, error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	taken := 0
	q.Progress = func(e Event) {
		if e.Step != StepFineTune {
			return
		}
		if taken++; e.Done == e.Total {
			cancel()
		}
	}
	last, kept := State{Unit: len(p.Network.Units), Student: s}, 0
	k := Keeper{500, func(s State) error { last = s; kept++; return nil }}
	if _, err := q.QuantizeFrom(ctx, last, k); !errors.Is(err, context.Canceled) || last.Optimiser.Done != 3 || kept != 1 {
		t.Fatalf("%d states kept, the last of step %d, error %v", kept, last.Optimiser.Done, err)
	}
	taken = 0
	if got, err := q.QuantizeFrom(t.Context(), last, k); err != nil || !reflect.DeepEqual(got, want) || taken != 0 ||
		kept != 1 {
		t.Errorf("another student, or %d more steps and %d states, error %v", taken, kept, err)
	}
}

// TestReadState: for a state of another run, the error says what differs; for a damaged one it is ErrDamaged.
func TestReadState(t *testing.T) {
	b := anyBackend(t)
	p, c := tinyProblem(t, 8), tinyConfig(t)
	q := quantizerOf(t, b, p, c)
	all, _ := states(t, q)
	var buffer bytes.Buffer
	if err := q.WriteState(&buffer, all[7]); err != nil { // of layer1.0's rounding
		t.Fatal(err)
	}
	whole := buffer.Bytes()
	refused := func(what string, p Problem, change func(*Config), want string) {
		c := c
		change(&c)
		q := quantizerOf(t, b, p, c)
		if _, err := q.ReadState(bytes.NewReader(whole)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", what, err, want)
		}
	}
	same := func(*Config) {}
	other := p
	other.Weights = models.Init(p.Network, 2)
	refused("other weights", other, same, "other weights of the teacher: the run had ")
	refused("other images", tinyProblem(t, 9), same, "other calibration images: the run had")
	brighter := p
	brighter.Calibration.Mean = []float32{0.1}
	refused("another normalisation", brighter, same, "normalised differently: the run had mean [")
	refused("other settings", p, func(c *Config) { c.Loss.PD = 3 }, "the run had Loss.PD=10, now 3")
	refused("another seed", p, func(c *Config) { c.Seed = 9 }, "Seed=")
	q.Terms = q.Terms[:2]
	if _, err := q.ReadState(bytes.NewReader(whole)); err == nil ||
		!strings.Contains(err.Error(), "the loss has other terms: the run had reconstruction=1 PD=10 rounding=0.01") {
		t.Errorf("other terms: error %v", err)
	}
	c.Machine.Workers, c.Machine.MemoryLimit = 7, 1 // these don't matter
	q = quantizerOf(t, b, p, c)
	if _, err := q.ReadState(bytes.NewReader(whole)); err != nil {
		t.Errorf("more workers: %v", err)
	}
	for at := 0; at < len(whole); at += 1 + at/64 { // at every byte at first, then at fewer and fewer
		changed := bytes.Clone(whole)
		changed[at] ^= 0x10
		for what, data := range map[string][]byte{"changed": changed, "cut": whole[:at]} {
			if _, err := q.ReadState(bytes.NewReader(data)); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s at %d of %d: error %v", what, at, len(whole), err)
			}
		}
	}
}

// TestStrangeState: a state that doesn't fit is refused before anything is computed.
func TestStrangeState(t *testing.T) {
	q, err := New(anyBackend(t), tinyProblem(t, 8), tinyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	all, student := states(t, q)
	bad := all[7]
	bad.Optimiser.Values = bad.Optimiser.Values[1:]
	for what, s := range map[string]State{
		"no such unit":               {Unit: 99, Student: student},
		"before the first":           {Unit: -1},
		"units, but no student":      {Unit: 2},
		"units that aren't finished": {Unit: 4, Student: all[0].Student},
		"variables of another unit":  bad,
	} {
		if _, err := q.QuantizeFrom(t.Context(), s, Keeper{}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// FuzzState: no file with a correct checksum causes a panic, or a state that doesn't fit but is accepted.
func FuzzState(f *testing.F) {
	q, err := New(anyBackend(f), tinyProblem(f, 8), tinyConfig(f))
	if err != nil {
		f.Fatal(err)
	}
	s := Student{map[string]WeightQuant{"conv1": {2, []float32{1, 2, 3, 4}, []float32{0, 1, 2, 3}, make([]uint8, 36),
		[]float32{1, 0, -1, 2}}}, map[string]ActQuant{"relu": {2, 0.5, 1}}}
	for _, x := range []State{{}, {Student: s},
		{Student: s, Optimiser: OptimiserState{Done: 1, Values: [][]float32{{1, 2}, {3}}}}} {
		var file bytes.Buffer
		if err := q.WriteState(&file, x); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		if at := bytes.Index(data, []byte(`"sha256":"`)); at >= 0 && len(data) >= at+74 {
			copy(data[at+10:], sealed.Placeholder())
			sum := sha256.Sum256(data)
			copy(data[at+10:], hex.EncodeToString(sum[:]))
		}
		fuzzed.Bounded(t, func() {
			if s, _, err := readState(bytes.NewReader(data)); err == nil && q.canResume(s) == nil {
				if _, err := q.StudentWeights(s.Student); err != nil {
					t.Error(err)
				}
			}
			if s, _, err := readStudent(bytes.NewReader(data)); err == nil {
				_ = q.fits(s)
			}
		})
	})
}
