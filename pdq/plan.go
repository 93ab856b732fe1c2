package pdq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pdquant/pdquant/models"
)

// LayerBits are the widths in bits of the weight and the output of one layer of a folded network. 0: not quantised.
type LayerBits struct {
	Layer  string
	Weight int `json:",omitempty"`
	Output int `json:",omitempty"`
}

// Plan has the widths of all layers with quantised tensors, in the network's order.
type Plan []LayerBits

// Plan returns the widths that the rule and the exceptions give to the folded network n.
//
// What products read is quantised: the inputs of convolutions and linear layers, and both inputs of a matrix product.
// Where pooling, reshaping and the like come between, the tensor before them is quantised. So a convolution's output
// isn't quantised before the activation function or the addition that follows it, and logits never are. The error names
// a tensor in Except that the rule doesn't quantise.
func (b Bits) Plan(n *models.Network) (Plan, error) {
	p := b.rule(n)
	for _, x := range strings.Fields(b.Except) {
		tensor, bits, err := parseException(x)
		if err != nil {
			return nil, err
		}
		if p, err = p.With(tensor, bits); err != nil {
			return nil, fmt.Errorf("pdq: Bits.Except, %s: %w", n.Name, err)
		}
	}
	return p, nil
}

// rule returns the widths that the rule alone gives to n.
func (b Bits) rule(n *models.Network) Plan {
	var p Plan
	var weights, outputs []int // indices into p
	for i, l := range n.Layers {
		lb := LayerBits{Layer: l.Name}
		if l.HasWeight() {
			lb.Weight = b.W
		}
		if quantisesOutput(n, i) {
			lb.Output = b.A
		}
		if lb.Weight > 0 {
			weights = append(weights, len(p))
		}
		if lb.Output > 0 {
			outputs = append(outputs, len(p))
		}
		if lb.Weight+lb.Output > 0 {
			p = append(p, lb)
		}
	}
	if b.Rule == AllLow {
		return p
	}
	if len(weights) > 0 {
		p[weights[0]].Weight, p[weights[len(weights)-1]].Weight = 8, 8
	}
	if len(outputs) > 0 {
		p[outputs[len(outputs)-1]].Output = 8
		if b.Rule == BRECQ {
			p[outputs[0]].Output = 8
		}
	}
	return p
}

// With returns p with another width of one tensor: 2 to 8 bits, or 0 for full precision. The tensor's name is
// "LAYER.weight" or "LAYER.output". The error lists the tensors.
func (p Plan) With(tensor string, bits int) (Plan, error) {
	if bits != 0 && (bits < 2 || bits > 8) {
		return nil, fmt.Errorf("%s of %d bits; choose 2 to 8, or 0 for full precision", tensor, bits)
	}
	next := slices.Clone(p)
	for i := range next {
		if width := next[i].width(tensor); width != nil && *width > 0 {
			*width = bits
			return slices.DeleteFunc(next, func(l LayerBits) bool { return l.Weight+l.Output == 0 }), nil
		}
	}
	return nil, fmt.Errorf("no quantised tensor is called %q; choose one of %s", tensor, strings.Join(p.Tensors(), ", "))
}

// width returns a pointer to the width of a tensor of l, or nil for other tensors.
func (l *LayerBits) width(tensor string) *int {
	switch tensor {
	case l.Layer + weightTensor:
		return &l.Weight
	case l.Layer + outputTensor:
		return &l.Output
	}
	return nil
}

// A tensor's name is its layer's and one of these.
const (
	weightTensor = ".weight"
	outputTensor = ".output"
)

// Tensors lists the names of the tensors that p quantises: "LAYER.weight" and "LAYER.output".
func (p Plan) Tensors() []string {
	var names []string
	for _, l := range p {
		if l.Weight > 0 {
			names = append(names, l.Layer+weightTensor)
		}
		if l.Output > 0 {
			names = append(names, l.Layer+outputTensor)
		}
	}
	return names
}

// Layer returns the widths of the layer called name. They are 0 for tensors that p doesn't quantise.
func (p Plan) Layer(name string) LayerBits {
	if i := slices.IndexFunc(p, func(l LayerBits) bool { return l.Layer == name }); i >= 0 {
		return p[i]
	}
	return LayerBits{Layer: name}
}

// Following returns b with the exceptions that make its plan for n equal to p. The error names a tensor that p
// quantises but the rule doesn't, or a width that isn't 2 to 8.
func (b Bits) Following(n *models.Network, p Plan) (Bits, error) {
	b.Except = ""
	rule := b.rule(n)
	for _, tensor := range p.Tensors() {
		if !slices.Contains(rule.Tensors(), tensor) {
			return b, fmt.Errorf("pdq: the plan quantises %s, but %s has no quantised tensor of that name; choose among %s",
				tensor, n.Name, strings.Join(rule.Tensors(), ", "))
		}
	}
	var exceptions []string
	for _, tensor := range rule.Tensors() {
		name := tensor[:strings.LastIndexByte(tensor, '.')]
		was, is := rule.Layer(name), p.Layer(name)
		if want := *is.width(tensor); want != *was.width(tensor) {
			if _, err := rule.With(tensor, want); err != nil {
				return b, fmt.Errorf("pdq: the plan: %w", err)
			}
			exceptions = append(exceptions, fmt.Sprintf("%s=%d", tensor, want))
		}
	}
	b.Except = strings.Join(exceptions, " ")
	return b, nil
}

