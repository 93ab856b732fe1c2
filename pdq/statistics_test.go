package pdq

import (
	"context"
	"math"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models"
)

// TestWithStatistics: the network computes the same, its statistics are those of its convolutions' outputs, and
// correction has something to correct towards.
func TestWithStatistics(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		p := tinyProblem(t, 16)
		n, w, err := WithStatistics(context.Background(), b, p, MachineConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if len(n.Units) != len(p.Network.Units) {
			t.Fatalf("%d units, want %d", len(n.Units), len(p.Network.Units))
		}
		with := p
		with.Network, with.Weights = n, w
		logits := func(p Problem) []float32 {
			q, err := New(b, p, Config{Bits: Bits{W: 8, A: 8}, Scales: ScaleConfig{Power: 2.4, Candidates: 1, Images: 1}})
			if err != nil {
				t.Fatal(err)
			}
			teacher, err := q.Teacher(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return teacher.Logits.Flat()
		}
		want, got := logits(p), logits(with)
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-3 {
				t.Fatalf("logit %d is %g, want %g", i, got[i], want[i])
			}
		}
		norms := 0
		for _, l := range n.Layers {
			if _, ok := l.Op.(models.BatchNorm); ok {
				norms++
			}
		}
		folded, _, err := models.Fold(n, w)
		if err != nil {
			t.Fatal(err)
		}
		if convs := len(measured(folded)); norms != convs || norms == 0 {
			t.Errorf("%d normalisations for %d convolutions", norms, convs)
		}
	})
}
