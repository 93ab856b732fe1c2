package models

import "strconv"

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

// maxPool adds max pooling that belongs to no unit: it is called after one has ended.
func (b *builder) maxPool(name, in string, kernel, stride, pad int) string {
	b.first = len(b.n.Layers) + 1
	return b.add(Layer{Name: name, Kind: KindMaxPool, Inputs: []string{in}, Kernel: kernel, ConvSpec: ConvSpec{Stride: stride, Pad: pad}})
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

// sequence adds layers one after the other and numbers them, as PyTorch's Sequential does.
type sequence struct {
	b      *builder
	prefix string // of the names, with the dot
	next   int    // the next layer's number
	x      string // the last layer's name, or what the first one reads
}

// name returns the next layer's name.
func (s *sequence) name() string {
	s.next++
	return s.prefix + strconv.Itoa(s.next-1)
}

// convNorm adds a convolution and its normalisation.
func (s *sequence) convNorm(out, kernel, stride, groups int) {
	s.x = s.b.conv(s.name(), s.x, out, kernel, stride, groups)
	s.x = s.b.norm(s.name(), s.x)
}

// convNormAct is convNorm followed by an activation function.
func (s *sequence) convNormAct(k Kind, out, kernel, stride, groups int) {
	s.convNorm(out, kernel, stride, groups)
	s.x = s.b.activation(k, s.name(), s.x)
}
