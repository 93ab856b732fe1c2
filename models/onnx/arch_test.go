package onnx_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/onnx"
)

// TestPaperNetworks: networks of the paper, as torchvision and timm have them, are cut into the units of package arch,
// with the same layers.
func TestPaperNetworks(t *testing.T) {
	files, _ := zoo(t)
	for file, design := range map[string]string{"resnet18": "resnet18", "resnet50": "resnet50",
		"mobilenet_v2": "mobilenetv2-1.0", "regnetx_006": "regnetx-600mf", "mnasnet2_0": "mnasnet-2.0"} {
		for _, name := range files {
			if !strings.HasPrefix(name, file+".") {
				continue
			}
			t.Run(name, func(t *testing.T) {
				m, err := onnx.Read(filled(t, name), options(name))
				if err != nil {
					t.Fatal(err)
				}
				n := m.Network
				paper, err := arch.Design(design, arch.Input{Channels: n.Channels, Height: n.Height, Width: n.Width,
					Classes: n.Classes})
				if err != nil {
					t.Fatal(err)
				}
				got, want := contents(t, n, m.Weights), contents(t, paper, models.Init(paper, 1))
				if !slices.Equal(got, want) {
					t.Errorf("units of layers\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
}

// contents lists, for each unit of the folded network, its layers and shapes of outputs in any order.
func contents(t *testing.T, n *models.Network, w models.Weights) []string {
	folded, _, err := models.Fold(n, w)
	if err != nil {
		t.Fatal(err)
	}
	shapes := folded.Shapes()
	var units []string
	for _, u := range folded.Units {
		var layers []string
		for i := u.First; i <= u.Last; i++ {
			layers = append(layers, fmt.Sprint(folded.Layers[i].Op.Kind(), shapes[i]))
		}
		slices.Sort(layers)
		units = append(units, strings.Join(layers, " "))
	}
	return units
}
