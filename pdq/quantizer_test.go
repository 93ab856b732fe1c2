package pdq

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// quantizerOf is New, but fails the test on an error.
func quantizerOf(t testing.TB, b compute.Backend, p Problem, c Config) *Quantizer {
	t.Helper()
	q, err := New(b, p, c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// tinyProblem returns a residual network of 4 channels with random weights, and real images.
func tinyProblem(t testing.TB, images int) Problem {
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 28, 10)})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	return Problem{n, models.Init(n, 1), pool.Slice(0, images)}
}

// firstData returns the data of the first unit, which the test's end frees.
func firstData(t testing.TB, q *Quantizer, s Student) *UnitData {
	t.Helper()
	teacher, err := q.Teacher(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(teacher.Free)
	d, err := q.Observe(t.Context(), s, teacher, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Free)
	return d
}

// tinyConfig returns settings with all terms on, few steps, and few candidates in the search of scales.
func tinyConfig(t testing.TB) Config {
	c, err := Paper("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	c.Rounding.Steps, c.Rounding.BatchSize, c.Correction.Steps, c.Scales.Images, c.Scales.Candidates = 6, 8, 4, 8, 20
	return c
}

func quantize(t testing.TB, b compute.Backend, p Problem, c Config) Student {
	q := quantizerOf(t, b, p, c)
	s, err := q.Quantize(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestQuantizeIsDeterministic(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		first, second := quantize(t, b, tinyProblem(t, 20), c), quantize(t, b, tinyProblem(t, 20), c)
		if !reflect.DeepEqual(first, second) {
			t.Error("the same seed gives two different students")
		}
		c.Seed++
		if other := quantize(t, b, tinyProblem(t, 20), c); reflect.DeepEqual(first.Acts, other.Acts) {
			t.Error("another seed gives the same activation scales")
		}
	})
}

// prepare takes the steps up to unit u's activation scales.
func prepare(t testing.TB, q *Quantizer, u int) (Student, *UnitData) {
	ctx := context.Background()
	teacher, err := q.Teacher(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.WeightScales(ctx, Student{})
	if err != nil {
		t.Fatal(err)
	}
	var d *UnitData
	for k := range u + 1 {
		if d, err = q.Observe(ctx, s, teacher, k, d); err != nil {
			t.Fatal(err)
		}
		if s, err = q.ActivationScales(ctx, s, d); err != nil {
			t.Fatal(err)
		}
	}
	return s, d
}

func TestRounderGoesOn(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		run := func(parts ...int) (Student, Loss) {
			q := quantizerOf(t, b, tinyProblem(t, 20), tinyConfig(t))
			r, err := q.NewRounder(prepare(t, q, 1))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var l Loss
			for _, n := range parts {
				if l, err = r.Steps(context.Background(), n); err != nil {
					t.Fatal(err)
				}
			}
			s, err := r.Student()
			if err != nil {
				t.Fatal(err)
			}
			return s, l
		}
		whole, wholeLoss := run(6)
		parts, partsLoss := run(1, 3, 2)
		if wholeLoss != partsLoss || !reflect.DeepEqual(whole, parts) {
			t.Errorf("6 steps end at %+v, 1+3+2 at %+v", wholeLoss, partsLoss)
		}
	})
}

func TestStepsLeaveTheirInputsAlone(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		q := quantizerOf(t, b, tinyProblem(t, 20), tinyConfig(t))
		s, d := prepare(t, q, 1)
		before, dBefore := s.clone(), *d
		if _, err := q.Correct(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Round(context.Background(), s, d); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s, before) || *d != dBefore {
			t.Error("a step changed its arguments")
		}
	})
}

