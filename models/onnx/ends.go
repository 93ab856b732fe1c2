package onnx

import (
	"fmt"

	"github.com/gomlx/compute-onnx/support/protos"
)

// Ends are where a graph begins and ends.
type Ends struct {
	Input  string // name of the images
	Output string // name of the logits
	Batch  int    // the number of images that the graph is for; 0: any
}

// ReadEnds returns the ends of the file that holds data. Of several inputs or outputs, o chooses one, if it is there.
func ReadEnds(data []byte, o Options) (Ends, error) {
	m, err := parse(data)
	if err != nil {
		return Ends{}, fmt.Errorf("onnx: %w", err)
	}
	g := &graph{weights: map[string]*protos.TensorProto{}}
	for _, t := range m.GetGraph().GetInitializer() {
		g.weights[t.GetName()] = t
	}
	if err = g.choose(m.GetGraph(), o); err != nil {
		if err = g.choose(m.GetGraph(), Options{}); err != nil {
			return Ends{}, fmt.Errorf("onnx: %w", err)
		}
	}
	return g.ends(), nil
}

// ends returns the ends of a graph whose input and output are chosen.
func (g *graph) ends() Ends {
	e := Ends{Input: g.input.GetName(), Output: g.output}
	if dims := g.input.GetType().GetTensorType().GetShape().GetDim(); len(dims) > 0 {
		e.Batch = int(max(0, dims[0].GetDimValue()))
	}
	return e
}
