package look

import (
	"cmp"
	"context"
	"slices"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// UnitDifference compares the student's output of a unit with the teacher's.
type UnitDifference struct {
	Unit     string
	SNR      float64             // of the teacher's output to the student's error, in decibels
	Channels []ChannelDifference // the channels with the most noise first
}

// ChannelDifference compares one channel.
type ChannelDifference struct {
	Channel int
	SNR     float64 // in decibels
	Share   float64 // of the unit's noise, in [0,1]
}

// Differences compares all units on the first calibration images. Tensors that s doesn't quantise are in full
// precision.
func Differences(ctx context.Context, q *pdq.Quantizer, s pdq.Student, images int) ([]UnitDifference, error) {
	if err := atLeastOne(images, "images"); err != nil {
		return nil, err
	}
	n, weights := q.Folded()
	w, err := q.StudentWeights(s)
	if err != nil {
		return nil, err
	}
	run := runner(q)
	run.Progress = func(done, total int) { report(q, done, total) }
	out, err := run.Run(ctx, func(xs []*Node) []*Node {
		g := xs[0].Graph()
		student := unitOutputs(n, xs[0], s.Hooks(g, w))
		var sums []*Node
		for u, t := range unitOutputs(n, xs[0], models.Hooks{Param: exec.Constants(g, weights)}) {
			sums = append(sums, perChannelSum(Square(t)), perChannelSum(Square(Sub(student[u], t))))
		}
		return sums
	}, firstImages(q, images))
	if err != nil {
		return nil, err
	}
	defer exec.FreeCaches(out...)
	var all []UnitDifference
	for u, unit := range n.Units {
		all = append(all, newDifference(unit.Name, columnSums(out[2*u]), columnSums(out[2*u+1])))
	}
	return all, nil
}

// newDifference returns the difference for signal and noise, which are by channel.
func newDifference(unit string, signal, noise []float64) UnitDifference {
	var sum, off float64
	for c := range signal {
		sum, off = sum+signal[c], off+noise[c]
	}
	d := UnitDifference{Unit: unit, SNR: Decibels(sum, off)}
	for c := range signal {
		share := 0.0
		if off > 0 {
			share = noise[c] / off
		}
		d.Channels = append(d.Channels, ChannelDifference{c, Decibels(signal[c], noise[c]), share})
	}
	slices.SortStableFunc(d.Channels, func(a, b ChannelDifference) int { return cmp.Compare(b.Share, a.Share) })
	return d
}

// unitOutputs returns the outputs of all units of n for images x.
func unitOutputs(n *models.Network, x *Node, h models.Hooks) []*Node {
	outs := make([]*Node, len(n.Units))
	after := h.After
	h.After = func(l models.Layer, y *Node) *Node {
		if after != nil {
			y = after(l, y)
		}
		i := n.Index(l.Name)
		for u, unit := range n.Units {
			if unit.Last == i {
				outs[u] = y
			}
		}
		return y
	}
	n.Forward(x, 0, len(n.Layers)-1, h)
	return outs
}

// perChannelSum sums x [N,C,...] to [N,C].
func perChannelSum(x *Node) *Node {
	return ReduceSum(Reshape(x, x.Shape().Dim(0), x.Shape().Dim(1), -1), 2)
}

// columnSums sums the cache c [N,C], which is in memory, over N.
func columnSums(c *exec.Cache) []float64 {
	sums := make([]float64, c.PerImage())
	for i, v := range c.Flat() {
		sums[i%len(sums)] += float64(v)
	}
	return sums
}