// TestMetrics searches activation scales by each metric, and checks that the results minimise it.
func TestMetrics(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		c.Scales.Candidates = 100
		ctx := context.Background()
		found := map[Metric]Student{}
		var q *Quantizer
		var d *UnitData
		for _, c.Scales.Metric = range []Metric{LpNorm, Cosine, PD} {
			var err error
			if q, err = New(b, tinyProblem(t, 20), c); err != nil {
				t.Fatal(err)
			}
			_, d = prepare(t, q, 0)
			s, err := q.WeightScales(ctx, Student{})
			if err != nil {
				t.Fatal(err)
			}
			if found[c.Scales.Metric], err = q.ActivationScales(ctx, s, d); err != nil {
				t.Fatal(err)
			}
		}
		in := exec.FirstImages{Cache: d.StudentIn, N: c.Scales.Images}
		w, err := q.StudentWeights(found[PD])
		if err != nil {
			t.Fatal(err)
		}
		lp, pd := found[LpNorm].Acts["relu"], found[PD].Acts["relu"]
		// Among both, the search by PD must choose its own again, in either order.
		for _, cs := range [][]ActQuant{{lp, pd}, {pd, lp}} {
			s := found[PD].clone()
			delete(s.Acts, "relu")
			got, err := q.searchByPD(ctx, s, w, d, in, "relu", cs)
			if err != nil {
				t.Fatal(err)
			}
			if got != pd {
				t.Errorf("of %+v the search takes %+v, want %+v", cs, got, pd)
			}
		}
		if lp == pd || found[Cosine].Acts["relu"] == lp {
			t.Errorf("metrics agree: lp %+v, cosine %+v, pd %+v", lp, found[Cosine].Acts["relu"], pd)
		}
	})
}

func TestObserveFromImages(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		q := quantizerOf(t, b, tinyProblem(t, 20), tinyConfig(t))
		ctx := context.Background()
		s, d := prepare(t, q, 2)
		direct, err := q.Observe(ctx, s, &Teacher{d.Logits}, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := q.Observe(ctx, s, &Teacher{d.Logits}, 2, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(flat(t, again.TeacherOut), flat(t, direct.TeacherOut)) {
			t.Error("observing twice gives two results")
		}
		if distance(flat(t, d.TeacherOut), flat(t, direct.TeacherOut)) > 1e-5 {
			t.Error("the teacher's output differs from that computed unit by unit")
		}
	})
}

func TestCorrectLowersItsLoss(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		c.Correction.Steps = 30
		q, err := New(b, tinyProblem(t, 40), c) // a full group and a part of one
		if err != nil {
			t.Fatal(err)
		}
		_, d := prepare(t, q, 1)
		var losses []float64
		q.Progress = func(e Event) {
			if e.Step == StepCorrect {
				losses = append(losses, e.Loss.Correction)
			}
		}
		corrected, err := q.Correct(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		if len(losses) != 30 || losses[29] >= losses[0] {
			t.Errorf("losses %v don't fall over 30 steps", losses)
		}
		if distance(flat(t, corrected.CorrectedIn), flat(t, d.TeacherIn)) < 1e-4 ||
			distance(flat(t, corrected.Target), flat(t, d.TeacherOut)) < 1e-4 {
			t.Error("input and target haven't changed")
		}
		last, images := len(q.folded.Units)-1, d.Logits.Len() // a unit without batch normalisation
		in := exec.CacheOf(make([]float32, images*16), images, 16)
		head := UnitData{last, in, in, d.Logits, in, d.Logits, d.Logits}
		if same, err := q.Correct(context.Background(), &head); err != nil || same != &head {
			t.Errorf("a unit without batch normalisation was corrected (error %v)", err)
		}
	})
}

func TestPlateau(t *testing.T) {
	p := newPlateau(CorrectionConfig{LearningRate: 1e-3, MinRate: 5e-5, Patience: 2})
	var rates []float64
	for _, loss := range []float64{3, 2, 2, 2, 1.9999, 2, 2, 2, 1} {
		p.step(loss)
		rates = append(rates, p.rate)
	}
	// torch.optim.lr_scheduler.ReduceLROnPlateau(patience=2, min_lr=5e-5), PyTorch 1.13
	want := []float64{1e-3, 1e-3, 1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 5e-5, 5e-5}
	for i := range want {
		if math.Abs(rates[i]-want[i]) > 1e-12 {
			t.Fatalf("rates %v, want %v", rates, want)
		}
	}
}

