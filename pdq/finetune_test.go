package pdq

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// fineTunerOf prepares the fine-tuning of s, which is closed at the end of the test.
func fineTunerOf(t *testing.T, q *Quantizer, s Student) *fineTuner {
	t.Helper()
	tn, err := q.newFineTuner(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tn.close)
	return tn
}

// tuned returns a problem, a configuration with fine-tuning, and a student with all units finished.
func tuned(t *testing.T, b compute.Backend) (Problem, Config, Student) {
	p, c := tinyProblem(t, 20), tinyConfig(t)
	rng := rand.New(rand.NewPCG(1, 0))
	for _, name := range slices.Sorted(maps.Keys(p.Weights)) {
		if strings.HasSuffix(name, ".bias") { // as in a trained network
			bias := make([]float32, p.Weights[name].Size())
			for i := range bias {
				bias[i] = float32(0.3 * rng.NormFloat64())
			}
			p.Weights[name] = tensors.FromFlatDataAndDimensions(bias, len(bias))
		}
	}
	s := quantize(t, b, p, c)
	c.FineTune = FineTuneConfig{Steps: 30, BatchSize: 16, LearningRate: 0.02, ScaleLearningRate: 0.005,
		BiasLearningRate: 0.01, Features: 0.5, Flip: 0.5, Shift: 2, Mix: 0.5}
	return p, c, s
}

// TestFineTune: the loss falls, the result is a valid student, and variables without a learning rate stay.
func TestFineTune(t *testing.T) {
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		p, c, s := tuned(t, b)
		for i, rates := range [][3]float64{{0.02, 0.005, 0.01}, {0.02, 0, 0}, {0, 0.005, 0}, {0, 0, 0.01}, {0, 0, 0}} {
			if testing.Short() && i > 0 {
				break
			}
			c.FineTune.LearningRate, c.FineTune.ScaleLearningRate, c.FineTune.BiasLearningRate = rates[0], rates[1], rates[2]
			q := quantizerOf(t, b, p, c)
			var losses []float64
			var warned string
			q.Warn = func(text string) { warned = text }
			q.Progress = func(e Event) {
				if e.Step == StepFineTune {
					losses = append(losses, e.Loss.Total())
				}
			}
			got, err := q.FineTune(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.fits(got); err != nil {
				t.Error(err)
			}
			same := reflect.DeepEqual(got, s)
			if floats.Sum(rates[:]) == 0 { // nothing to do
				if !same || warned != "" || len(losses) > 0 {
					t.Errorf("no rates: unchanged: %t, warning %q, %d steps", same, warned, len(losses))
				}
				continue
			}
			if same != strings.HasPrefix(warned, "fine-tuning changed nothing") {
				t.Errorf("rates %v: unchanged: %t, warning %q", rates, same, warned)
			}
			first, last := mean(losses[:10]), mean(losses[len(losses)-10:])
			if len(losses) != 30 || last >= first {
				t.Errorf("rates %v: %d losses, %g at first, %g at last", rates, len(losses), first, last)
			}
			for name, w := range got.Weights {
				was := s.Weights[name]
				if scaled := !slices.Equal(w.Scale, was.Scale); scaled != (rates[1] > 0) || !slices.Equal(w.Zero, was.Zero) ||
					slices.Min(w.Scale) <= 0 {
					t.Errorf("rates %v: the scales of %s changed: %t", rates, name, scaled)
				}
				if rates[0] == 0 && !slices.Equal(w.Levels, was.Levels) {
					t.Errorf("rates %v: the levels of %s changed", rates, name)
				}
				if (w.Bias != nil) != (rates[2] > 0) {
					t.Errorf("rates %v: the bias of %s is %v", rates, name, w.Bias)
				}
			}
		}
	})
}

