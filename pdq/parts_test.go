package pdq

import (
	"context"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
)

// TestParts: batches are cut as the limits say, at least into one part for each worker and at most into one for each
// image.
func TestParts(t *testing.T) {
	const mib = 1 << 20
	b := anyBackend(t)
	for _, c := range []struct {
		workers             int
		part, memory, image int64
		want                int
	}{
		{1, 0, 0, 100 * mib, 1}, {0, 0, 0, 100 * mib, 1}, {2, 0, 0, 100 * mib, 2}, {64, 0, 0, mib, 32},
		{2, 256 * mib, 0, 10 * mib, 2}, {2, 256 * mib, 0, 60 * mib, 8}, {2, 256 * mib, 0, 300 * mib, 32},
		{2, 0, 510 * mib, 10 * mib, 4}, // 400 MiB beside the program, half of which is 100 MiB for each worker
		{2, 50 * mib, 510 * mib, 10 * mib, 7}, {2, 0, 1, mib, 32},
	} {
		config := tinyConfig(t)
		config.Machine = MachineConfig{Workers: c.workers, PartLimit: c.part, MemoryLimit: c.memory}
		q := quantizerOf(t, b, tinyProblem(t, 8), config)
		if got := q.parts(32, c.image); got != c.want {
			t.Errorf("%+v: %d parts", c, got)
		}
	}
}

// TestPartsOfNetworks: a batch of a small network is one part for each worker, and the memory of EfficientNet-Lite0 at
// 224x224 pixels is bounded.
func TestPartsOfNetworks(t *testing.T) {
	b := anyBackend(t)
	for _, c := range []struct {
		name         string
		size         int
		first        int   // parts of a batch of the first unit
		least, most  int64 // StepMemory in MiB
		unlimitedMiB int64 // StepMemory without PartLimit, at least
	}{{"resnet20", 32, 2, 300, 700, 300}, {"mobilenetv2", 32, 2, 500, 1200, 500},
		{"efficientnet-lite0", 224, 32, 800, 1700, 5000}} {
		n, err := arch.Design(c.name, arch.SquareInput(3, c.size, 10))
		if err != nil {
			t.Fatal(err)
		}
		config, err := Quick(c.name, 4, 4)
		if err != nil {
			t.Fatal(err)
		}
		images := datasets.Images{Name: "black", Channels: 3, Height: c.size, Width: c.size, Classes: make([]string, 10),
			Pixels: make([]uint8, 64*3*c.size*c.size), Labels: make([]int32, 64), Mean: []float32{0, 0, 0},
			Std: []float32{1, 1, 1}}
		p := Problem{Network: n, Weights: models.Init(n, 1), Calibration: images}
		config.Machine.Workers = 2
		if all := quantizerOf(t, b, p, config).StepMemory() >> 20; all < c.unlimitedMiB {
			t.Errorf("%s: %d MiB without a limit, want at least %d", c.name, all, c.unlimitedMiB)
		}
		config.Machine.PartLimit = 256 << 20
		q := quantizerOf(t, b, p, config)
		if got := q.roundingParts(0, 32); got != c.first {
			t.Errorf("%s: %d parts, want %d", c.name, got, c.first)
		}
		if got := q.StepMemory() >> 20; got < c.least || got > c.most {
			t.Errorf("%s: steps take %d MiB, want %d to %d", c.name, got, c.least, c.most)
		}
	}
}

// TestCorrectionPieces: correction in pieces of one image gives the same images, up to the order of sums.
func TestCorrectionPieces(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		var want []float32
		for _, limit := range []int64{0, 1} {
			c := tinyConfig(t)
			c.Machine.PartLimit, c.Correction.Group, c.Correction.Patience = limit, 4, 0
			q := quantizerOf(t, b, tinyProblem(t, 10), c)
			_, d := prepare(t, q, 1)
			d, err := q.Correct(context.Background(), d)
			if err != nil {
				t.Fatal(err)
			}
			if got := flat(t, d.CorrectedIn); want == nil {
				want = got
			} else {
				within(t, "corrected input", distance(got, want), 1e-5)
			}
		}
	})
}
