package look_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/stat"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/look"
)

// tinyProblem returns a small untrained network and calibration images.
func tinyProblem(t *testing.T, images int) pdq.Problem {
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 28, 10)})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	return pdq.Problem{Network: n, Weights: models.Init(n, 1), Calibration: pool.Slice(0, images)}
}

// tinyConfig returns settings with few steps, and few candidates in the search of scales.
func tinyConfig(t *testing.T) pdq.Config {
	c, err := pdq.Paper("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	c.Rounding.Steps, c.Rounding.BatchSize, c.Correction.Steps, c.Scales.Images, c.Scales.Candidates = 6, 8, 4, 8, 20
	return c
}

// prepare takes the steps up to the activation scales of unit u.
func prepare(t *testing.T, q *pdq.Quantizer, u int) (pdq.Student, *pdq.UnitData) {
	teacher, err := q.Teacher(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := q.WeightScales(t.Context(), pdq.Student{})
	if err != nil {
		t.Fatal(err)
	}
	var d *pdq.UnitData
	for k := range u + 1 {
		if d, err = q.Observe(t.Context(), s, teacher, k, d); err != nil {
			t.Fatal(err)
		}
		if s, err = q.ActivationScales(t.Context(), s, d); err != nil {
			t.Fatal(err)
		}
	}
	return s, d
}

// roundedDown returns the levels of the weight w [O,...] rounded down.
func roundedDown(t *testing.T, wq pdq.WeightQuant, w *tensors.Tensor) []uint8 {
	flat, err := tensors.CopyFlatData[float32](w)
	if err != nil {
		t.Fatal(err)
	}
	levels, per := make([]uint8, len(flat)), len(flat)/len(wq.Scale)
	for i, x := range flat {
		o := i / per
		level := math.Floor(float64(x/wq.Scale[o])) + float64(wq.Zero[o])
		levels[i] = uint8(min(max(level, 0), float64(int(1)<<wq.Bits-1)))
	}
	return levels
}

func total(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// TestWeightAndOutput looks at a student with scales: each count includes all values, and counts agree.
func TestWeightAndOutput(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		q, err := pdq.New(b, tinyProblem(t, 20), tinyConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := prepare(t, q, 1)
		_, weights := q.Folded()
		for layer := range s.Weights {
			v, err := look.Weight(q, s, layer)
			if err != nil {
				t.Fatal(err)
			}
			size := weights[layer+".weight"].Size()
			if total(v.Values.Counts) != size || total(v.Levels) != size || len(v.Levels) != 1<<v.Quant.Bits ||
				v.Flipped != 0 || len(v.Channel) != v.Shape[0] {
				t.Errorf("%s: %+v", layer, v)
			}
			if v.SNR < slices.Min(v.Channel) || v.SNR > slices.Max(v.Channel) || v.Quant.Bits == 8 && v.SNR < 30 {
				t.Errorf("%s: signal to noise %g, by channel %v", layer, v.SNR, v.Channel)
			}
			wq := s.Weights[layer]
			wq.Levels = roundedDown(t, wq, weights[layer+".weight"]) // some aren't rounded to nearest
			other := pdq.Student{Weights: map[string]pdq.WeightQuant{layer: wq}}
			if v, err = look.Weight(q, other, layer); err != nil || v.Flipped == 0 || v.Flipped == size {
				t.Errorf("%s rounded down: %d of %d flipped, error %v", layer, v.Flipped, size, err)
			}
		}
		for layer := range s.Acts {
			v, err := look.Output(t.Context(), q, s, layer, 7)
			if err != nil {
				t.Fatal(err)
			}
			if v.Images != 7 || total(v.Values.Counts) != total(v.Levels) || total(v.Levels)%7 != 0 ||
				v.Clipped > total(v.Levels) || !(v.SNR > 0) {
				t.Errorf("%s: %+v", layer, v)
			}
		}
		if v, err := look.Weight(q, pdq.Student{}, "fc"); err != nil || v.Levels != nil || total(v.Values.Counts) == 0 {
			t.Errorf("not quantised: %+v, error %v", v, err)
		}
		if _, err := look.Weight(q, s, "nothing"); err == nil {
			t.Error("no error for an unknown layer")
		}
		if _, err := look.Output(t.Context(), q, s, "nothing", 7); err == nil {
			t.Error("no error for an unknown layer")
		}
	})
}

// TestSweep: the point with the least Lp has the scale that the search of scales finds.
func TestSweep(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		c.Scales.Candidates, c.Scales.Images = 10, 20
		q, err := pdq.New(b, tinyProblem(t, 20), c)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := prepare(t, q, 1)
		n, _ := q.Folded()
		unit := n.Units[1]
		for _, l := range n.Layers[unit.First : unit.Last+1] {
			if a, ok := s.Acts[l.Name]; ok {
				sweep, err := look.SweepOutput(t.Context(), q, s, l.Name, 20, 10)
				if err != nil {
					t.Fatal(err)
				}
				checkSweep(t, l.Name, sweep, float64(a.Scale))
			}
			if w, ok := s.Weights[l.Name]; ok {
				sweep, err := look.SweepWeight(t.Context(), q, s, l.Name, 20, 10)
				if err != nil {
					t.Fatal(err)
				}
				checkSweep(t, l.Name, sweep, 0)
				if last := sweep[9]; last.Scale < float64(w.Scale[0])*0.999 {
					t.Errorf("%s: the full range's scale is %g, below the searched %g", l.Name, last.Scale, w.Scale[0])
				}
			}
		}
		if _, err := look.SweepOutput(t.Context(), q, s, "conv1", 20, 10); err == nil {
			t.Error("no error for an output that isn't quantised")
		}
		if _, err := look.SweepWeight(t.Context(), q, s, "relu", 20, 10); err == nil {
			t.Error("no error for a layer without weight")
		}
		for _, points := range []int{-1, 0, 1001, math.MaxInt} {
			if _, err := look.SweepOutput(t.Context(), q, s, "relu", 20, points); !refused(err, points) {
				t.Errorf("output, %d points: error %v", points, err)
			}
			if _, err := look.SweepWeight(t.Context(), q, s, "conv1", 20, points); !refused(err, points) {
				t.Errorf("weight, %d points: error %v", points, err)
			}
		}
	})
}

