package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// simplify makes one layer of several where that matters to quantisation, and removes layers that nothing reads.
func (m *made) simplify() error {
	activations, norm := activationPatterns(), layerNorm()
	for changed := true; changed; {
		m.prune()
		shapes, err := m.shapes()
		if err != nil {
			return err
		}
		changed = m.mergeReshapes(shapes)
		for i := range m.layers {
			changed = m.mergePattern(i, shapes, activations, norm) || changed
		}
		changed = m.mergePads() || changed
		changed = m.mergeBiases() || changed
		changed = m.mergeAffine() || changed
	}
	return nil
}

// prune removes layers that don't lead to the output.
func (m *made) prune() {
	needed := map[string]bool{m.output: true}
	for i := len(m.layers) - 1; i >= 0; i-- {
		if l := m.layers[i]; needed[l.Name] {
			for _, in := range l.Inputs {
				needed[in] = true
			}
		}
	}
	m.layers = slices.DeleteFunc(m.layers, func(l models.Layer) bool {
		if needed[l.Name] {
			return false
		}
		for _, p := range l.Params() {
			delete(m.weights, p.Name)
		}
		delete(m.nodes, l.Name)
		delete(m.places, l.Name)
		return true
	})
}

// layer returns the layer called name, or nil.
func (m *made) layer(name string) *models.Layer {
	i := slices.IndexFunc(m.layers, func(l models.Layer) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &m.layers[i]
}

// readers returns how many times layers read name.
func (m *made) readers(name string) int {
	n := 0
	for _, l := range m.layers {
		for _, in := range l.Inputs {
			if in == name {
				n++
			}
		}
	}
	return n
}

// absorb adds the nodes of the layer called from to those of to.
func (m *made) absorb(to, from string) {
	for _, n := range m.nodes[from] {
		if !slices.Contains(m.nodes[to], n) {
			m.nodes[to] = append(m.nodes[to], n)
		}
	}
}

// bypass lets the readers of layer i read its input.
func (m *made) bypass(i int) {
	l := m.layers[i]
	if m.output == l.Name {
		m.output = l.Inputs[0]
	}
	for k := range m.layers {
		for j, in := range m.layers[k].Inputs {
			if in == l.Name {
				m.layers[k].Inputs[j] = l.Inputs[0]
			}
		}
	}
}

// shapes returns the shape of every layer's output for one image.
func (m *made) shapes() (map[string][]int, error) {
	shapes := map[string][]int{models.Image: m.image}
	for _, l := range m.layers {
		in := make([][]int, len(l.Inputs))
		for k, name := range l.Inputs {
			in[k] = shapes[name]
		}
		shape, err := l.Op.Shape(in)
		if err != nil {
			return nil, fmt.Errorf("layer %s (%s) of %s: %w", l.Name, l.Op.Kind(), strings.Join(l.Inputs, ", "), err)
		}
		shapes[l.Name] = shape
	}
	return shapes, nil
}

// mergeReshapes removes reshapes that change nothing, and makes one of two in a row.
func (m *made) mergeReshapes(shapes map[string][]int) (changed bool) {
	for i := range m.layers {
		l := &m.layers[i]
		if _, ok := l.Op.(models.Reshaping); !ok {
			continue
		}
		before := m.layer(l.Inputs[0])
		if slices.Equal(shapes[l.Name], shapes[l.Inputs[0]]) {
			changed = changed || m.readers(l.Name) > 0 || m.output == l.Name
			m.bypass(i)
		} else if before != nil {
			if _, ok := before.Op.(models.Reshaping); ok {
				l.Inputs = slices.Clone(before.Inputs)
				m.absorb(l.Name, before.Name)
				changed = true
			}
		}
	}
	return changed
}

// found is what a pattern has matched.
type found struct {
	x      string   // the layer that the pattern reads
	layers []string // the layers inside, the last excluded
	eps    float64  // of a normalisation
	axes   []int    // of a normalisation
	m      *made
}

// pattern matches the output of the layer called name. It adds to f, which is of no use if there is no match.
type pattern func(f *found, name string) bool

// input matches anything: the same wherever it occurs in a pattern.
func input(f *found, name string) bool {
	if f.x == "" {
		f.x = name
	}
	return f.x == name
}

// inside matches a layer whose op satisfies the condition, and its inputs.
func inside(ok func(f *found, op models.Op) bool, inputs ...pattern) pattern {
	return func(f *found, name string) bool {
		l := f.m.layer(name)
		if l == nil || len(l.Inputs) != len(inputs) || !ok(f, l.Op) {
			return false
		}
		f.layers = append(f.layers, name)
		for i, p := range inputs {
			if !p(f, l.Inputs[i]) {
				return false
			}
		}
		return true
	}
}

// either matches the first alternative that matches.
func either(alternatives ...pattern) pattern {
	return func(f *found, name string) bool {
		for _, p := range alternatives {
			try := *f
			try.layers = slices.Clone(f.layers)
			if p(&try, name) {
				*f = try
				return true
			}
		}
		return false
	}
}

// apply matches a function with these parameters.
func apply(f models.Func, a, b float64, in pattern) pattern {
	near := func(x, y float64) bool { return math.Abs(x-y) <= 1e-4*max(1, math.Abs(y)) }
	return inside(func(_ *found, op models.Op) bool {
		p, ok := op.(models.Pointwise)
		return ok && p.Func == f && near(p.A, a) && near(p.B, b)
	}, in)
}

// only matches a function without parameters.
func only(f models.Func, in pattern) pattern {
	return inside(func(_ *found, op models.Op) bool {
		p, ok := op.(models.Pointwise)
		return ok && p.Func == f
	}, in)
}

// kind matches an op that is equal to this one.
func kind(want models.Op, inputs ...pattern) pattern {
	return inside(func(_ *found, op models.Op) bool { return op.Kind() == want.Kind() }, inputs...)
}

// product and total match a·b and a+b in either order.
func product(a, b pattern) pattern {
	mul := models.Binary{Func: models.BinaryMul}
	return either(kind(mul, a, b), kind(mul, b, a))
}

func total(a, b pattern) pattern {
	add := models.Binary{Func: models.BinaryAdd}
	return either(kind(models.Sum{}, a, b), kind(models.Sum{}, b, a), kind(add, a, b), kind(add, b, a))
}

// mean matches a mean over last axes.
func mean(in pattern) pattern {
	return inside(func(f *found, op models.Op) bool {
		r, ok := op.(models.Reduce)
		if !ok || r.Func != models.ReduceByMean || !r.Keep || f.axes != nil && !slices.Equal(f.axes, r.Axes) {
			return false
		}
		f.axes = r.Axes
		return true
	}, in)
}

// plusEps matches x+ε.
func plusEps(in pattern) pattern {
	return inside(func(f *found, op models.Op) bool {
		p, ok := op.(models.Pointwise)
		f.eps = p.B
		return ok && p.Func == models.FuncAffine && p.A == 1 && p.B > 0 && p.B < 0.1
	}, in)
}

// written is a function that exporters write as several operators.
type written struct {
	op models.Op
	is pattern
}

// activationPatterns returns the activation functions that exporters write as several operators.
func activationPatterns() []written {
	affine := models.FuncAffine
	erf := apply(affine, 1, 1, only(models.FuncErf, apply(affine, math.Sqrt2/2, 0, input)))
	half := apply(affine, 0.5, 0, input)
	cube := either(apply(models.FuncPow, 3, 0, input), product(input, product(input, input)))
	inner := either(total(input, apply(affine, 0.044715, 0, cube)),
		product(input, apply(affine, 0.044715, 1, product(input, input))))
	tanh := apply(affine, 1, 1, only(models.FuncTanh, apply(affine, math.Sqrt(2/math.Pi), 0, inner)))
	relu6 := kind(models.ReLU6{}, apply(affine, 1, 3, input))
	return []written{
		{models.Pointwise{Func: models.FuncSiLU}, product(input, only(models.FuncSigmoid, input))},
		{models.Pointwise{Func: models.FuncHardSwish}, either(product(input, apply(models.FuncHardSigmoid, 1./6, 0.5, input)),
			product(input, apply(affine, 1./6, 0, relu6)), apply(affine, 1./6, 0, product(input, relu6)))},
		{models.Pointwise{Func: models.FuncMish}, product(input, only(models.FuncTanh, only(models.FuncSoftplus, input)))},
		{models.Pointwise{Func: models.FuncGELU}, either(apply(affine, 0.5, 0, product(input, erf)), product(half, erf),
			product(input, apply(affine, 0.5, 0, erf)))},
		{models.Pointwise{Func: models.FuncGELUTanh}, either(apply(affine, 0.5, 0, product(input, tanh)), product(half, tanh),
			product(input, apply(affine, 0.5, 0, tanh)))},
		{models.Pointwise{Func: models.FuncHardSigmoid, A: 1. / 6, B: 0.5}, apply(affine, 1./6, 0, relu6)},
	}
}

// lastName returns what follows the last dot.
func lastName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// whole says whether all layers in the module are among these.
func (m *made) whole(module string, layers []string) bool {
	for _, l := range m.layers {
		if strings.HasPrefix(l.Name, module+".") && !slices.Contains(layers, l.Name) {
			return false
		}
	}
	return true
}

// rename gives layer i, which has no weights, another name.
func (m *made) rename(i int, name string) {
	old := m.layers[i].Name
	m.layers[i].Name = name
	m.nodes[name], m.places[name] = m.nodes[old], m.places[old]
	delete(m.nodes, old)
	delete(m.places, old)
	if m.output == old {
		m.output = name
	}
	for _, l := range m.layers {
		for k, in := range l.Inputs {
			if in == old {
				l.Inputs[k] = name
			}
		}
	}
}

// centred matches x minus its mean.
func centred() pattern {
	return kind(models.Binary{Func: models.BinarySub}, input, mean(input))
}

// layerNorm matches a layer normalisation without weight and bias.
func layerNorm() pattern {
	square := either(apply(models.FuncPow, 2, 0, centred()), product(centred(), centred()))
	return kind(models.Binary{Func: models.BinaryDiv}, centred(), only(models.FuncSqrt, plusEps(mean(square))))
}

// mergePattern replaces layer i by one that computes the same as it and layers before it.
func (m *made) mergePattern(i int, shapes map[string][]int, activations []written, norm pattern) bool {
	l := &m.layers[i]
	replace := func(op models.Op, f found) bool {
		for _, name := range f.layers {
			m.absorb(l.Name, name)
		}
		l.Op, l.Inputs = op, []string{f.x}
		return true
	}
	for _, p := range activations {
		if f := (found{m: m}); p.is(&f, l.Name) {
			replace(p.op, f)
			module := strings.TrimSuffix(l.Name, "."+lastName(l.Name))
			if module != l.Name && m.layer(module) == nil && m.whole(module, f.layers) {
				m.rename(i, module)
			}
			return true
		}
	}
	f := found{m: m}
	if !norm(&f, l.Name) {
		return false
	}
	x := shapes[f.x]
	first := len(x) - len(f.axes)
	for k, a := range f.axes {
		if a != first+k {
			return false
		}
	}
	return replace(models.LayerNorm{Dims: slices.Clone(x[first:]), Eps: f.eps}, f)
}

// mergeAffine gives a layer normalisation the scale and the shift that follow it.
func (m *made) mergeAffine() (changed bool) {
	for i := range m.layers {
		l := &m.layers[i]
		c, ok := l.Op.(models.WithConstant)
		if !ok {
			continue
		}
		before := m.layer(l.Inputs[0])
		if before == nil || m.readers(before.Name) != 1 {
			continue
		}
		norm, ok := before.Op.(models.LayerNorm)
		if !ok || !slices.Equal(c.Dims, norm.Dims) {
			continue
		}
		param := ".weight"
		switch {
		case c.Func == models.BinaryMul && !norm.Affine && !norm.Bias:
			norm.Affine = true
		case c.Func == models.BinaryAdd && !norm.Bias:
			norm.Bias, param = true, ".bias"
		default:
			continue
		}
		m.weights[before.Name+param] = m.weights[l.Name+".value"]
		before.Op = norm
		m.absorb(before.Name, l.Name)
		m.extend(before.Name, l.Name)
		m.bypass(i)
		changed = true
	}
	return changed
}

// mergePads gives a convolution the zeros around its input.
func (m *made) mergePads() (changed bool) {
	for i := range m.layers {
		l := &m.layers[i]
		c, ok := l.Op.(models.Conv)
		if !ok {
			continue
		}
		before := m.layer(l.Inputs[0])
		if before == nil {
			continue
		}
		p, ok := before.Op.(models.PadAxes)
		if !ok || p.Mode != models.PadConstant || p.Value != 0 || len(p.Before) != 3 || p.Before[0] != 0 || p.After[0] != 0 ||
			slices.Min(p.Before) < 0 || slices.Min(p.After) < 0 {
			continue
		}
		c.Pad.Top += p.Before[1]
		c.Pad.Left += p.Before[2]
		c.Pad.Bottom += p.After[1]
		c.Pad.Right += p.After[2]
		l.Op, l.Inputs = c, slices.Clone(before.Inputs)
		m.absorb(l.Name, before.Name)
		changed = true
	}
	return changed
}

// mergeBiases gives a linear layer or a convolution the constant that is added to each of its channels.
func (m *made) mergeBiases() (changed bool) {
	for i := range m.layers {
		l := &m.layers[i]
		c, ok := l.Op.(models.WithConstant)
		if !ok || c.Func != models.BinaryAdd {
			continue
		}
		before := m.layer(l.Inputs[0])
		if before == nil || m.readers(before.Name) != 1 {
			continue
		}
		switch op := before.Op.(type) {
		case models.Linear:
			if !slices.Equal(c.Dims, []int{op.Out}) {
				continue
			}
		case models.Conv:
			if !slices.Equal(c.Dims, []int{op.Out, 1, 1}) {
				continue
			}
			before.Op = op.Biased()
		default:
			continue
		}
		value := tensors.MustCopyFlatData[float32](m.weights[l.Name+".value"])
		if old := m.weights[before.Name+".bias"]; old != nil {
			for k, b := range tensors.MustCopyFlatData[float32](old) {
				value[k] += b
			}
		}
		m.weights[before.Name+".bias"] = tensors.FromFlatDataAndDimensions(value, len(value))
		m.absorb(before.Name, l.Name)
		m.extend(before.Name, l.Name)
		m.bypass(i)
		changed = true
	}
	return changed
}
