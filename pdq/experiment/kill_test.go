package experiment

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/killpoint/killtest"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq/backend"
)

// killSeed draws the file operations of TestKillAnywhere.
var killSeed = flag.Uint64("kill.seed", 0, "seed that draws the file operations to kill at; 0: the time")

// killGrid is a grid of a tiny network, with a step of rounding for each unit, which saves a state after each.
func killGrid(t *testing.T) Grid {
	t.Helper()
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 4, 10)})
	if err != nil {
		t.Fatal(err)
	}
	im := datasets.Images{Name: "small", Channels: 1, Height: 4, Width: 4, Labels: make([]int32, 8),
		Pixels: make([]uint8, 8*16), Mean: []float32{0.5}, Std: []float32{0.25}}
	for i := range 10 {
		im.Classes = append(im.Classes, fmt.Sprint(i))
	}
	for i := range im.Pixels {
		im.Pixels[i] = uint8(37 * i)
	}
	ms, err := ParseMethods("mse")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := ParseSettings("Rounding.Steps=1 Scales.Candidates=3 Scales.Images=4 Rounding.BatchSize=4")
	if err != nil {
		t.Fatal(err)
	}
	b, note, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	s := Subject{Name: "resnet8", Design: "resnet8", Data: "small", Network: n, Weights: models.Init(n, 1), Pool: im,
		Test: im, Tested: "the same"}
	return Grid{Subjects: []Subject{s}, Bits: []Width{{2, 2}}, Methods: ms, Seeds: Seeds(1), Images: 4, Preset: "quick",
		Settings: settings, Backend: b, Note: note, Every: 1, Anyway: true}
}

// TestKillProcess is a process that TestKillAnywhere kills.
func TestKillProcess(t *testing.T) {
	dir := os.Getenv(killtest.Folder)
	if dir == "" {
		t.Skip("for TestKillAnywhere alone")
	}
	f, err := CreateFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	run(t, killGrid(t), f)
}

// TestKillAnywhere: a run that was killed before any one of its file operations, or for which the disk was full there,
// ends, when it is started again, with the files of a run that wasn't, and leaves no others.
func TestKillAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a test of its own and runs it 40 times; run without -short")
	}
	nothing := func(*testing.T, string) {}
	killtest.Anywhere(t, "TestKillProcess", *killSeed, 20, nothing, func(t *testing.T, dir, whole string) {
		f, err := CreateFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		run(t, killGrid(t), f)
		killtest.Same(t, dir, whole)
	})
}