// refused says whether err names the number that is out of range.
func refused(err error, n int) bool {
	return err != nil && strings.Contains(err.Error(), fmt.Sprint(n))
}

// checkSweep checks that all numbers are in range and, unless scale is 0, that the point with the least Lp has it.
func checkSweep(t *testing.T, layer string, sweep []look.SweepPoint, scale float64) {
	t.Helper()
	best := sweep[0]
	for i, p := range sweep {
		if p.Fraction != float64(i+1)/10 || !(p.Scale > 0 && p.MSE >= 0 && p.Lp >= 0 && p.Cosine > -1e-6 && p.PD > -1e-6) {
			t.Errorf("%s: point %d is %+v", layer, i, p)
		}
		if p.Lp < best.Lp {
			best = p
		}
	}
	if scale != 0 && math.Abs(best.Scale-scale) > 1e-5*scale {
		t.Errorf("%s: the least Lp is at scale %g, the search ended at %g", layer, best.Scale, scale)
	}
}

// TestDifferences: in full precision no unit differs; with one quantiser, its unit and those after it differ.
func TestDifferences(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		q, err := pdq.New(b, tinyProblem(t, 20), tinyConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := prepare(t, q, 1)
		none, err := look.Differences(t.Context(), q, pdq.Student{}, 8)
		if err != nil {
			t.Fatal(err)
		}
		one, err := look.Differences(t.Context(), q,
			pdq.Student{Weights: map[string]pdq.WeightQuant{"layer2.0.conv1": s.Weights["layer2.0.conv1"]}}, 8)
		if err != nil {
			t.Fatal(err)
		}
		for u, d := range none {
			if !math.IsInf(d.SNR, 1) {
				t.Errorf("%s: signal to noise %g in full precision", d.Unit, d.SNR)
			}
			if exact := math.IsInf(one[u].SNR, 1); exact != (u < 2) {
				t.Errorf("%s: signal to noise %g with layer2.0.conv1 quantised", d.Unit, one[u].SNR)
			}
		}
		var shares float64
		for i, c := range one[2].Channels {
			shares += c.Share
			if i > 0 && c.Share > one[2].Channels[i-1].Share {
				t.Errorf("channels aren't in order: %+v", one[2].Channels)
			}
		}
		if math.Abs(shares-1) > 1e-9 {
			t.Errorf("the channels' shares sum to %g", shares)
		}
	})
}

