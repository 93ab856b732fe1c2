package pdq

import (
	"math"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
)

// TestBadArguments: arguments that a step can't use are errors that name them.
func TestBadArguments(t *testing.T) {
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 8), tinyConfig(t)
		q := quantizerOf(t, b, p, c)
		s, d := prepare(t, q, 1)
		ctx := t.Context()
		data := func(change func(d *UnitData)) *UnitData {
			own := *d
			change(&own)
			return &own
		}
		freed := clone(d.StudentIn)
		freed.Free()
		gone := &Teacher{clone(d.Logits)}
		gone.Free()
		for want, d := range map[string]*UnitData{
			"the unit's data is nil":                nil,
			"In is missing":                         {}, // StudentIn or TeacherIn, which a step reads
			"the data is of unit -1":                data(func(d *UnitData) { d.Unit = -1 }),
			"the unit's StudentIn was freed":        data(func(d *UnitData) { d.StudentIn = freed }),
			"the unit's Target has 0 images":        data(func(d *UnitData) { d.Target = &Cache{} }),
			"the unit's Target has 8 images of 10 ": data(func(d *UnitData) { d.Target = d.Logits }),
		} {
			_, err := q.Correct(ctx, d) // each step takes data with only what it reads; what is there must fit
			checkError(t, "Correct", err, "pdq: distribution correction", want)
			_, err = q.ActivationScales(ctx, s, d)
			checkError(t, "ActivationScales", err, want)
			_, err = q.NewRounder(s, d)
			checkError(t, "NewRounder", err, want)
			_, err = q.Round(ctx, s, d)
			checkError(t, "Round", err, want)
			if d != nil {
				_, err = q.Observe(ctx, s, &Teacher{clone(q.logits(t))}, 2, d)
				checkError(t, "Observe", err, "the data of the unit before")
			}
		}
		_, err := q.NewRounder(s, data(func(d *UnitData) { d.Logits = nil }))
		checkError(t, "NewRounder", err, "the unit's Logits is missing")
		for want, teacher := range map[string]*Teacher{
			"the teacher's logits are missing": nil, "the teacher's logits are missing; give": {}, "the teacher was freed": gone,
		} {
			_, err := q.Observe(ctx, s, teacher, 1, nil)
			checkError(t, "Observe", err, want)
			_, err = teacher.Score(p.Calibration.Labels)
			checkError(t, "Score", err, want)
			for _, err := range q.Units(ctx, teacher, &s) {
				checkError(t, "Units", err, want)
			}
		}
		for _, err := range q.Units(ctx, gone, nil) {
			checkError(t, "Units", err, "no student")
		}
		checkError(t, "no run", Quantize(ctx, nil), "run 1 has no quantizer")
		checkError(t, "a run without quantizer", Quantize(ctx, &Run{}), "run 1 has no quantizer")
		_, err = New(nil, p, c)
		checkError(t, "no backend", err, "no backend")
		_, err = q.Evaluate(ctx, s, nil)
		checkError(t, "no test set", err, "no images")
		_, err = EvaluateTeacher(ctx, b, MachineConfig{}, nil, nil, nil, nil)
		checkError(t, "nothing", err, "are missing")
		_, _, err = q.Compare(ctx, s, datasets.Images{})
		checkError(t, "no images", err, "no images to evaluate on")
		_, err = RangeCandidates(ctx, nil, 4, c.Scales)
		checkError(t, "no values", err, "0 values")
		_, err = RangeCandidates(ctx, []float32{1}, -1, c.Scales)
		checkError(t, "negative bits", err, "-1 bits")
	})
}

// logits returns the teacher's logits.
func (q *Quantizer) logits(t *testing.T) *Cache {
	teacher, err := q.Teacher(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return teacher.Logits
}

// TestBadStudents: a quantiser that can't be one is an error of every step that takes a student.
func TestBadStudents(t *testing.T) {
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 8), tinyConfig(t)
		c.FineTune.Steps = 1
		q := quantizerOf(t, b, p, c)
		s, d := prepare(t, q, 1)
		nan := float32(math.NaN())
		for want, change := range map[string]func(s Student, w WeightQuant, a ActQuant){
			"a quantiser of -3 bits": func(s Student, w WeightQuant, _ ActQuant) { w.Bits = -3; s.Weights["conv1"] = w },
			"a quantiser of 99 bits": func(s Student, _ WeightQuant, a ActQuant) { a.Bits = 99; s.Acts["relu1"] = a },
			"0 scales":               func(s Student, _ WeightQuant, _ ActQuant) { s.Weights["conv1"] = WeightQuant{Bits: 4} },
			"0 biases": func(s Student, w WeightQuant,
				_ ActQuant) {
				w.Bias = []float32{}
				s.Weights["conv1"] = w
			},
			"1 levels": func(s Student, w WeightQuant,
				_ ActQuant) {
				w.Levels = []uint8{1}
				s.Weights["conv1"] = w
			},
			"no layer nowhere": func(s Student, w WeightQuant, _ ActQuant) { s.Weights["nowhere"] = w },
			"has scale NaN": func(s Student, _ WeightQuant, a ActQuant) {
				a.Bits, a.Scale = 4,
					nan
				s.Acts["relu1"] = a
			},
			"has scale 0": func(s Student, w WeightQuant, _ ActQuant) {
				w.Scale = make([]float32, len(w.Scale))
				s.Weights["conv1"] = w
			},
		} {
			bad := s.clone()
			change(bad, s.Weights["conv1"], s.Acts["relu1"])
			_, err := q.StudentWeights(bad)
			checkError(t, "StudentWeights", err, want)
			_, err = q.Evaluate(t.Context(), bad, p.Calibration)
			checkError(t, "Evaluate", err, want)
			_, err = q.ActivationScales(t.Context(), bad, d)
			checkError(t, "ActivationScales", err, want)
			_, err = q.NewRounder(bad, d)
			checkError(t, "NewRounder", err, want)
			_, err = q.FineTune(t.Context(), bad)
			checkError(t, "FineTune", err, want)
		}
		if got := (ActQuant{Bits: -3, Scale: 1}).Quantize(2); got-got != 0 {
			t.Errorf("a quantiser of -3 bits gives %g", got)
		}
	})
}

// TestAfterClose: a rounder that was closed, and data that was freed meanwhile, give errors, not crashes.
func TestAfterClose(t *testing.T) {
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		for _, workers := range []int{1, 3} {
			c := tinyConfig(t)
			c.Machine.Workers = workers
			q := quantizerOf(t, b, tinyProblem(t, 8), c)
			s, d := prepare(t, q, 1)
			r, err := q.NewRounder(s, d)
			if err != nil {
				t.Fatal(err)
			}
			state, err := r.State()
			if err != nil {
				t.Fatal(err)
			}
			d.Free()
			_, err = r.Steps(t.Context(), 1)
			checkError(t, "Steps with freed data", err, "was freed")
			r.Close()
			r.Close()
			_, err = r.Steps(t.Context(), 1)
			checkError(t, "Steps", err, "was closed")
			_, err = r.Student()
			checkError(t, "Student", err, "was closed")
			_, err = r.State()
			checkError(t, "State", err, "was closed")
			checkError(t, "Restore", r.Restore(state), "was closed")
		}
	})
}
