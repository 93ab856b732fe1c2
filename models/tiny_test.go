package models

import (
	"flag"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/internal/nettest"
)

var seedFlag = flag.Uint64("seed", 1, "seed of the random tests")

func random(t testing.TB) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", *seedFlag)
	return rand.New(rand.NewPCG(*seedFlag, 0))
}

// tiny returns a network with one convolution, for images of 1x6x6.
func tiny(t testing.TB) *Network {
	t.Helper()
	n := &Network{Name: "tiny", Channels: 1, Height: 6, Width: 6, Classes: 3,
		Layers: []Layer{
			{"conv", []string{Image}, Conv{In: 1, Out: 2, Window: SquareWindow(3, 1, 1), Groups: 1}},
			{"bn", []string{"conv"}, BatchNorm{Channels: 2, Eps: 1e-5}},
			{"relu", []string{"bn"}, ReLU{}},
			{"avgpool", []string{"relu"}, GlobalAvgPooling{}},
			{"fc", []string{"avgpool"}, Linear{In: 2, Out: 3}},
		},
		Units: []Unit{{"stem", 0, 2}, {"fc", 4, 4}},
	}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	return n
}

// constants returns hooks whose parameters are those in w.
func constants(t testing.TB, g *Graph, w Weights) Hooks {
	return Hooks{Param: func(name string) *Node { return ConstCachedTensor(g, nettest.Clone(t, w[name])) }}
}
