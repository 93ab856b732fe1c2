package pdq

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

func TestAtChance(t *testing.T) {
	score := func(right, n int) Score {
		s := Score{make([]bool, n)}
		for i := range right {
			s.Top1[i] = true
		}
		return s
	}
	for _, c := range []struct {
		right, n, classes int
		want              bool
	}{{0, 100, 1000, true}, {1, 100, 1000, true}, {2, 100, 1000, true}, {3, 100, 1000, false}, {10, 100, 10, true},
		{19, 100, 10, true}, {21, 100, 10, false},
		{0, 9, 1000, false}, {0, 10, 1000, true}, {90, 100, 10, false}} {
		if got := score(c.right, c.n).AtChance(c.classes); got != c.want {
			t.Errorf("%d of %d right among %d classes: at chance %v", c.right, c.n, c.classes, got)
		}
	}
}

// TestEvaluateStream: batches of any size, the last one smaller, give the score of all images at once.
func TestEvaluateStream(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p := tinyProblem(t, 21)
		forward := func(xs []*Node) []*Node {
			return []*Node{p.Network.Forward(xs[0], 0, len(p.Network.Layers)-1,
				models.Hooks{Param: exec.Constants(xs[0].Graph(), p.Weights)})}
		}
		var want Score
		for _, chunk := range []int{21, 4, 5, 20} {
			var seen []int
			run := exec.NewRunner(b, exec.Crew{Workers: 2}, p.Network)
			run.Chunk, run.Progress = chunk, func(done, _ int) { seen = append(seen, done) }
			got, _, err := evaluate(t.Context(), run, p.Network, forward, p.Calibration)
			if err != nil {
				t.Fatal(err)
			}
			if want.Top1 == nil {
				want = got
			}
			if !slices.Equal(got.Top1, want.Top1) || !slices.IsSorted(seen) || seen[len(seen)-1] != 21 {
				t.Errorf("chunks of %d: %v, want %v; progress %v", chunk, got.Top1, want.Top1, seen)
			}
		}
	})
}

// broken is a stream that fails after its first image.
type broken struct{ datasets.Images }

func (s broken) Batches(context.Context, int) iter.Seq2[datasets.Images, error] {
	return func(yield func(datasets.Images, error) bool) {
		_ = yield(s.Slice(0, 1), nil) && yield(datasets.Images{}, errors.New("a corrupt file"))
	}
}

func TestEvaluateBrokenStream(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p := tinyProblem(t, 3)
		test := func(images datasets.Stream) error {
			_, err := EvaluateTeacher(t.Context(), b, MachineConfig{}, p.Network, p.Weights, images, nil)
			return err
		}
		if err := test(broken{p.Calibration}); err == nil ||
			!strings.Contains(err.Error(), "a corrupt file") {
			t.Errorf("error %v", err)
		}
		small := p.Calibration
		small.Height, small.Pixels = 14, small.Pixels[:len(small.Pixels)/2]
		if err := test(small); err == nil ||
			err.Error() != "pdq: evaluation: images are 1x14x28, but resnet8 takes 1x28x28" {
			t.Errorf("images of another size: error %v", err)
		}
		unknown := p.Calibration
		unknown.Labels = []int32{0, datasets.Unlabelled, 0}
		if err := test(unknown); err == nil ||
			!strings.Contains(err.Error(), "have no labels; test on images that have") {
			t.Errorf("images without labels: error %v", err)
		}
	})
}

// TestCompare: differences are 0 while nothing is quantised, then those of the logits, and don't depend
// on the other images.
func TestCompare(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 20), tinyConfig(t)
		q := quantizerOf(t, b, p, c)
		_, none, err := q.Compare(t.Context(), Student{}, p.Calibration)
		if err != nil || len(none) != 20 || math.Abs(slices.Max(none)) > 1e-6 {
			t.Errorf("nothing is quantised, but the differences are %g, error %v", none, err)
		}
		s, err := q.WeightScales(t.Context(), Student{})
		if err != nil {
			t.Fatal(err)
		}
		score, all, err := q.Compare(t.Context(), s, p.Calibration)
		if err != nil {
			t.Fatal(err)
		}
		if alone, err := q.Evaluate(t.Context(), s, p.Calibration); err != nil || !slices.Equal(alone.Top1, score.Top1) {
			t.Errorf("score %v, by Evaluate %v, error %v", score, alone, err)
		}
		w, err := q.StudentWeights(s)
		if err != nil {
			t.Fatal(err)
		}
		x, err := exec.Normalised{Images: p.Calibration}.Tensor(0, 20)
		if err != nil {
			t.Fatal(err)
		}
		logits := MustExecOnceN(b, func(x *Node) []*Node {
			return []*Node{q.folded.Forward(x, 0, len(q.folded.Layers)-1,
				models.Hooks{Param: exec.Constants(x.Graph(), q.weights)}),
				q.folded.Forward(x, 0, len(q.folded.Layers)-1, models.Hooks{Param: exec.Constants(x.Graph(), w)})}
		}, x)
		teacher, student := tensors.MustCopyFlatData[float32](logits[0]), tensors.MustCopyFlatData[float32](logits[1])
		for i, d := range all {
			want, ps, qs := 0.0, softmax(teacher[10*i:10*i+10], c.Loss.Temperature),
				softmax(student[10*i:10*i+10], c.Loss.Temperature)
			for k, p := range ps {
				want += p * math.Log(p/qs[k])
			}
			if math.Abs(d-want) > 1e-5 {
				t.Errorf("image %d: %g, of its logits %g", i, d, want)
			}
		}
		_, some, err := q.Compare(t.Context(), s, p.Calibration.Slice(17, 20))
		if err != nil || len(some) != 3 || math.Abs(some[1]-all[18]) > 1e-5 {
			t.Errorf("of three images %g, among all %g, error %v", some, all[17:], err)
		}
		_, _, err = q.Compare(t.Context(), s, datasets.Images{})
		checkError(t, "no images", err, "pdq: evaluation: ", "no images to evaluate on")
		small := datasets.Images{Pixels: make([]uint8, 4), Channels: 1, Height: 2, Width: 2, Labels: []int32{0},
			Classes: []string{"a"}, Mean: []float32{0}, Std: []float32{1}}
		_, _, err = q.Compare(t.Context(), s, small)
		checkError(t, "small images", err, "are 1x2x2, but")
		q.c.Loss.Temperature = 0
		_, _, err = q.Compare(t.Context(), s, p.Calibration)
		checkError(t, "no temperature", err, "Loss.Temperature is 0")
	})
}