// TestFineTuneWorse: a student whose predictions moved away from the teacher's is given up, and that is said.
func TestFineTuneWorse(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	c.FineTune.Steps, c.FineTune.ScaleLearningRate = 3, 2
	q := quantizerOf(t, b, p, c)
	var warned string
	q.Warn = func(text string) { warned = text }
	got, err := q.FineTune(t.Context(), s)
	if err != nil || !reflect.DeepEqual(got, s) || !strings.HasPrefix(warned, "fine-tuning changed nothing") {
		t.Errorf("changed: %t, warning %q, error %v", !reflect.DeepEqual(got, s), warned, err)
	}
}

func mean(xs []float64) float64 {
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// TestFineTuneStudent: the trained student's predictions are those of the graph that trains it, also if training starts
// from a student with biases.
func TestFineTuneStudent(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	c.FineTune.BatchSize, c.FineTune.BiasLearningRate = p.Calibration.Len(), 0.05
	q := quantizerOf(t, b, p, c)
	for round := range 2 {
		tn, err := q.newFineTuner(s)
		if err != nil {
			t.Fatal(err)
		}
		defer tn.close()
		if _, err := tn.Steps(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		compiled, err := NewExec(b, func(args []*Node) []*Node { return tn.opt.gradients(tn.losses, args) })
		if err != nil {
			t.Fatal(err)
		}
		defer compiled.Finalize()
		x, err := exec.Normalised{Images: p.Calibration}.Tensor(0, p.Calibration.Len())
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Call(compiled, tn.opt.read(), []*tensors.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		trained := float64(tensors.MustCopyFlatData[float32](out[len(out)-1])[1])
		if s, err = tn.student(); err != nil {
			t.Fatal(err)
		}
		difference := func(s Student) float64 {
			d, err := tn.q.meanDifference(t.Context(), s, exec.Normalised{Images: p.Calibration})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := difference(s); math.Abs(d-trained) > 1e-4*trained {
			t.Errorf("round %d: the prediction difference is %g, but %g in training", round, d, trained)
		}
		unbiased := s.clone()
		for name, w := range s.Weights {
			w.Bias = nil
			unbiased.Weights[name] = w
		}
		if d := difference(unbiased); math.Abs(d-trained) < 1e-3*trained {
			t.Errorf("round %d: with the teacher's biases the prediction difference is %g too", round, d)
		}
	}
}

// TestRoundBiased: rounding a unit of a student with biases uses these biases.
func TestRoundBiased(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	q := quantizerOf(t, b, p, c)
	d := firstData(t, q, s)
	own := tensors.MustCopyFlatData[float32](q.weights["conv1.bias"])
	loss := func(bias []float32) float64 {
		biased := s.clone()
		w := s.Weights["conv1"]
		w.Bias = bias
		biased.Weights["conv1"] = w
		r, err := q.NewRounder(biased, d)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		l, err := r.Steps(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return l.Reconstruction
	}
	teachers := loss(nil)
	if same := loss(own); same != teachers {
		t.Errorf("with the teacher's biases, given or not, the loss is %g and %g", same, teachers)
	}
	if other := loss(slices.Repeat([]float32{-9}, len(own))); math.Abs(other-teachers) < 0.1*teachers {
		t.Errorf("with biases far off the loss is %g too", other)
	}
}

// TestFineTuneDiverges: if fine-tuning makes a student worse, the student before is returned, also when states are
// saved.
func TestFineTuneDiverges(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	c.FineTune.LearningRate, c.FineTune.Mix = 5, 0
	q := quantizerOf(t, b, p, c)
	if got, err := q.FineTune(t.Context(), s); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("the student changed: %t, error %v", !reflect.DeepEqual(got, s), err)
	}
	tn := fineTunerOf(t, q, s)
	if _, err := tn.Steps(t.Context(), c.FineTune.Steps); err != nil {
		t.Fatal(err)
	}
	worse, err := tn.student()
	if err != nil {
		t.Fatal(err)
	}
	images := exec.Normalised{Images: p.Calibration}
	before, err := q.meanDifference(t.Context(), s, images)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := q.meanDifference(t.Context(), worse, images); err != nil || after < before {
		t.Errorf("the prediction difference is %g, before %g: the test shows nothing, error %v", after, before, err)
	}
	if got, err := q.QuantizeFrom(t.Context(), State{Unit: len(p.Network.Units), Student: s}, Keeper{}); err != nil ||
		!reflect.DeepEqual(got, s) {
		t.Errorf("QuantizeFrom changes the student: %t, error %v", !reflect.DeepEqual(got, s), err)
	}
}

// TestFineTuneUnlabelled: calibration images need no labels.
func TestFineTuneUnlabelled(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	want, err := quantizerOf(t, b, p, c).FineTune(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	p.Calibration.Labels = slices.Repeat([]int32{datasets.Unlabelled}, p.Calibration.Len())
	got, err := quantizerOf(t, b, p, c).FineTune(t.Context(), s)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("without labels the student is another: %t, error %v", !reflect.DeepEqual(got, want), err)
	}
}

// TestFineTuneRates: the rates rise over the first part of the steps, and fall to 0.
func TestFineTuneRates(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	c.FineTune.Steps, c.FineTune.Warmup = 100, 0.1
	tn := fineTunerOf(t, quantizerOf(t, b, p, c), s)
	for done, share := range map[int]float64{0: 0.1, 4: 0.5 * (1 + math.Cos(0.04*math.Pi)) / 2,
		9: (1 + math.Cos(0.09*math.Pi)) / 2, 50: 0.5, 99: (1 + math.Cos(0.99*math.Pi)) / 2} {
		tn.opt.done = done
		got := tn.schedule()[scheduleOwn:]
		if math.Abs(float64(got[0])-0.02*share) > 1e-8 || math.Abs(float64(got[1])-0.005*share) > 1e-8 ||
			math.Abs(float64(got[2])-0.01*share) > 1e-8 {
			t.Errorf("after %d steps the rates are %g, not %g of 0.02, 0.005 and 0.01", done, got[:3], share)
		}
	}
}

// TestFineTuneGradient compares gradients with differences of the loss: for the logarithms of the last layer's weight
// scales and for its bias, in which the loss is smooth.
func TestFineTuneGradient(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	tn := fineTunerOf(t, quantizerOf(t, b, p, c), s)
	compiled, err := NewExec(b, func(args []*Node) []*Node { // of the values, from which the weights are derived
		n := len(tn.opt.vars)
		values, read := tn.opt.bind(args[:n]), slices.Clone(args)
		for i, v := range tn.opt.vars {
			if v.derive != nil {
				read[i] = Identity(StopGradient(v.derive(values))) // a StopGradient itself has gradient 0
			}
		}
		grads := tn.opt.gradients(tn.losses, read)
		tn.opt.chain(Scalar(args[0].Graph(), args[0].DType(), 0), values, grads[:n])
		return grads
	})
	if err != nil {
		t.Fatal(err)
	}
	defer compiled.Finalize()
	x, err := exec.Normalised{Images: p.Calibration}.Tensor(0, tn.opt.size)
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int, v []float32) (loss float64, grad []float32) {
		var vars []*tensors.Tensor
		for _, v := range tn.opt.vars {
			vars = append(vars, v.value)
		}
		vars[i] = tensors.FromFlatDataAndDimensions(slices.Clone(v), vars[i].Shape().Dimensions...)
		out, err := exec.Call(compiled, vars, []*tensors.Tensor{x})
		if err != nil {
			t.Fatal(err)
		}
		grad, err = tensors.CopyFlatData[float32](out[i])
		if err != nil {
			t.Fatal(err)
		}
		losses := tensors.MustCopyFlatData[float32](out[len(out)-1])
		return float64(losses[0]) + float64(losses[1]), grad
	}
	const step = 1e-2
	zero := make([]float32, 10)
	for what, i := range map[string]int{"scale": 2*len(tn.layers) - 1, "bias": len(tn.opt.vars) - 1} {
		_, grad := at(i, zero)
		for k := range zero {
			up, down := slices.Clone(zero), slices.Clone(zero)
			up[k], down[k] = step, -step
			above, _ := at(i, up)
			below, _ := at(i, down)
			want := (above - below) / (2 * step)
			if want == 0 || math.Abs(float64(grad[k])-want) > 1e-4+0.02*math.Abs(want) {
				t.Errorf("%s of channel %d: gradient %g, by differences %g", what, k, grad[k], want)
			}
		}
	}
}

// TestFineTuneStart: before the first step the student is the given one, whether its weights are rounded to nearest or
// not. With several workers the steps are nearly the same.
func TestFineTuneStart(t *testing.T) {
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		p, c, s := tuned(t, b)
		nearest := s.clone()
		for name, w := range s.Weights {
			w.Levels = nil
			nearest.Weights[name] = w
		}
		for _, s := range []Student{s, nearest} {
			var losses []float64
			for _, workers := range []int{1, 2} {
				c.Machine.Workers = workers
				q := quantizerOf(t, b, p, c)
				tn, err := q.newFineTuner(s)
				if err != nil {
					t.Fatal(err)
				}
				start, err := tn.student()
				if err != nil {
					t.Fatal(err)
				}
				for name, w := range s.Weights {
					same(t, name, start.Weights[name], w, q.weights[name+".weight"])
				}
				if !reflect.DeepEqual(start.Acts, s.Acts) {
					t.Error("other activations")
				}
				l, err := tn.Steps(t.Context(), 1)
				if err != nil {
					t.Fatal(err)
				}
				losses = append(losses, l.Total())
				tn.close()
			}
			if math.Abs(losses[0]-losses[1]) > 1e-4*losses[0] {
				t.Errorf("losses %g by one and two workers", losses)
			}
		}
	})
}

// TestAugmentGeometry: a linear gradient across an image stays linear. Its slope follows size and angle, and the middle
// of the image stays where it is.
func TestAugmentGeometry(t *testing.T) {
	const side = 32
	ramp := datasets.Images{Pixels: make([]uint8, side*side), Channels: 1, Height: side, Width: side, Mean: []float32{0},
		Std: []float32{1}, Labels: []int32{0}}
	for i := range ramp.Pixels {
		ramp.Pixels[i] = uint8(20 + 4*(i%side))
	}
	for _, c := range []FineTuneConfig{{Zoom: 0.4}, {Turn: math.Pi / 2}} {
		lengths := map[bool]int{}
		for step := range 20 {
			out, err := newAugmenter(ramp, Config{Seed: 1, FineTune: c}).batch(step, 1)
			if err != nil {
				t.Fatal(err)
			}
			at := func(x, y int) float64 { return float64(out.Pixels[y*side+x]) }
			middle := (at(15, 15) + at(16, 15) + at(15, 16) + at(16, 16)) / 4
			across, down := (at(20, 16)-at(11, 16))/9/4, (at(16, 20)-at(16, 11))/9/4
			length := math.Hypot(across, down)
			lengths[length > 1]++
			if math.Abs(middle-(20+4*15.5)) > 1 || c.Zoom == 0 && math.Abs(length-1) > 0.05 || c.Turn == 0 &&
				(math.Abs(down) > 0.05 || length < 1/1.4-0.05 || length > 1/0.6+0.05) {
				t.Errorf("%+v, step %d: %g in the middle, %g a pixel across and %g down", c, step, middle, across, down)
			}
		}
		if c.Zoom > 0 && (lengths[true] == 0 || lengths[false] == 0) {
			t.Errorf("of 20 images %d are smaller, %d larger", lengths[true], lengths[false])
		}
	}
}

func same(t *testing.T, name string, a, b WeightQuant, w *tensors.Tensor) {
	x, err := a.Dequantize(w)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Dequantize(w)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tensors.MustCopyFlatData[float32](x), tensors.MustCopyFlatData[float32](y)) {
		t.Errorf("%s has other values", name)
	}
}

