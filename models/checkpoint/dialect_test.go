package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// TestDialectClash has a file with torchvision's names and one of ours, which is another layer's in torchvision.
func TestDialectClash(t *testing.T) {
	n, err := arch.MobileNetV2(arch.MobileNetV2Config{Stem: 4, StemStride: 2,
		Rows: []arch.InvertedResiduals{{Expand: 1, Out: 4, Repeat: 1, Stride: 1}, {Expand: 2, Out: 8, Repeat: 1, Stride: 2}},
		Last: 16, Numbered: true, Input: arch.SquareInput(1, 21, 4)})
	if err != nil {
		t.Fatal(err)
	}
	ours := models.Init(n, 1)
	w := models.Weights{}
	for _, l := range n.Layers {
		for _, p := range l.Params() {
			w[checkpoint.TorchvisionMobileNetV2(n, l.Name)+strings.TrimPrefix(p.Name, l.Name)] = ours[p.Name]
		}
	}
	got, err := readBytes(written(t, w, nil), n)
	if err == nil {
		err = nettest.SameWeights(got, ours)
	}
	if err != nil {
		t.Error(err)
	}
	w["features.2.conv.4.weight"] = w["features.2.conv.1.1.weight"]
	checkLoad(t, "clash", written(t, w, nil), n, `no tensor "features.1.conv.`)
}
