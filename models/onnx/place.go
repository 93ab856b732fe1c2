package onnx

import "github.com/pdquant/pdquant/models"

// Place says where a layer is in the file's graph, by tensors' names.
type Place struct {
	Output  string // what the layer computes
	Product string // of a layer with a weight: what it computes without a bias that follows as a node of its own
}

// locate notes for each layer the first tensor that it computes. One that only a reshape of the same node reads has the
// tensor of that.
func (im *importer) locate() {
	m := &im.made
	for _, n := range im.g.nodes {
		for _, out := range n.GetOutput() {
			v := im.values[out]
			if _, known := m.places[v.layer]; !known && v.layer != "" && v.layer != models.Image && v.levels == nil {
				m.places[v.layer] = Place{out, out}
			}
		}
	}
	for i := len(m.layers) - 1; i >= 0; i-- {
		l := m.layers[i]
		if _, ok := l.Op.(models.Reshaping); !ok {
			continue
		}
		if x := l.Inputs[0]; m.places[x].Output == "" && m.readers(x) == 1 {
			m.places[x] = m.places[l.Name]
		}
	}
}

// extend lets a layer compute the tensor of one that is merged into it.
func (m *made) extend(to, from string) {
	m.places[to] = Place{m.places[from].Output, m.places[to].Product}
}
