package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute-onnx/support/protos"
	gomlx "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// errUnset is why an output can't be imported that an operator computes beside its first.
var errUnset = errors.New("has an output that isn't read")

// fragment is a graph that needn't be a classifier: any inputs, one output of any shape.
type fragment struct {
	model  *protos.ModelProto
	inputs map[string]*protos.TensorProto // their values, by name
	output string
}

// way is how a fragment is imported.
type way struct {
	computed []string // the inputs that depend on the images; the others are constants
	axis     int      // their axis of the images, counted from the last one, which is 1; 0: the first axis is the images
	fixed    bool     // whether the file fixes the number of images
}

func (w way) String() string {
	return fmt.Sprintf("%q, axis %d, fixed %t", w.computed, w.axis, w.fixed)
}

// ways returns all ways to import f, the usual one first.
func (f fragment) ways() []way {
	var floats []string
	most := 0
	for _, v := range f.model.GetGraph().GetInput() {
		c, err := decode(f.inputs[v.GetName()], nil)
		if err == nil && c.isFloat() && len(c.dims) > 0 && size(c.dims) > 0 {
			floats = append(floats, v.GetName())
			most = max(most, len(c.dims))
		}
	}
	var sets [][]string
	for _, name := range floats {
		sets = append(sets, []string{name})
	}
	for i := 2; i <= len(floats); i++ {
		sets = append(sets, floats[:i])
	}
	var all []way
	for _, computed := range sets {
		all = append(all, way{computed, 0, true}, way{computed, 0, false})
		for axis := range most {
			all = append(all, way{computed, axis + 1, true})
		}
	}
	return append(all, way{fixed: true})
}

// result is an imported fragment's output.
type result struct {
	dims []int
	data []float64
}

// run imports f, and computes its output on b. refused is why it can't be imported that way.
func (f fragment) run(b compute.Backend, w way) (got result, refused, err error) {
	im, x, images, err := f.importer(w)
	if err != nil {
		return got, err, nil
	}
	if err := im.nodes(); err != nil {
		return got, err, nil
	}
	v, ok := im.values[f.output]
	if !ok {
		return got, errUnset, nil
	}
	for _, n := range v.numbers(im.batch) {
		got.dims = append(got.dims, int(n.n))
	}
	if v.known != nil {
		got.data = v.known.expected(images)
		return got, nil, nil
	}
	if !w.fixed {
		got.dims[v.axis] *= images
	}
	if im.made.output = v.layer; v.layer != models.Image {
		if err := im.made.simplify(); err != nil {
			return got, nil, err
		}
		im.made.last()
		if x, err = im.made.compute(b, x); err != nil {
			return got, nil, err
		}
	}
	got.data, err = v.ordered(tensors.MustCopyFlatData[float32](x), images)
	return got, nil, err
}

// expected returns c's elements.
func (c *constant) expected(images int) []float64 {
	var out []float64
	for _, x := range c.floats {
		out = append(out, float64(x))
	}
	for _, x := range c.ints {
		if x.images {
			x.n *= int64(images)
		}
		out = append(out, float64(x.n))
	}
	return out
}

// ordered returns a layer's output, for several images, in ONNX's order.
func (v value) ordered(data []float32, images int) ([]float64, error) {
	if len(data) != images*size(v.dims) {
		return nil, fmt.Errorf("has %d elements; %d images of shape %v", len(data), images, v.shape())
	}
	out := make([]float64, len(data))
	after := size(v.dims[v.axis+1:])
	outer := max(v.outer, 1)
	inner := v.dims[v.axis] / outer
	for i, x := range data {
		image, rest := i/size(v.dims), i%size(v.dims)
		before, rest := rest/(outer*inner*after), rest%(outer*inner*after)
		o, rest := rest/(inner*after), rest%(inner*after)
		out[((before*outer+o)*images+image)*inner*after+rest] = float64(x)
	}
	return out, nil
}

// compute returns the output for x.
func (m *made) compute(b compute.Backend, x *tensors.Tensor) (*tensors.Tensor, error) {
	if _, err := m.shapes(); err != nil {
		return nil, err
	}
	n := &models.Network{Layers: m.layers}
	return gomlx.CallOnce(b, func(x *gomlx.Node) *gomlx.Node {
		return n.Forward(x, 0, len(n.Layers)-1, models.Hooks{Param: func(name string) *gomlx.Node {
			return gomlx.ConstTensor(x.Graph(), m.weights[name])
		}})
	}, x)
}

// importer returns an importer whose inputs are set, the images' values, and their number.
func (f fragment) importer(w way) (*importer, *tensors.Tensor, int, error) {
	g := &graph{weights: map[string]*protos.TensorProto{}, output: f.output}
	for _, t := range f.model.GetGraph().GetInitializer() {
		g.weights[t.GetName()] = t
	}
	for name, t := range f.inputs {
		g.weights[name] = t
	}
	opset, err := versions(f.model)
	if err != nil {
		return nil, nil, 0, err
	}
	nodes, err := inlined(f.model.GetGraph().GetNode(), f.model.GetFunctions(), 0)
	if err != nil {
		return nil, nil, 0, err
	}
	if g.nodes, err = sorted(nodes, g); err != nil {
		return nil, nil, 0, err
	}
	im := newImporter(g, nil, opset)
	x, images, err := f.set(im, w)
	return im, x, images, err
}

// set makes inputs of f the images of im. Several become one, of which layers take their parts.
func (f fragment) set(im *importer, w way) (*tensors.Tensor, int, error) {
	images := 1
	var values []value
	var parts [][]float32
	total := 0
	for i, name := range w.computed {
		c, err := decode(f.inputs[name], nil)
		if err != nil {
			return nil, 0, err
		}
		v := value{layer: models.Image, dims: slices.Clone(c.dims), axis: len(c.dims) - w.axis}
		if w.axis == 0 {
			if i > 0 && c.dims[0] != images {
				return nil, 0, errors.New("the inputs have different numbers of images")
			}
			images, v.dims[0], v.axis = c.dims[0], 1, 0
		} else if v.axis < 0 {
			return nil, 0, errors.New("an input lacks the axis of the images")
		} else {
			v.outer = v.dims[v.axis]
		}
		values, parts = append(values, v), append(parts, c.floats)
		total += size(v.dims)
	}
	if w.fixed {
		im.batch = images
	}
	if len(values) == 0 {
		return nil, images, nil
	}
	im.made.image = values[0].shape()
	if len(values) > 1 {
		im.made.image = []int{total}
	}
	var packed []float32
	for image := range images {
		for i, v := range values {
			packed = append(packed, parts[i][image*size(v.dims):(image+1)*size(v.dims)]...)
		}
	}
	at := 0
	for i, v := range values {
		if len(values) > 1 {
			n := &node{NodeProto: &protos.NodeProto{}}
			v.layer = im.add(n, "part", models.Slicing{Start: at, Stop: at + size(v.dims), Step: 1}, models.Image)
			v = im.relaid(n, v, []int{size(v.dims)})
			at += size(v.dims)
		}
		im.values[w.computed[i]] = v
	}
	return tensors.FromFlatDataAndDimensions(packed, slices.Concat([]int{images}, im.made.image)...), images, nil
}