func TestCancel(t *testing.T) {
	b := anyBackend(t)
	for _, at := range []Step{StepTeacher, StepObserve, StepCorrect, StepActivationScales, StepRound} {
		ctx, cancel := context.WithCancel(context.Background())
		q := quantizerOf(t, b, tinyProblem(t, 130), tinyConfig(t))
		q.Progress = func(e Event) {
			if e.Step == at {
				cancel()
			}
		}
		_, err := q.Quantize(ctx)
		var unit *UnitError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &unit) {
			t.Errorf("cancelled during %v: error %v", at, err)
		}
		cancel()
	}
}

func TestOrderOfSteps(t *testing.T) {
	b := anyBackend(t)
	q := quantizerOf(t, b, tinyProblem(t, 8), tinyConfig(t))
	ctx := context.Background()
	s, err := q.WeightScales(ctx, Student{})
	if err != nil {
		t.Fatal(err)
	}
	in, logits := exec.CacheOf(make([]float32, 8*4*28*28), 8, 4, 28, 28), exec.CacheOf(make([]float32, 8*10), 8, 10)
	d := &UnitData{Unit: 1, StudentIn: in, CorrectedIn: in, Target: in, Logits: logits}
	for want, s := range map[string]Student{
		"pdq: rounding of layer1.0: the weight of layer1.0.conv1 has no scale yet; search weight scales first":     {},
		"pdq: rounding of layer1.0: the output of layer1.0.relu1 has no scale yet; search activation scales first": s,
	} {
		if _, err := q.NewRounder(s, d); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestScore(t *testing.T) {
	a, b := Score{[]bool{true, true, true, false}}, Score{[]bool{true, false, true, true}}
	if acc, se := a.Accuracy(); acc != 0.75 || math.Abs(se-math.Sqrt(0.75*0.25/4)) > 1e-12 {
		t.Errorf("accuracy %g ± %g", acc, se)
	}
	// Differences per image are 0, 1, 0, -1: mean 0, variance 1/2.
	if diff, se := a.Minus(b); diff != 0 || math.Abs(se-math.Sqrt(0.5/4)) > 1e-12 {
		t.Errorf("difference %g ± %g", diff, se)
	}
}

func TestScoreOfAll(t *testing.T) {
	all := Score{make([]bool, 49)} // 49 times 1/49 isn't 1 in floating point
	for i := range all.Top1 {
		all.Top1[i] = true
	}
	if acc, se := all.Accuracy(); acc != 1 || se != 0 {
		t.Errorf("accuracy %g ± %g, want 1 ± 0", acc, se)
	}
	if acc, se := (Score{}).Accuracy(); !math.IsNaN(acc) || !math.IsNaN(se) {
		t.Errorf("accuracy of nothing %g ± %g, want NaN", acc, se)
	}
	if diff, se := all.Minus(Score{make([]bool, 3)}); !math.IsNaN(diff) || !math.IsNaN(se) {
		t.Errorf("difference over other images %g ± %g, want NaN", diff, se)
	}
}

// TestBadData: each error names what is wrong, and nothing panics.
func TestBadData(t *testing.T) {
	ctx := context.Background()
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p := tinyProblem(t, 20)
		q := quantizerOf(t, b, p, tinyConfig(t))
		s, d := prepare(t, q, 1)
		teacher := &Teacher{d.Logits}
		stranger := s.clone()
		stranger.Weights["vgg"] = WeightQuant{}
		short := s.clone()
		short.Weights["conv1"] = WeightQuant{Bits: 2, Scale: []float32{1}, Zero: []float32{0}}
		c := tinyConfig(t)
		c.Mirror = true
		mirrored, err := New(b, p, c)
		if err != nil {
			t.Fatal(err)
		}
		for want, f := range map[string]func() error{
			"pdq: observation of layer1.0: the teacher's logits are of 20 images, but the units are fitted to 40; run " +
				"Teacher again": func() error {
				_, err := mirrored.Observe(ctx, s, teacher, 1, nil)
				return err
			},
			`pdq: the state's student: the weight of "vgg" is quantised; there is none to quantise`: func() error {
				_, err := q.QuantizeFrom(ctx, State{Student: stranger}, Keeper{})
				return err
			},
			"pdq: observation: there is no unit 9; resnet8 has units 0 to 4": func() error {
				_, err := q.Observe(ctx, s, teacher, 9, nil)
				return err
			},
			"pdq: observation of layer1.0: the data given is of unit 1; give the data of an earlier unit, or nil": func() error {
				_, err := q.Observe(ctx, s, teacher, 1, d)
				return err
			},
			"pdq: observation of layer1.0: the weight of conv1, which comes before, isn't quantised; search weight " +
				"scales first": func() error {
				_, err := q.Observe(ctx, Student{}, teacher, 1, nil)
				return err
			},
			"pdq: observation of layer3.0: the output of layer2.0.relu1, which comes before, isn't quantised; take the units " +
				"in order": func() error {
				_, err := q.Observe(ctx, s, teacher, 3, nil)
				return err
			},
			"pdq: evaluation: no images to evaluate on; give at least one": func() error {
				_, err := q.Evaluate(ctx, s, p.Calibration.Slice(0, 0))
				return err
			},
			"pdq: evaluation: resnet8 has no layer vgg with a weight, but the student quantises it": func() error {
				_, err := q.Evaluate(ctx, stranger, p.Calibration)
				return err
			},
			"pdq: evaluation: the weight of conv1: 1 scales, 1 zero points and 0 levels don't fit a weight of shape " +
				"[4 1 3 3]": func() error {
				_, err := q.Evaluate(ctx, short, p.Calibration)
				return err
			},
		} {
			if err := f(); err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
		}
	})
}

