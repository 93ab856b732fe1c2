package onnx_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/onnx"
)

// TestActivationAfterPooling: an activation function that pooling stands before is in the unit of its convolution, as
// its output is quantised.
func TestActivationAfterPooling(t *testing.T) {
	conv := func(in int) models.Conv {
		return models.Conv{In: in, Out: 4, Window: models.SquareWindow(3, 1, 0), Groups: 1}
	}
	pool := models.MaxPooling{Window: models.SquareWindow(2, 2, 0)}
	n := &models.Network{Name: "lenet", Channels: 1, Height: 12, Width: 12, Classes: 10, Layers: []models.Layer{
		{Name: "conv1", Inputs: []string{models.Image}, Op: conv(1)},
		{Name: "pool1", Inputs: []string{"conv1"}, Op: pool},
		{Name: "relu1", Inputs: []string{"pool1"}, Op: models.ReLU{}},
		{Name: "lrn1", Inputs: []string{"relu1"}, Op: models.LRN{Size: 3, Alpha: 1e-4, Beta: 0.75, Bias: 1}},
		{Name: "pool2", Inputs: []string{"lrn1"}, Op: models.MaxPooling{Window: models.SquareWindow(1, 1, 0)}},
		{Name: "conv2", Inputs: []string{"pool2"}, Op: conv(4)},
		{Name: "relu2", Inputs: []string{"conv2"}, Op: models.ReLU{}},
		{Name: "mean", Inputs: []string{"relu2"}, Op: models.GlobalAvgPooling{}},
		{Name: "fc", Inputs: []string{"mean"}, Op: models.Linear{In: 4, Out: 10}},
	}}
	if err := onnx.Cut(n, ""); err != nil {
		t.Fatal(err)
	}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	var last []string
	for _, u := range n.Units {
		last = append(last, n.Layers[u.Last].Name)
	}
	if got := strings.Join(last, " "); got != "lrn1 relu2 fc" {
		t.Errorf("units end with %s", got)
	}
}

// TestCut cuts ResNet-18 by a pattern and by a file.
func TestCut(t *testing.T) {
	read := func(how string) (*models.Network, error) {
		m, err := onnx.Read(filled(t, "resnet18.old.onnx"), onnx.Options{Units: how})
		if err != nil {
			return nil, err
		}
		return m.Network, nil
	}
	names := func(n *models.Network) string {
		var all []string
		for _, u := range n.Units {
			all = append(all, u.Name)
		}
		return strings.Join(all, " ")
	}
	n, err := read(`layer\d+`)
	if err != nil || names(n) != "conv1 layer1 layer2 layer3 layer4 fc" {
		t.Errorf("by a pattern: %v, units %s", err, names(n))
	}
	file := filepath.Join(t.TempDir(), "units")
	for _, c := range []struct{ text, want string }{
		{"a\tconv1\trelu\nb\tlayer1.0.conv1\tlayer4.1.relu_1\r\nc\tfc\tfc\n", ""},
		{"a\tconv1\n", "units:1: \"a\\tconv1\"; give name, first and last layer"},
		{"a\tconv1\trelu7\n", `units:1: no layer is called "relu7"`},
		{"a\tconv1\tlayer1.0.conv1\nb\tlayer1.0.relu\tfc\n", "past unit a"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		n, err := read(file)
		if c.want == "" {
			if err != nil || names(n) != "a b c" {
				t.Errorf("by a file: %v, units %s", err, names(n))
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	for _, c := range []struct{ how, want string }{{"layer(", "missing closing"}, {"stage", "no layer's name begins so"}} {
		if _, err := read(c.how); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.how, err, c.want)
		}
	}
}