func TestFineTuneErrors(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	q := quantizerOf(t, b, p, c)
	_, err := q.FineTune(t.Context(), Student{})
	checkError(t, "nothing quantised", err, "pdq: fine-tuning: the weight of conv1 isn't quantised; take the units first")
	delete(s.Acts, "relu")
	_, err = q.FineTune(t.Context(), s)
	checkError(t, "an output in full precision", err, "the output of relu isn't quantised")
	c.FineTune.BatchSize, c.FineTune.Mix, c.FineTune.Warmup = 0, 2, 1
	checkError(t, "bad settings", c.Validate(), "FineTune.BatchSize is 0", "FineTune.Mix is 2", "FineTune.Warmup is 1")
	c.FineTune = FineTuneConfig{Steps: 1, BatchSize: 1, BiasLearningRate: -1, Features: -1, Zoom: 1, Turn: -1, Light: 1.5,
		Flip: -1}
	checkError(t, "bad changes of images", c.Validate(), "FineTune's learning rates are 0, 0 and -1",
		"FineTune.Features is -1", "FineTune.Flip is -1", "FineTune.Zoom is 1", "FineTune.Turn is -1",
		"FineTune.Light is 1.5")
}

// TestAugment: images are mirrored, moved and mixed as configured, in the same way each time.
func TestAugment(t *testing.T) {
	images := tinyProblem(t, 8).Calibration
	batch := func(c FineTuneConfig, step int) []uint8 {
		out, err := newAugmenter(images, Config{Seed: 1, FineTune: c}).batch(step, 8)
		if err != nil {
			t.Fatal(err)
		}
		return out.Pixels
	}
	plain := batch(FineTuneConfig{}, 3)
	if got := slices.Sorted(slices.Values(plain)); !slices.Equal(got, slices.Sorted(slices.Values(images.Pixels))) {
		t.Error("a batch of all images, as they are, has other pixels")
	}
	mirrored := batch(FineTuneConfig{Flip: 1}, 3)
	moved := batch(FineTuneConfig{Shift: 3}, 3)
	mixed := batch(FineTuneConfig{Mix: 1}, 3)
	own := 0
	for i := range plain {
		row := i - i%28
		if mirrored[i] != plain[row+27-i%28] {
			t.Fatalf("pixel %d isn't mirrored", i)
		}
		if mixed[i] == plain[i] {
			own++
		}
	}
	if slices.Equal(moved, plain) || slices.Equal(mixed, plain) || own < len(plain)/4 {
		t.Errorf("moved or mixed images are unchanged, or %d of %d pixels are their own", own, len(plain))
	}
	if far := batch(FineTuneConfig{Shift: math.MaxInt}, 3); len(far) != len(plain) {
		t.Errorf("%d pixels moved out of sight, %d as they are", len(far), len(plain))
	}
	all := FineTuneConfig{Flip: 0.5, Shift: 3, Zoom: 0.3, Turn: 0.3, Light: 0.3, Mix: 0.5}
	if !slices.Equal(batch(all, 7), batch(all, 7)) || slices.Equal(batch(all, 7), batch(all, 8)) {
		t.Error("the same step draws other images, or another step the same images")
	}
	for name, c := range map[string]FineTuneConfig{"in another light": {Light: 0.5}, "of another size": {Zoom: 0.5},
		"turned": {Turn: 0.5}} {
		if slices.Equal(batch(c, 3), plain) {
			t.Errorf("images %s are as they were", name)
		}
	}
	both, err := withMirrored(images)
	if err != nil {
		t.Fatal(err)
	}
	n := len(images.Pixels)
	if both.Len() != 16 || !slices.Equal(both.Pixels[:n], images.Pixels) {
		t.Errorf("%d images: not the 8 and 8 others after them", both.Len())
	}
	for i, p := range both.Pixels[n:] {
		if p != images.Pixels[i-i%28+27-i%28] {
			t.Fatalf("pixel %d of the copies isn't mirrored", i)
		}
	}
	if !slices.Equal(images.Pixels, tinyProblem(t, 8).Calibration.Pixels) {
		t.Error("the calibration images were changed")
	}
}

