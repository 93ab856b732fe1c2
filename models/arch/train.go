package arch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"
	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ml/train/loss"
	"github.com/gomlx/gomlx/ml/train/optimizer"
	"github.com/gomlx/gomlx/ml/train/optimizer/cosineschedule"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
)

// TrainConfig are the settings of a teacher's training: AdamW with linear warm-up and cosine decay, on randomly shifted
// and mirrored images.
type TrainConfig struct {
	Epochs       int     // passes over the images, >= 1
	BatchSize    int     // images per step, in [1,images]; the last images of an epoch, if too few, are left out
	LearningRate float64 // AdamW's highest rate, after warm-up, > 0; it ends at 0
	WeightDecay  float64 // AdamW's: each step shrinks every weight by this times the rate, >= 0
	Warmup       float64 // fraction of the steps in which the rate rises from 0, in [0,1)
	Shift        int     // largest shift of an image along each axis, in pixels, in [0,image size)
	Seed         uint64  // of initial weights, order of images, shifts and mirroring
}

// DefaultTraining returns the settings of the shipped teachers, except for their epochs and seed.
func DefaultTraining() TrainConfig {
	return TrainConfig{Epochs: 8, BatchSize: 64, LearningRate: 3e-3, WeightDecay: 0.02, Warmup: 0.2, Shift: 1, Seed: 1}
}

// bnMomentum is the weight of a batch in the running statistics; PyTorch's default.
const bnMomentum = 0.1

