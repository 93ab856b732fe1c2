package experiment

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/pdq"
)

// TestPhotographs compares EfficientNet-Lite0's accuracy on 1,000 photographs of ImageNet with PyTorch's. The folder
// that $PDQUANT_DATA names has them in images/, and their names and classes in half-a.txt and half-b.txt.
func TestPhotographs(t *testing.T) {
	// PyTorch 2.15 and Pillow, shorter side 256, centre 224, sizes and corners as torchvision rounds them. With other
	// roundings (longer side to nearest, corners down) it is 88.8.
	const pyTorch = 88.3
	dir := os.Getenv("PDQUANT_DATA")
	if dir == "" {
		t.Skip("$PDQUANT_DATA names no folder of photographs")
	}
	a, b := filepath.Join(dir, "half-a.txt"), filepath.Join(dir, "half-b.txt")
	right, all := 0, 0
	for _, lists := range []datasets.Lists{{Calibration: a, Test: b}, {Calibration: b, Test: a}} {
		s, err := Open(Source{Name: "efficientnet-lite0", Checkpoint: nettest.Lite0(t, false),
			Data: filepath.Join(dir, "images"), Lists: lists})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(s.About)
		b, m := testbackend.Any(t), pdq.MachineConfig{}
		score, err := pdq.EvaluateTeacher(t.Context(), b, m, s.Network, s.Weights, s.Test, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, ok := range score.Top1 {
			if all++; ok {
				right++
			}
		}
	}
	top1 := 100 * float64(right) / float64(all)
	t.Logf("top-1 %.1f %% of %d, PyTorch %.1f %%", top1, all, pyTorch)
	if all != 1000 || math.Abs(top1-pyTorch) > 0.301 {
		t.Errorf("top-1 %.1f %% of %d photographs, want %.1f ± 0.3 %% of 1,000", top1, all, pyTorch)
	}
}