// TestAugmentValues: images that are kept as numbers are changed as those of bytes are.
func TestAugmentValues(t *testing.T) {
	images := tinyProblem(t, 8).Calibration
	images.Pixels[0], images.Pixels[1] = 0, 255 // the limits that pixels have
	values := images
	values.Pixels, values.Values, values.Mean, values.Std = nil, make([]float32, len(images.Pixels)), nil, nil
	for i, p := range images.Pixels {
		values.Values[i] = float32(p)
	}
	differ := func(pixels []uint8, values []float32) (most float64) {
		for i, v := range values {
			most = max(most, math.Abs(float64(v)-float64(pixels[i])))
		}
		return most
	}
	c := Config{Seed: 1, FineTune: FineTuneConfig{Flip: 0.5, Shift: 2, Zoom: 0.2, Turn: 0.1, Light: 0.3, Mix: 0.5}}
	for step := range 4 {
		a, err := newAugmenter(images, c).batch(step, 8)
		b, err2 := newAugmenter(values, c).batch(step, 8)
		if err = errors.Join(err, err2, b.Validate()); err != nil {
			t.Fatal(err)
		}
		if most := differ(a.Pixels, b.Values); len(b.Values) != len(a.Pixels) || most > 0.51 {
			t.Errorf("step %d: values differ by up to %g", step, most)
		}
	}
	a, err := withMirrored(images)
	b, err2 := withMirrored(values)
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if most := differ(a.Pixels, b.Values); len(b.Values) != len(a.Pixels) || most > 0 {
		t.Errorf("mirrored: values differ by up to %g", most)
	}
}

