package onnx_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/onnx"
)

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