// Train trains n from random weights on images and returns its weights. attach, if not nil, gets the training loop
// before it starts, to show progress. When ctx is cancelled, Train returns ctx's error.
func Train(ctx context.Context, b compute.Backend, n *models.Network, images datasets.Images, c TrainConfig,
	attach func(*train.Loop)) (models.Weights, error) {
	if err := c.check(n, images); err != nil {
		return nil, fmt.Errorf("arch: training %s: %w", n.Name, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("arch: training %s: %w", n.Name, err)
	}
	steps := c.Epochs * (images.Len() / c.BatchSize)
	store := model.NewStore()
	start := models.Init(n, c.Seed)
	for _, p := range n.Params() {
		v, err := store.CreateVariable("/"+p.Name, start[p.Name])
		if err != nil {
			return nil, fmt.Errorf("arch: training %s: tensor %q: %w", n.Name, p.Name, err)
		}
		v.SetTrainable(!p.Statistic)
	}
	warmup := int(c.Warmup * float64(steps))
	logits := func(scope *model.Scope, x *Node) *Node {
		cosineschedule.New(scope, x.Graph(), dtypes.Float32).LearningRate(c.LearningRate).
			PeriodInSteps(steps - warmup).WarmUpSteps(warmup).Done() // it ends at 0
		return trainingForward(n, store, x)
	}
	adam := optimizer.Adam().LearningRate(c.LearningRate).WeightDecay(c.WeightDecay).Done()
	trainer := train.NewTrainer(b, store, logits, loss.SparseCategoricalCrossEntropyLogits, adam, nil, nil)
	loop := train.NewLoop(trainer)
	loop.OnStep("context", 0, func(*train.Loop, []*tensors.Tensor) error { return ctx.Err() })
	if attach != nil {
		attach(loop)
	}
	if _, err := loop.RunSteps(&augmented{images: images, c: c}, steps); err != nil {
		return nil, fmt.Errorf("arch: training %s: %w", n.Name, err)
	}
	w := models.Weights{}
	for _, p := range n.Params() {
		t, err := store.GetVariable("/" + p.Name).Value()
		if err != nil {
			return nil, fmt.Errorf("arch: training %s: tensor %q: %w", n.Name, p.Name, err)
		}
		if w[p.Name], err = t.Clone(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// check reports all settings in c that are wrong for n and images, joined.
func (c TrainConfig) check(n *models.Network, images datasets.Images) error {
	if err := images.Validate(); err != nil {
		return err
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(images.Channels == n.Channels && images.Height == n.Height && images.Width == n.Width,
		"images of %s are %dx%dx%d, but the network takes %dx%dx%d",
		images.Name, images.Channels, images.Height, images.Width, n.Channels, n.Height, n.Width)
	check(len(images.Classes) <= n.Classes, "images of %s have %d classes, but the network has %d",
		images.Name, len(images.Classes), n.Classes)
	check(images.Labelled(), "images of %s have no labels", images.Name)
	check(c.Epochs >= 1, "Epochs is %d; it must be >= 1", c.Epochs)
	check(c.BatchSize >= 1 && c.BatchSize <= images.Len(),
		"BatchSize is %d; it must be in [1,%d], the number of images", c.BatchSize, images.Len())
	check(c.LearningRate > 0 && c.LearningRate < math.Inf(1), "LearningRate is %g; it must be > 0 and finite",
		c.LearningRate)
	check(c.WeightDecay >= 0 && c.WeightDecay < math.Inf(1), "WeightDecay is %g; it must be >= 0 and finite",
		c.WeightDecay)
	check(c.Warmup >= 0 && c.Warmup < 1, "Warmup is %g; it must be in [0,1)", c.Warmup)
	size := min(n.Height, n.Width)
	check(c.Shift >= 0 && c.Shift < size, "Shift is %d; it must be in [0,%d), the images' size", c.Shift, size)
	return errors.Join(append(errs, n.Validate())...)
}

// trainingForward computes n with the batch's statistics, and updates the running statistics.
func trainingForward(n *models.Network, store *model.Store, x *Node) *Node {
	h := models.Hooks{Param: func(name string) *Node { return store.GetVariable("/" + name).NodeValue(x) }}
	h.Norm = func(l models.Layer, bn models.BatchNorm, x *Node) *Node {
		y, mean, variance := models.NormalizeBatch(x, h.Param(l.Name+".weight"), h.Param(l.Name+".bias"), bn.Eps)
		count := float64(x.Shape().Size() / bn.Channels)
		move := func(name string, batch *Node) {
			v := store.GetVariable("/" + l.Name + name)
			v.SetNodeValue(Add(MulScalar(v.NodeValue(x), 1-bnMomentum), MulScalar(StopGradient(batch), bnMomentum)))
		}
		move(".running_mean", mean)
		move(".running_var", MulScalar(variance, count/(count-1)))
		return y
	}
	return n.Forward(x, 0, len(n.Layers)-1, h)
}

// augmented yields batches of shifted and mirrored images in random order, without end.
type augmented struct {
	images datasets.Images
	c      TrainConfig
}

// Name identifies the data set in GoMLX's messages.
func (a *augmented) Name() string { return a.images.Name }

// Iter yields batches. It prepares the next one while the current one is used.
func (a *augmented) Iter() iter.Seq2[train.Batch, error] {
	return func(yield func(train.Batch, error) bool) {
		batches, stop := make(chan train.Batch, 2), make(chan struct{})
		defer close(stop)
		go func() {
			rng := rand.New(rand.NewPCG(a.c.Seed, 1))
			for {
				order := rng.Perm(a.images.Len())
				for ; len(order) >= a.c.BatchSize; order = order[a.c.BatchSize:] {
					select {
					case batches <- a.batch(rng, order[:a.c.BatchSize]):
					case <-stop:
						return
					}
				}
			}
		}()
		for yield(<-batches, nil) {
		}
	}
}

func (a *augmented) batch(rng *rand.Rand, indices []int) train.Batch {
	im := a.images
	size := im.Channels * im.Height * im.Width
	pixels, labels := make([]float32, 0, size*len(indices)), make([]int32, len(indices))
	for i, k := range indices {
		flat := im.Floats(k, k+1)
		dy, dx := rng.IntN(2*a.c.Shift+1)-a.c.Shift, rng.IntN(2*a.c.Shift+1)-a.c.Shift
		pixels = append(pixels, shiftImage(flat, im, dy, dx, rng.IntN(2) == 1)...)
		labels[i] = im.Labels[k]
	}
	return train.Batch{
		Inputs: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(pixels, len(indices), im.Channels, im.Height, im.Width)},
		Labels: []*tensors.Tensor{tensors.FromFlatDataAndDimensions(labels, len(indices), 1)},
	}
}

// shiftImage moves one image [C,H,W] by dy and dx pixels, filling with black (Values with 0), and mirrors it if
// mirror is set.
func shiftImage(flat []float32, im datasets.Images, dy, dx int, mirror bool) []float32 {
	out := make([]float32, len(flat))
	h, w := im.Height, im.Width
	for c := range im.Channels {
		var black float32
		if im.Values == nil {
			black = -im.Mean[c] / im.Std[c]
		}
		for y := range h {
			for x := range w {
				sy, sx := y+dy, x+dx
				if mirror {
					sx = w - 1 - sx
				}
				v := black
				if sy >= 0 && sy < h && sx >= 0 && sx < w {
					v = flat[(c*h+sy)*w+sx]
				}
				out[(c*h+y)*w+x] = v
			}
		}
	}
	return out
}
