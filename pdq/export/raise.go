package export

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
)

// raiser gives a graph's nodes the form that they have in a later version of ONNX's operators.
type raiser struct {
	graph    *protos.GraphProto
	from, to int
	prefix   string // of the tensors of the node at work
}

// change is an operator's last change that isn't compatible. convert returns the nodes that do what n did, nil if none
// do.
type change struct {
	opset   int
	convert func(r *raiser, n *protos.NodeProto) []*protos.NodeProto
}

// changes returns the operators that have changed since opset 6. Attributes that became inputs stay in that order.
// Source: ONNX 1.23, docs/Changelog.md.
func changes() map[string]change {
	t := map[string]change{
		"Clip":               {11, moved("min", "max")},
		"Pad":                {11, moved("pads", "value")},
		"Slice":              {10, moved("starts", "ends", "axes")},
		"Squeeze":            {13, moved("axes")},
		"Unsqueeze":          {13, moved("axes")},
		"ReduceSum":          {13, moved("axes")},
		"Split":              {18, split},
		"Dropout":            {12, without("ratio", "is_test")},
		"Gemm":               {7, without("broadcast")},
		"BatchNormalization": {14, batchNorm},
		"Softmax":            {13, flattened},
		"LogSoftmax":         {13, flattened},
		"Upsample":           {10, upsample},
		"Resize":             {11, upsample},
		"PRelu":              {7, nil},
		"GroupNormalization": {21, nil},
	}
	for op := range strings.FieldsSeq("Mean Max Min Prod L1 L2 SumSquare LogSumExp") {
		t["Reduce"+op] = change{18, moved("axes")}
	}
	for op := range strings.FieldsSeq("Add Sub Mul Div Pow And Or Equal Greater Less") {
		t[op] = change{7, unless("broadcast")}
	}
	return t
}

// unchanged returns the operators that mean the same in all opsets from 6 on, or from their first.
func unchanged() []string {
	return strings.Fields(`
		Abs AveragePool Cast CastLike Ceil Celu Concat Constant ConstantOfShape Conv Cos DepthToSpace
		DequantizeLinear Elu Erf Exp Expand Flatten Floor Gather Gelu GlobalAveragePool GlobalMaxPool
		GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization LRN LayerNormalization
		LeakyRelu LessOrEqual Log MatMul Max MaxPool Mean Min Mish Mod Neg NonZero Not QuantizeLinear
		RMSNormalization Range Reciprocal Relu Reshape Round ScatterND Selu Shape Sigmoid Sin Size
		Softplus Softsign SpaceToDepth Sqrt Sum Swish Tanh ThresholdedRelu Tile Transpose Where`)
}

// raise rewrites the graph's nodes from one opset for a later one. The error names a node that can't be.
func raise(g *protos.GraphProto, from, to int) error {
	if from >= to {
		return nil
	}
	r, table, same := &raiser{graph: g, from: from, to: to}, changes(), unchanged()
	var nodes []*protos.NodeProto
	for _, n := range g.Node {
		c, ok := table[n.GetOpType()]
		switch {
		case n.GetDomain() != "" && n.GetDomain() != "ai.onnx":
			nodes = append(nodes, n)
			continue
		case !ok && slices.Contains(same, n.GetOpType()) || ok && (from >= c.opset || to < c.opset && n.OpType != "Split"):
			nodes = append(nodes, n)
			continue
		}
		r.prefix = n.GetOutput()[0] + "."
		var next []*protos.NodeProto
		if c.convert != nil {
			next = c.convert(r, n)
		}
		if next == nil {
			return fmt.Errorf("node %s (%s) has no known form in opset %d", n.GetName(), n.GetOpType(), to)
		}
		nodes = append(nodes, next...)
	}
	g.Node = nodes
	return nil
}

// take removes an attribute of n and returns it, or nil.
func take(n *protos.NodeProto, name string) (a *protos.AttributeProto) {
	i := slices.IndexFunc(n.Attribute, func(a *protos.AttributeProto) bool { return a.GetName() == name })
	if i < 0 {
		return nil
	}
	a, n.Attribute = n.Attribute[i], slices.Delete(slices.Clone(n.Attribute), i, i+1)
	return a
}