// TestFinishedRun: a run that is finished stays as it is; fine-tuning doesn't begin again from what it made.
func TestFinishedRun(t *testing.T) {
	b := anyBackend(t)
	p, c, _ := tuned(t, b)
	for _, keeps := range []bool{false, true} {
		r := &Run{Quantizer: quantizerOf(t, b, p, c)}
		if keeps {
			r.Keeper = Keeper{Every: 7, Keep: func(State) error { return nil }}
		}
		if err := Quantize(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := r.Quantizer.WriteState(&file, r.State); err != nil {
			t.Fatal(err)
		}
		read, err := r.Quantizer.ReadState(&file)
		if err != nil {
			t.Fatal(err)
		}
		r.Quantizer.Progress = func(e Event) { t.Fatalf("step %v again", e.Step) }
		if again, err := r.Quantizer.QuantizeFrom(t.Context(), read, r.Keeper); err != nil ||
			!reflect.DeepEqual(again, r.Student) {
			t.Errorf("keeps %v: another student, error %v", keeps, err)
		}
	}
}

// TestFineTuneTrainedBiases: trained biases count where they aren't trained any more.
func TestFineTuneTrainedBiases(t *testing.T) {
	b := anyBackend(t)
	p, c, s := tuned(t, b)
	c.FineTune = FineTuneConfig{Steps: 1, BatchSize: p.Calibration.Len(), ScaleLearningRate: 1e-9}
	for name, wq := range s.Weights {
		wq.Bias = slices.Repeat([]float32{0.5}, len(wq.Scale))
		s.Weights[name] = wq
	}
	q := quantizerOf(t, b, p, c)
	want, err := q.meanDifference(t.Context(), s, exec.Normalised{Images: p.Calibration})
	if err != nil {
		t.Fatal(err)
	}
	q.Progress = func(e Event) {
		if e.Step == StepFineTune && math.Abs(e.Loss.PD-want) > 1e-4*want {
			t.Errorf("the loss begins at %g, want the student's %g", e.Loss.PD, want)
		}
	}
	if _, err := q.FineTune(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}