// TestSensitivities: each sensitivity is that of a student with this quantiser only.
func TestSensitivities(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		q, err := pdq.New(b, tinyProblem(t, 20), tinyConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		s, _ := prepare(t, q, 1)
		all, err := look.Sensitivities(t.Context(), q, s, 20)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != len(s.Weights)+len(s.Acts) {
			t.Errorf("%d sensitivities of %d weights and %d outputs", len(all), len(s.Weights), len(s.Acts))
		}
		full, err := q.Evaluate(t.Context(), pdq.Student{}, q.Problem().Calibration)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range all {
			if x.PD < -1e-6 || i > 0 && x.PD > all[i-1].PD {
				t.Errorf("%+v after %+v", x, all[max(i-1, 0)])
			}
			one := pdq.Student{Weights: map[string]pdq.WeightQuant{}, Acts: map[string]pdq.ActQuant{}}
			if x.Output {
				one.Acts[x.Layer] = s.Acts[x.Layer]
			} else {
				one.Weights[x.Layer] = s.Weights[x.Layer]
			}
			score, err := q.Evaluate(t.Context(), one, q.Problem().Calibration)
			if err != nil {
				t.Fatal(err)
			}
			other := 0.0
			for k := range full.Top1 {
				if full.Top1[k] != score.Top1[k] {
					other++
				}
			}
			if other/20 > x.Changed+1e-9 { // an image that is wrong both times may have different classes
				t.Errorf("%+v: %g of 20 images changed between right and wrong", x, other)
			}
		}
	})
}

// TestNorms: the distances before correction sum to the loss at which Correct starts, and correction lowers them.
func TestNorms(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		q, err := pdq.New(b, tinyProblem(t, 20), tinyConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		_, d := prepare(t, q, 1)
		var first float64
		q.Progress = func(e pdq.Event) {
			if e.Step == pdq.StepCorrect && e.Done == 1 {
				first = e.Loss.Correction
			}
		}
		corrected, err := q.Correct(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		views, err := look.Norms(t.Context(), q, corrected, 20)
		if err != nil {
			t.Fatal(err)
		}
		var before, after float64
		for _, v := range views {
			before, after = before+v.Before.Distance, after+v.After.Distance
			if len(v.Mean) != 4 || len(v.Before.Mean) != 4 || len(v.After.Deviation) != 4 || slices.Min(v.Before.Deviation) < 0 {
				t.Errorf("%+v", v)
			}
		}
		if len(views) != 2 || math.Abs(before-first) > 1e-4*first || after >= before {
			t.Errorf("%d normalisations, distance %g before and %g after; the loss began at %g",
				len(views), before, after, first)
		}
		if views, err = look.Norms(t.Context(), q, d, 20); err != nil || views[0].Before.Distance != views[0].After.Distance {
			t.Errorf("before correction %+v, error %v", views, err)
		}
		fresh, err := look.TeacherNorms(t.Context(), q, d.Unit, 20)
		if err != nil || len(fresh) != len(views) {
			t.Fatalf("without data %+v, error %v", fresh, err)
		}
		for i, v := range views {
			if got, want := fresh[i].Before.Distance,
				v.Before.Distance; fresh[i].Layer != v.Layer || math.Abs(got-want) > 1e-5*want {
				t.Errorf("%s: distance %g without data, want %g", v.Layer, got, want)
			}
		}
		if _, err := look.TeacherNorms(t.Context(), q, 99, 20); err == nil {
			t.Error("unit 99 has normalisations")
		}
	})
}