// input makes an attribute input i of n.
func (r *raiser) input(n *protos.NodeProto, name string, i int) {
	a := take(n, name)
	if a == nil {
		return
	}
	t := intTensor(r.prefix+name, a.GetInts()...)
	switch a.GetType() {
	case protos.AttributeProto_FLOAT:
		t = floatTensor(r.prefix+name, nil, []float32{a.GetF()})
	case protos.AttributeProto_FLOATS:
		t = floatTensor(r.prefix+name, []int{len(a.GetFloats())}, a.GetFloats())
	}
	r.graph.Initializer = append(r.graph.Initializer, t)
	for len(n.Input) <= i {
		n.Input = append(n.Input, "")
	}
	n.Input[i] = t.Name
}

// moved converts an operator whose attributes became inputs, the second and those that follow.
func moved(names ...string) func(r *raiser, n *protos.NodeProto) []*protos.NodeProto {
	return func(r *raiser, n *protos.NodeProto) []*protos.NodeProto {
		for i, name := range names {
			r.input(n, name, i+1)
		}
		return []*protos.NodeProto{n}
	}
}

// without converts an operator that lost attributes.
func without(names ...string) func(r *raiser, n *protos.NodeProto) []*protos.NodeProto {
	return func(_ *raiser, n *protos.NodeProto) []*protos.NodeProto {
		for _, name := range names {
			take(n, name)
		}
		return []*protos.NodeProto{n}
	}
}

// unless converts an operator that means the same if an attribute isn't there.
func unless(name string) func(r *raiser, n *protos.NodeProto) []*protos.NodeProto {
	return func(_ *raiser, n *protos.NodeProto) []*protos.NodeProto {
		if take(n, name) != nil {
			return nil
		}
		return []*protos.NodeProto{n}
	}
}

// split makes the sizes an input (13), and says the number of equal parts (18).
func split(r *raiser, n *protos.NodeProto) []*protos.NodeProto {
	r.input(n, "split", 1)
	if r.to >= 18 && len(n.Input) == 1 && take(n, "num_outputs") == nil {
		n.Attribute = append(slices.Clone(n.Attribute), integer("num_outputs", len(n.Output)))
	}
	return []*protos.NodeProto{n}
}

// batchNorm leaves out what was for training, and what says that statistics are by channel (9).
func batchNorm(_ *raiser, n *protos.NodeProto) []*protos.NodeProto {
	take(n, "is_test")
	if a := take(n, "spatial"); len(n.Output) > 1 || a != nil && a.GetI() != 1 {
		return nil
	}
	return []*protos.NodeProto{n}
}

// flattened writes a softmax of all axes from one on, which it was in opsets before 13, unless it is the last axis.
func flattened(r *raiser, n *protos.NodeProto) []*protos.NodeProto {
	axis := 1
	if a := take(n, "axis"); a != nil {
		axis = int(a.GetI())
	}
	n.Attribute = append(slices.Clone(n.Attribute), integer("axis", -1))
	if axis == -1 {
		return []*protos.NodeProto{n}
	}
	x, y := n.Input[0], n.Output[0]
	node := func(op, out string, in []string, a ...*protos.AttributeProto) *protos.NodeProto {
		return &protos.NodeProto{OpType: op, Name: out, Input: in, Output: []string{out}, Attribute: a}
	}
	n.Input, n.Output = []string{r.prefix + "flat"}, []string{r.prefix + "normal"}
	return []*protos.NodeProto{node("Flatten", r.prefix+"flat", []string{x}, integer("axis", axis)), n,
		node("Shape", r.prefix+"shape", []string{x}), node("Reshape", y, []string{n.Output[0], r.prefix + "shape"})}
}

// upsample writes Upsample, or Resize of opset 10, as a Resize that scales coordinates as these did.
func upsample(r *raiser, n *protos.NodeProto) []*protos.NodeProto {
	if r.input(n, "scales", 1); len(n.Input) < 2 {
		return nil
	}
	n.OpType, n.Input = "Resize", []string{n.Input[0], "", n.Input[1]}
	n.Attribute = append(slices.Clone(n.Attribute), text("coordinate_transformation_mode", "asymmetric"),
		text("nearest_mode", "floor"))
	return []*protos.NodeProto{n}
}