// parseException splits "LAYER.weight=4".
func parseException(text string) (tensor string, bits int, err error) {
	tensor, number, ok := strings.Cut(text, "=")
	if ok {
		bits, err = strconv.Atoi(number)
	}
	if !ok || err != nil || !strings.HasSuffix(tensor, weightTensor) && !strings.HasSuffix(tensor, outputTensor) {
		return "", 0, fmt.Errorf("pdq: Bits.Except: %q; give LAYER.weight=BITS or LAYER.output=BITS", text)
	}
	return tensor, bits, nil
}

// String returns the plan as a table: a line for each layer, with the bits of its weight and of its output.
func (p Plan) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, l := range p {
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.Layer, labelled("w", l.Weight), labelled("a", l.Output))
	}
	_ = w.Flush() // a Builder returns no errors
	return text.String()
}

// labelled returns label and bits, or "" for 0 bits.
func labelled(label string, bits int) string {
	if bits == 0 {
		return ""
	}
	return label + strconv.Itoa(bits)
}

// planHeader is the first line of a plan's TSV.
const planHeader = "layer\tweight\toutput"

// WriteTSV writes p as tab-separated values: a header, then a line for each layer, with an empty field for 0 bits. For
// JSON, use encoding/json.
func (p Plan) WriteTSV(w io.Writer) error {
	text := planHeader + "\n"
	for _, l := range p {
		text += l.Layer + "\t" + labelled("", l.Weight) + "\t" + labelled("", l.Output) + "\n"
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("pdq: writing the plan: %w", err)
	}
	return nil
}

// ReadPlan reads a plan from TSV, as WriteTSV writes it, or from JSON, which starts with "[".
func ReadPlan(r io.Reader) (Plan, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("pdq: reading the plan: %w", err)
	}
	var p Plan
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		if err := json.Unmarshal(data, &p); err != nil {
			return nil, fmt.Errorf("pdq: the plan: %w", err)
		}
		return p, p.check()
	}
	for i, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if i == 0 && line == planHeader {
			continue
		}
		l, err := parsePlanLine(line)
		if err != nil || i == 0 {
			return nil, fmt.Errorf("pdq: the plan, line %d: %q; give a JSON list, or TSV with the header %q and "+
				"widths of 2 to 8", i+1, line, planHeader)
		}
		p = append(p, l)
	}
	return p, p.check()
}

// parsePlanLine reads one layer of a plan's TSV.
func parsePlanLine(line string) (l LayerBits, err error) {
	fields := strings.Split(line, "\t")
	if len(fields) != 3 || fields[0] == "" {
		return l, errors.New("three fields are needed")
	}
	l.Layer = fields[0]
	for i, to := range []*int{&l.Weight, &l.Output} {
		if text := fields[i+1]; text != "" {
			if *to, err = strconv.Atoi(text); err != nil {
				return l, err
			}
		}
	}
	return l, nil
}

// check returns an error if a layer occurs twice, or if a width is neither 0 nor 2 to 8.
func (p Plan) check() error {
	seen := map[string]bool{}
	for _, l := range p {
		for _, bits := range []int{l.Weight, l.Output} {
			if bits != 0 && (bits < 2 || bits > 8) {
				return fmt.Errorf("pdq: the plan: %s has %d bits; choose 2 to 8, or leave it out for full precision", l.Layer, bits)
			}
		}
		if seen[l.Layer] {
			return fmt.Errorf("pdq: the plan: layer %s occurs twice; remove one of its lines", l.Layer)
		}
		seen[l.Layer] = true
	}
	return nil
}

// quantisesOutput says whether the output of layer i of a folded network is quantised: whether a product reads it,
// directly or through layers that pass it on. A network's input and its logits aren't quantised, nor is what comes of
// the input before any product, such as its normalisation.
func quantisesOutput(n *models.Network, i int) bool {
	return !n.Layers[i].Op.Role().Passes && multiplied(n, i) && !beforeProducts(n, i)
}

// beforeProducts says whether the output of layer i comes from the network's input and constants, without any product.
func beforeProducts(n *models.Network, i int) bool {
	l := n.Layers[i]
	later := func(in string) bool {
		k := n.Index(in)
		return k >= 0 && len(n.Layers[k].Inputs) > 0 && !beforeProducts(n, k)
	}
	return !l.Op.Role().Product && len(l.Inputs) > 0 && !slices.ContainsFunc(l.Inputs, later)
}

// multiplied says whether a product reads the output of layer i, directly or through layers that pass it on.
func multiplied(n *models.Network, i int) bool { return len(Products(n, i)) > 0 }

// Products lists the layers that multiply the output of layer i of n, having read it directly or through layers that
// pass it on, such as pooling. Because of them it is quantised.
func Products(n *models.Network, i int) []string {
	var names []string
	for _, c := range n.Consumers(i) {
		switch role := n.Layers[c].Op.Role(); {
		case role.Product:
			names = append(names, n.Layers[c].Name)
		case role.Passes:
			names = append(names, Products(n, c)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