// TestNothing: it is an error to ask for no images or no points.
func TestNothing(t *testing.T) {
	q, err := pdq.New(testbackend.Any(t), tinyProblem(t, 8), tinyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	s, d := prepare(t, q, 1)
	ctx, images := t.Context(), "look: %d images; give at least one"
	for _, n := range []int{0, -1} {
		for _, c := range []struct {
			what, want string
			look       func() error
		}{
			{"Differences", images, func() error { _, err := look.Differences(ctx, q, s, n); return err }},
			{"Sensitivities", images, func() error { _, err := look.Sensitivities(ctx, q, s, n); return err }},
			{"Output", images, func() error { _, err := look.Output(ctx, q, s, "layer1.0.relu1", n); return err }},
			{"Norms", images, func() error { _, err := look.Norms(ctx, q, d, n); return err }},
			{"TeacherNorms", images, func() error { _, err := look.TeacherNorms(ctx, q, 1, n); return err }},
			{"SweepOutput", images, func() error { _, err := look.SweepOutput(ctx, q, s, "layer1.0.relu1", n, 10); return err }},
			{"SweepWeight", images, func() error { _, err := look.SweepWeight(ctx, q, s, "layer1.0.conv1", n, 10); return err }},
			{"SweepOutput", "look: a sweep of %d points; give 1 to 1000",
				func() error { _, err := look.SweepOutput(ctx, q, s, "layer1.0.relu1", 8, n); return err }},
			{"SweepWeight", "look: a sweep of %d points; give 1 to 1000",
				func() error { _, err := look.SweepWeight(ctx, q, s, "layer1.0.conv1", 8, n); return err }},
		} {
			t.Run(fmt.Sprintf(c.what+" of "+c.want, n), func(t *testing.T) {
				if err, want := c.look(), fmt.Sprintf(c.want, n); err == nil || err.Error() != want {
					t.Errorf("error %v, want %q", err, want)
				}
			})
		}
	}
}

func TestNewHistogramNonFinite(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := look.NewHistogram([]float32{1, float32(v), 2}, 4)
		if want := fmt.Sprintf("value 1 of a histogram is %g", v); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestNewHistogramLimit(t *testing.T) {
	for _, bins := range []int{1<<16 + 1, math.MaxInt} {
		if _, err := look.NewHistogram([]float32{1}, bins); !refused(err, bins) {
			t.Errorf("%d bins: error %v", bins, err)
		}
	}
}

func TestNewHistogram(t *testing.T) {
	for _, c := range []struct {
		x    []float32
		bins int
		want look.Histogram
	}{
		{[]float32{0, 1, 2, 4}, 4, look.Histogram{0, 4, []int{1, 1, 1, 1}}},
		{[]float32{3, 3}, 2, look.Histogram{3, 3, []int{2, 0}}},
		{nil, 2, look.Histogram{0, 0, []int{0, 0}}},
		{[]float32{1, 2}, 0, look.Histogram{1, 2, []int{}}},
		{[]float32{1, 2}, -1, look.Histogram{1, 2, []int{}}},
		{nil, 0, look.Histogram{0, 0, []int{}}},
	} {
		t.Run(fmt.Sprint(len(c.x), " values, ", c.bins, " bins"), func(t *testing.T) {
			if got, err := look.NewHistogram(c.x, c.bins); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, error %v, want %+v", got, err, c.want)
			}
		})
	}
}

// TestPrefixes: each is the student that lacks the quantisers of later units, and the last one is the student.
func TestPrefixes(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		q, err := pdq.New(b, tinyProblem(t, 20), tinyConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := q.Folded()
		s, _ := prepare(t, q, 1)
		for layer := range s.Weights {
			if n.Index(layer) > n.Units[1].Last {
				delete(s.Weights, layer)
			}
		}
		images := q.Problem().Calibration
		all, err := look.Prefixes(t.Context(), q, s, images)
		if err != nil || len(all) != 2 || all[0].Unit != n.Units[0].Name || all[1].Unit != n.Units[1].Name {
			t.Fatalf("error %v, prefixes %+v of a student with two units", err, all)
		}
		first := pdq.Student{Weights: map[string]pdq.WeightQuant{}, Acts: map[string]pdq.ActQuant{}}
		for _, l := range n.Layers[:n.Units[0].Last+1] {
			if w, ok := s.Weights[l.Name]; ok {
				first.Weights[l.Name] = w
			}
			if a, ok := s.Acts[l.Name]; ok {
				first.Acts[l.Name] = a
			}
		}
		for i, of := range []pdq.Student{first, s} {
			score, each, err := q.Compare(t.Context(), of, images)
			if err != nil {
				t.Fatal(err)
			}
			if pd := stat.Mean(each, nil); math.Abs(pd-all[i].PD) > 1e-9 || !slices.Equal(score.Top1, all[i].Score.Top1) {
				t.Errorf("%s: PD %g instead of %g", all[i].Unit, all[i].PD, pd)
			}
		}
		if !(all[1].PD > all[0].PD) {
			t.Errorf("PD %g with two units, %g with one", all[1].PD, all[0].PD)
		}
	})
}
