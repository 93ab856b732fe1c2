package onnx

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// importer turns a graph into layers.
type importer struct {
	g        *graph
	root     *os.Root // of external data; nil: there are none
	opset    int
	batch    int              // the number of images if the file fixes it, else 0
	values   map[string]value // by ONNX's names
	options  Options
	table    map[string]operator
	made     made
	computed int // elements of constants that operators have computed
}

// made is the network so far.
type made struct {
	image   []int  // shape of one
	output  string // the layer that computes the logits
	layers  []models.Layer
	weights models.Weights
	nodes   map[string][]string // for each layer, the nodes that it stands for
	places  map[string]Place    // for each layer, where it is in the graph; "": a step within a node
}

func newImporter(g *graph, root *os.Root, opset int) *importer {
	return &importer{g: g, root: root, opset: opset, values: map[string]value{}, table: operators(),
		made: made{weights: models.Weights{}, nodes: map[string][]string{}, places: map[string]Place{}}}
}

// run imports the graph.
func (im *importer) run() error {
	if err := unknown(im.g.nodes, im.table); err != nil {
		return err
	}
	if err := im.image(); err != nil {
		return err
	}
	return im.nodes()
}

// errAcross occurs where a node works across images.
var errAcross = errors.New("images are independent here")

// nodes imports all nodes. What they read is a value, a weight, or an earlier node's.
func (im *importer) nodes() error {
	inner := innerModules(im.g.nodes)
	for _, p := range im.g.nodes {
		n := &node{NodeProto: p, opset: im.opset, inner: inner}
		for _, name := range p.GetInput() {
			v, err := im.value(name)
			if err != nil {
				return err
			}
			n.in = append(n.in, v)
		}
		err := im.take(n, im.table[p.GetOpType()])
		if errors.Is(err, errAcross) && im.batch > 0 {
			err = fmt.Errorf("%w: export it for any number of images; it fixes %d", err, im.batch)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", title(p), err)
		}
	}
	if im.values[im.g.output].levels != nil {
		return fmt.Errorf("output %q is of quantised integers; choose one of floats with output=", im.g.output)
	}
	return nil
}

// take imports one node.
func (im *importer) take(n *node, op operator) error {
	if ramped(n) {
		return im.takeRamp(n)
	}
	if quantised(n) {
		return im.takeLevels(n)
	}
	if op.fold != nil && !slices.ContainsFunc(n.in, func(v value) bool { return v.layer != "" }) {
		c, err := op.fold(im, n)
		if err != nil {
			return err
		}
		if im.computed += size(c.dims); im.computed > 2*maxComputed {
			return errors.New("computes constants that are too large together")
		}
		im.set(n, 0, value{known: c})
		return nil
	}
	if op.layer == nil {
		return errors.New("is computed from the images; only a constant one is read")
	}
	return op.layer(im, n)
}

// unknown lists the operators that the table doesn't have.
func unknown(nodes []*protos.NodeProto, table map[string]operator) error {
	names := map[string][]string{}
	for _, n := range nodes {
		kind := n.GetOpType()
		if _, ok := table[kind]; ok && isONNX(n.GetDomain()) {
			continue
		}
		if !isONNX(n.GetDomain()) {
			kind = n.GetDomain() + "." + kind
		}
		names[kind] = append(names[kind], nameOf(n))
	}
	if len(names) == 0 {
		return nil
	}
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(names)) {
		at := names[kind]
		text := kind + " (" + strings.Join(at[:min(3, len(at))], ", ")
		if len(at) > 3 {
			text += fmt.Sprintf(" and %d more", len(at)-3)
		}
		list = append(list, text+")")
	}
	return fmt.Errorf("operators that aren't read: %s; give another output with output=, or export it without them",
		strings.Join(list, ", "))
}

