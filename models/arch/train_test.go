package arch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/train"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models"
)

// few returns 128 training images.
func few(t testing.TB) datasets.Images {
	t.Helper()
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	return pool.Slice(0, 128)
}

func narrow(t testing.TB) *models.Network {
	t.Helper()
	n, err := ResNet(ResNetConfig{Blocks: 1, Width: 4, Input: SquareInput(1, 28, 10)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// handful returns the settings of a training with 20 steps on few's images.
func handful() TrainConfig {
	return TrainConfig{Epochs: 5, BatchSize: 32, LearningRate: 1e-2, WeightDecay: 0.02, Warmup: 0.2, Shift: 1, Seed: 1}
}

// onLoss calls f after each step with its loss.
func onLoss(f func(loss float64) error) func(*train.Loop) {
	return func(loop *train.Loop) {
		loop.OnStep("loss", 1, func(_ *train.Loop, metrics []*tensors.Tensor) error {
			return f(float64(tensors.ToScalar[float32](metrics[0])))
		})
	}
}

func TestTrain(t *testing.T) {
	n, images := narrow(t), few(t)
	for name, b := range testbackend.All(t) {
		var losses []float64
		w, err := Train(t.Context(), b, n, images, handful(), onLoss(func(loss float64) error {
			losses = append(losses, loss)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Check(n); err != nil {
			t.Error(err)
		}
		if len(losses) != 20 {
			t.Fatalf("%s: %d steps, want 20", name, len(losses))
		}
		first, last := mean(losses[:4]), mean(losses[16:])
		if !(last < 0.8*first) {
			t.Errorf("%s: the loss goes from %g to %g: %v", name, first, last, losses)
		}
		start := models.Init(n, handful().Seed)
		for name, trained := range w {
			if slices.Equal(tensors.MustCopyFlatData[float32](trained), tensors.MustCopyFlatData[float32](start[name])) {
				t.Errorf("%s didn't change in training", name)
			}
		}
		for _, v := range tensors.MustCopyFlatData[float32](w["bn1.running_var"]) {
			if v <= 0 {
				t.Errorf("a running variance is %g", v)
			}
		}
	}
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// TestTrainStatistics compares the running statistics after one step with their definition: a tenth of the batch's,
// with the variance divided by the count minus one.
func TestTrainStatistics(t *testing.T) {
	n, images, c := narrow(t), few(t).Slice(0, 2), handful()
	c.Epochs, c.BatchSize = 1, 2
	w, err := Train(t.Context(), testbackend.All(t)["go"], n, images, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for batch, err := range (&augmented{images: images, c: c}).Iter() {
		if err != nil {
			t.Fatal(err)
		}
		y := forward(t, n, models.Init(n, c.Seed), batch.Inputs[0], 0, 0) // [2,4,28,28]
		mean, variance := nettest.Moments(nettest.Float64s(tensors.FromValue(y)), 2, 4)
		for i := range mean {
			const count = 2 * 28 * 28
			mean[i] *= 0.1
			variance[i] = 0.9 + 0.1*variance[i]*count/(count-1)
		}
		for name, want := range map[string][]float64{"bn1.running_mean": mean, "bn1.running_var": variance} {
			if e := nettest.RelativeError(tensors.MustCopyFlatData[float32](w[name]), want); !(e < 3e-6) {
				t.Errorf("%s has relative error %g", name, e)
			}
		}
		break
	}
}

func TestTrainRepeats(t *testing.T) {
	n, images := narrow(t), few(t)
	hash := func(seed uint64) string {
		c := handful()
		c.Epochs, c.Seed = 1, seed
		w, err := Train(t.Context(), testbackend.All(t)["go"], n, images, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, err := w.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	one := hash(1)
	if again := hash(1); again != one {
		t.Error("the same seed trains other weights on the Go backend")
	}
	if hash(2) == one {
		t.Error("another seed trains the same weights")
	}
}

func TestTrainCancelled(t *testing.T) {
	n, images, b := narrow(t), few(t), testbackend.All(t)["go"]
	for _, after := range []int{0, 2} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if after == 0 {
			cancel()
		}
		steps := 0
		_, err := Train(ctx, b, n, images, handful(), onLoss(func(float64) error {
			if steps++; steps == after {
				cancel()
			}
			return nil
		}))
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "training resnet8") {
			t.Errorf("cancelled after %d steps: %v", after, err)
		}
		if steps > after+1 {
			t.Errorf("%d steps done, though cancelled after %d", steps, after)
		}
	}
}

func TestTrainErrors(t *testing.T) {
	broken := errors.New("no paper")
	for _, c := range []struct {
		name   string
		change func(n *models.Network, images *datasets.Images, c *TrainConfig)
		want   string
	}{
		{"few images", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.BatchSize = 129 },
			"BatchSize is 129; it must be in [1,128], the number of images"},
		{"no images", func(_ *models.Network, i *datasets.Images, _ *TrainConfig) { *i = i.Slice(0, 0) }, "there are none"},
		{"no epochs", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.Epochs = 0 },
			"Epochs is 0; it must be >= 1"},
		{"no batches", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.BatchSize = 0 },
			"BatchSize is 0; it must be in [1,128]"},
		{"shift", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.Shift = -1 },
			"Shift is -1; it must be in [0,28)"},
		{"warm-up", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.Warmup = 1 },
			"Warmup is 1; it must be in [0,1)"},
		{"far shift", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.Shift = 28 }, "Shift is 28"},
		{"no rate", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.LearningRate = 0 },
			"LearningRate is 0; it must be > 0"},
		{"rate", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.LearningRate = math.Inf(1) },
			"LearningRate is +Inf"},
		{"decay", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.WeightDecay = math.NaN() },
			"WeightDecay is NaN; it must be >= 0"},
		{"two faults", func(_ *models.Network, _ *datasets.Images, c *TrainConfig) { c.Epochs, c.Warmup = 0, -1 },
			"Epochs is 0; it must be >= 1\nWarmup is -1"},
		{"size", func(n *models.Network, _ *datasets.Images, _ *TrainConfig) { n.Height = 32 },
			"are 1x28x28, but the network takes 1x32x28"},
		{"classes", func(n *models.Network, _ *datasets.Images, _ *TrainConfig) { n.Classes = 9 },
			"have 10 classes, but the network has 9"},
		{"structure", func(n *models.Network, _ *datasets.Images,
			_ *TrainConfig) {
			n.Layers[1].Inputs = []string{"nothing"}
		}, `"nothing"`},
	} {
		n, images, config := narrow(t), few(t), handful()
		c.change(n, &images, &config)
		_, err := Train(t.Context(), testbackend.All(t)["go"], n, images, config, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "arch: training resnet8") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Train(t.Context(), testbackend.All(t)["go"], narrow(t), few(t), handful(),
		onLoss(func(float64) error { return broken })); !errors.Is(err, broken) {
		t.Errorf("a hook's error: %v", err)
	}
}