// TestRates: variables with a learning rate of 0 stay.
func TestRates(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		for _, rates := range [][2]float64{{0, 0}, {0, 1e-2}, {1e-1, 0}, {1e-1, 1e-2}} {
			c := tinyConfig(t)
			c.Rounding.LearningRate, c.Rounding.ScaleLearningRate = rates[0], rates[1]
			q := quantizerOf(t, b, tinyProblem(t, 20), c)
			s, d := prepare(t, q, 1)
			r, err := q.Round(context.Background(), s, d)
			if err != nil {
				t.Fatal(err)
			}
			if up := r.Weights["layer1.0.conv1"].Levels != nil; up != (rates[0] > 0) {
				t.Errorf("rates %v: rounding trained: %v", rates, up)
			}
			if moved := r.Acts["layer1.0.relu1"] != s.Acts["layer1.0.relu1"]; moved != (rates[1] > 0) {
				t.Errorf("rates %v: scales trained: %v", rates, moved)
			}
			if r.Acts["relu"] != s.Acts["relu"] {
				t.Errorf("rates %v: another unit's scale was trained", rates)
			}
		}
	})
}

// TestScalesStayPositive: a learning rate that would make scales negative leaves them at the smallest scale.
func TestScalesStayPositive(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		c.Rounding.ScaleLearningRate, c.Rounding.Steps = 10, 1
		q := quantizerOf(t, b, tinyProblem(t, 20), c)
		s, d := prepare(t, q, 1)
		s, err := q.Round(context.Background(), s, d)
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range s.Acts {
			if !(a.Scale >= minScale) {
				t.Errorf("%s: scale %g", name, a.Scale)
			}
		}
	})
}

// TestActivationScalesAgain: a second search, on a student that has quantisers, finds the same ones.
func TestActivationScalesAgain(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		c.Scales.Metric = PD
		q := quantizerOf(t, b, tinyProblem(t, 20), c)
		s, d := prepare(t, q, 1)
		again, err := q.ActivationScales(context.Background(), s, d)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(s, again) {
			t.Errorf("first %v, then %v", s.Acts, again.Acts)
		}
	})
}

func TestProblemValidate(t *testing.T) {
	for want, change := range map[string]func(*Problem){
		"pdq: problem without a network": func(p *Problem) { p.Network = nil },
		"pdq: no calibration images; give at least one (the paper takes 1024)": func(p *Problem) {
			p.Calibration = p.Calibration.Slice(0, 0)
		},
		"pdq: calibration images are 1x14x56, but resnet8 takes 1x28x28": func(p *Problem) {
			p.Calibration.Height, p.Calibration.Width = 14, 56
		},
		`models: weights for resnet8 have no tensor "fc.bias" of shape [10]`: func(p *Problem) {
			delete(p.Weights, "fc.bias")
		},
	} {
		p := tinyProblem(t, 4)
		change(&p)
		if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