// image sets the input's value.
func (im *importer) image() error {
	t := im.g.input.GetType().GetTensorType()
	name := im.g.input.GetName()
	if t == nil || t.GetShape() == nil {
		return fmt.Errorf("input %q has no shape; export it with one", name)
	}
	if kind := protos.TensorProto_DataType(t.GetElemType()); kind != protos.TensorProto_FLOAT {
		return fmt.Errorf("input %q is of type %v; a classifier of images reads float32: export it so", name, kind)
	}
	axes := t.GetShape().GetDim()
	if len(axes) != 4 {
		return fmt.Errorf("input %q has %d axes; a classifier of images reads [N,C,H,W]", name, len(axes))
	}
	im.batch = max(0, int(axes[0].GetDimValue()))
	dims := []int{1, im.options.Channels, im.options.Height, im.options.Width}
	for i, d := range axes[1:] {
		if size := d.GetDimValue(); size > 0 {
			dims[i+1] = int(size)
		}
	}
	switch {
	case dims[1] < 1:
		return fmt.Errorf("%w: input %q has no fixed number of channels; export it with one", ErrOpen, name)
	case dims[2] < 1 || dims[3] < 1:
		return fmt.Errorf("%w: input %q has no fixed height and width; give size=, as size=224", ErrOpen, name)
	}
	im.values[name] = value{layer: models.Image, dims: dims}
	im.made.image = dims[1:]
	return nil
}

// value returns the tensor called name, which may be "".
func (im *importer) value(name string) (value, error) {
	if v, ok := im.values[name]; ok || name == "" {
		return v, nil
	}
	c, err := decode(im.g.weights[name], im.root)
	if err != nil {
		return value{}, err
	}
	im.values[name] = value{known: c}
	return im.values[name], nil
}

// set sets output i of n.
func (im *importer) set(n *node, i int, v value) {
	if i < len(n.GetOutput()) && n.GetOutput()[i] != "" {
		im.values[n.GetOutput()[i]] = v
	}
}

// add appends a layer that stands for n, and returns its name.
func (im *importer) add(n *node, name string, op models.Op, inputs ...string) string {
	taken := func(name string) bool { return name == models.Image || im.made.layer(name) != nil }
	unique := name
	for i := 2; taken(unique); i++ {
		unique = fmt.Sprintf("%s_%d", name, i)
	}
	im.made.layers = append(im.made.layers, models.Layer{Name: unique, Inputs: inputs, Op: op})
	im.made.nodes[unique] = []string{n.GetName()}
	return unique
}

// param sets a weight tensor of a layer.
func (im *importer) param(layer, name string, data []float32, dims ...int) {
	im.made.weights[layer+"."+name] = tensors.FromFlatDataAndDimensions(data, dims...)
}

// name returns the name for n's layer: the PyTorch module's if known, else the node's.
func (n *node) name(weight *constant) string {
	if weight != nil {
		name, isWeight := strings.CutSuffix(weight.name, "weight")
		if isWeight && len(name) > 1 && !strings.Contains(name, "::") {
			return name[:len(name)-1] // conv1.weight, self_attention.in_proj_weight
		}
	}
	kind := strings.ToLower(n.GetOpType())
	module := n.module()
	switch {
	case module == "" && (n.GetName() == "" || strings.HasPrefix(n.GetName(), "/")):
		return kind
	case module == "":
		return n.GetName()
	case n.inner[module] || weight == nil && functional(n.GetOpType()):
		return module + "." + kind
	}
	return module
}

// functional says whether PyTorch has no module for an operator, so that it is part of a larger one.
func functional(kind string) bool {
	for _, family := range []map[string]operator{arithmetic(), shapes()} {
		if _, ok := family[kind]; ok {
			return true
		}
	}
	return kind == "MatMul" || kind == "Softmax"
}

// innerModules returns the modules that have modules of their own.
func innerModules(nodes []*protos.NodeProto) map[string]bool {
	inner := map[string]bool{}
	for _, p := range nodes {
		module := (&node{NodeProto: p}).module()
		for i, c := range module {
			if c == '.' {
				inner[module[:i]] = true
			}
		}
	}
	return inner
}

// unary appends a layer with one input and an output of the same sizes.
func (im *importer) unary(n *node, op models.Op) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	x.layer = im.add(n, n.name(nil), op, x.layer)
	im.set(n, 0, x)
	return nil
}

// relaid returns v with another place of the images or other sizes, whose layer has now the shape have.
func (im *importer) relaid(n *node, v value, have []int) value {
	if want := v.shape(); !slices.Equal(have, want) {
		v.layer = im.add(n, v.layer+".reshape", models.Reshaping{To: slices.Clone(want)}, v.layer)
	}
	return v
}