func TestShiftImage(t *testing.T) {
	im := datasets.Images{Channels: 2, Height: 2, Width: 3, Mean: []float32{1, 2}, Std: []float32{2, 4}}
	flat := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for _, c := range []struct {
		dy, dx int
		mirror bool
		want   []float32 // black is -0.5 in both channels
	}{
		{0, 0, false, flat},
		{0, 0, true, []float32{3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10}},
		{1, 0, false, []float32{4, 5, 6, -0.5, -0.5, -0.5, 10, 11, 12, -0.5, -0.5, -0.5}},
		{-1, 2, false, []float32{-0.5, -0.5, -0.5, 3, -0.5, -0.5, -0.5, -0.5, -0.5, 9, -0.5, -0.5}},
		{0, 1, true, nil},
		{5, -5, true, slices.Repeat([]float32{-0.5}, 12)},
	} {
		got := shiftImage(flat, im, c.dy, c.dx, c.mirror)
		if c.want == nil { // mirrored first
			c.want = shiftImage(shiftImage(flat, im, 0, 0, true), im, c.dy, c.dx, false)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("shift by %d, %d, mirror %v: %v, want %v", c.dy, c.dx, c.mirror, got, c.want)
		}
	}
}

// TestAugmented draws two epochs, in whole batches: each has every image's label once.
func TestAugmented(t *testing.T) {
	images, c := few(t), handful()
	c.Shift = 0
	count := map[int32]int{}
	drawn := 0
	for batch, err := range (&augmented{images: images, c: c}).Iter() {
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(batch.Inputs[0].Shape().Dimensions,
			batch.Labels[0].Shape().Dimensions); got != "[32 1 28 28] [32 1]" {
			t.Fatalf("a batch has shapes %s", got)
		}
		for _, l := range tensors.MustCopyFlatData[int32](batch.Labels[0]) {
			count[l]++
		}
		if drawn++; drawn == 8 {
			break
		}
	}
	for _, l := range images.Labels {
		count[l] -= 2
	}
	for l, n := range count {
		if n != 0 {
			t.Errorf("label %d was drawn %d times too often", l, n)
		}
	}
}
