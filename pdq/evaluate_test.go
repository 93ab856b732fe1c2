package pdq

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
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
	}{{0, 100, 1000, true}, {1, 100, 1000, true}, {2, 100, 1000, true}, {3, 100, 1000, false}, {10, 100, 10, true}, {19, 100, 10, true}, {21, 100, 10, false},
		{0, 9, 1000, false}, {0, 10, 1000, true}, {90, 100, 10, false}} {
		if got := score(c.right, c.n).AtChance(c.classes); got != c.want {
			t.Errorf("%d of %d right among %d classes: at chance %v", c.right, c.n, c.classes, got)
		}
	}
}

// TestEvaluateStream: batches of any size give the score of all images at once, the last and smaller one too.
func TestEvaluateStream(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p := tinyProblem(t, 21)
		forward := func(xs []*Node) []*Node {
			return []*Node{p.Network.Forward(xs[0], 0, len(p.Network.Layers)-1, models.Hooks{Param: constants(xs[0].Graph(), p.Weights)})}
		}
		var want Score
		for _, chunk := range []int{21, 4, 5, 20} {
			var seen []int
			got, err := evaluate(t.Context(), runner{b: b, workers: 2, chunk: chunk, keep: newRunner(b, 1, p.Network).keep,
				between: func(done, total int) { seen = append(seen, done); _ = total }}, p.Network, forward, p.Calibration)
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
		if _, err := EvaluateTeacher(t.Context(), b, 1, p.Network, p.Weights, broken{p.Calibration}, nil); err == nil || !strings.Contains(err.Error(), "a corrupt file") {
			t.Errorf("error %v", err)
		}
		small := p.Calibration
		small.Height, small.Pixels = 14, small.Pixels[:len(small.Pixels)/2]
		if _, err := EvaluateTeacher(t.Context(), b, 1, p.Network, p.Weights, small, nil); err == nil || err.Error() != "pdq: evaluation: images are 1x14x28, but resnet8 takes 1x28x28" {
			t.Errorf("images of another size: error %v", err)
		}
	})
}
