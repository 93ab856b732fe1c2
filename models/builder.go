package models

// builder appends layers to a Network; each method returns the name of the layer
// it added. Architectures are written with it.
type builder struct {
	n     *Network
	chans map[string]int
	first int // of the unit being built
}

func newBuilder(name string, channels, size, classes int) *builder {
	return &builder{n: &Network{Name: name, Channels: channels, Size: size, Classes: classes}, chans: map[string]int{Image: channels}}
}

func (b *builder) add(l Layer) string {
	if l.Out == 0 {
		l.Out = b.chans[l.Inputs[0]]
	}
	b.chans[l.Name] = l.Out
	b.n.Layers = append(b.n.Layers, l)
	return l.Name
}

// conv adds a convolution without bias that keeps the size at stride 1.
func (b *builder) conv(name, in string, out, kernel, stride, groups int) string {
	return b.add(Layer{Name: name, Kind: KindConv, Inputs: []string{in}, In: b.chans[in], Out: out, Kernel: kernel,
		ConvSpec: ConvSpec{Stride: stride, Pad: kernel / 2, Groups: groups}})
}

func (b *builder) norm(name, in string) string {
	return b.add(Layer{Name: name, Kind: KindBatchNorm, Inputs: []string{in}, Eps: 1e-5})
}

func (b *builder) activation(k Kind, name, in string) string {
	return b.add(Layer{Name: name, Kind: k, Inputs: []string{in}})
}

func (b *builder) sum(name, x, y string) string {
	return b.add(Layer{Name: name, Kind: KindAdd, Inputs: []string{x, y}})
}

// classifier adds average pooling, and a linear layer called name as the last unit.
func (b *builder) classifier(name, in string) {
	b.first = len(b.n.Layers) + 1 // the pooling belongs to no unit
	pool := b.add(Layer{Name: "avgpool", Kind: KindGlobalAvgPool, Inputs: []string{in}})
	b.add(Layer{Name: name, Kind: KindLinear, Inputs: []string{pool}, In: b.chans[pool], Out: b.n.Classes})
	b.unit(name)
}

// unit ends the unit called name at the last layer added.
func (b *builder) unit(name string) {
	b.n.Units = append(b.n.Units, Unit{name, b.first, len(b.n.Layers) - 1})
	b.first = len(b.n.Layers)
}

func (b *builder) done() (*Network, error) {
	return b.n, b.n.Validate()
}
