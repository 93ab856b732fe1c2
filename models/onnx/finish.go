package onnx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models"
)

// finish returns the network that has been made.
func (im *importer) finish() (*Model, error) {
	logits, err := im.logits()
	if err != nil {
		return nil, err
	}
	m := &im.made
	m.output = logits.layer
	im.locate()
	if err := m.simplify(); err != nil {
		return nil, err
	}
	m.last()
	n := &models.Network{Name: im.g.name, Channels: m.image[0], Height: m.image[1], Width: m.image[2],
		Classes: size(logits.shape()), Layers: m.layers}
	if err = Cut(n, im.options.Units); err != nil {
		return nil, err
	}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	return &Model{Network: n, Weights: m.weights, Opset: im.opset, Logits: im.g.output, Nodes: m.nodes,
		Places: m.places, Notes: notes(n)}, nil
}

// logits returns the output, in the shape [classes] for one image.
func (im *importer) logits() (value, error) {
	v := im.values[im.g.output]
	if v.layer == "" || v.layer == models.Image {
		return value{}, fmt.Errorf("output %q isn't computed from the images", im.g.output)
	}
	shape := v.shape()
	classes := size(shape)
	for _, d := range shape {
		if d != 1 && d != classes {
			return value{}, fmt.Errorf("output %q has shape %v for one image; a classifier's is [classes]: "+
				"choose another with output=", im.g.output, shape)
		}
	}
	if len(shape) != 1 {
		n := &node{NodeProto: im.g.nodes[len(im.g.nodes)-1]}
		v.layer = im.add(n, v.layer+".flat", models.Reshaping{To: []int{classes}}, v.layer)
		v.dims, v.axis = []int{1, classes}, 0
	}
	return v, nil
}

// last moves the layer with the logits to the end. Nothing reads it.
func (m *made) last() {
	i := slices.IndexFunc(m.layers, func(l models.Layer) bool { return l.Name == m.output })
	l := m.layers[i]
	m.layers = append(slices.Delete(m.layers, i, i+1), l)
}

// largeUnit is how many layers with weights a unit may have without a note. GoogLeNet's largest has 6, a residual block
// of MobileViT 8.
const largeUnit = 12

// notes says what the user should know of the network.
func notes(n *models.Network) []string {
	var products, norms int
	for _, l := range n.Layers {
		switch l.Op.(type) {
		case models.Conv:
			products++
		case models.BatchNorm:
			norms++
		}
	}
	var notes []string
	if products > 0 && norms == 0 {
		notes = append(notes, "no batch normalisation: if the exporter folded it, distribution correction has nothing to "+
			"correct towards; measure statistics in its place (statistics 1024 in the shell, statistics=1024 of grid), or keep "+
			"it with torch.onnx.export(..., dynamo=False, training=TrainingMode.PRESERVE, do_constant_folding=False)")
	}
	for _, u := range n.Units {
		if h := heavy(n, region{u.First, u.Last}); len(h) > largeUnit {
			notes = append(notes, fmt.Sprintf("unit %s has %d layers with weights, because no tensor between them carries all "+
				"that goes on; its steps need much memory", u.Name, len(h)))
		}
	}
	if last := n.Layers[len(n.Layers)-1]; strings.HasSuffix(last.Op.Kind(), "softmax") {
		notes = append(notes, fmt.Sprintf("the last layer, %s, is a softmax: it is taken for part of the network", last.Name))
	}
	return notes
}
