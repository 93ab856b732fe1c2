package arch

import (
	"strconv"

	"github.com/pdquant/pdquant/models"
)

// Input is the shape of the images that a network takes, and the number of classes that it tells apart.
type Input struct {
	Channels, Height, Width int
	Classes                 int
}

// SquareInput returns the Input of images of size x size pixels.
func SquareInput(channels, size, classes int) Input { return Input{channels, size, size, classes} }

// builder makes a Network layer by layer. Each method that adds a layer returns the layer's name.
type builder struct {
	n     *models.Network
	chans map[string]int // of each layer's output
	first int            // index of the current unit's first layer
	eps   float64        // of normalisations
}

func newBuilder(name string, im Input) *builder {
	n := &models.Network{Name: name, Channels: im.Channels, Height: im.Height, Width: im.Width, Classes: im.Classes}
	return &builder{n: n, chans: map[string]int{models.Image: im.Channels}, eps: 1e-5}
}

func (b *builder) add(name string, op models.Op, out int, inputs ...string) string {
	b.chans[name] = out
	b.n.Layers = append(b.n.Layers, models.Layer{Name: name, Inputs: inputs, Op: op})
	return name
}

// conv adds a convolution without bias, padded so that stride 1 keeps the size.
func (b *builder) conv(name, in string, out, kernel, stride, groups int) string {
	op := models.Conv{In: b.chans[in], Out: out, Window: models.SquareWindow(kernel, stride, kernel/2), Groups: groups}
	return b.add(name, op, out, in)
}

func (b *builder) norm(name, in string) string {
	return b.add(name, models.BatchNorm{Channels: b.chans[in], Eps: b.eps}, b.chans[in], in)
}

func (b *builder) activation(op models.Op, name, in string) string {
	return b.add(name, op, b.chans[in], in)
}

func (b *builder) sum(name, x, y string) string { return b.add(name, models.Sum{}, b.chans[x], x, y) }

// maxPool adds max pooling that belongs to no unit. Call it between units.
func (b *builder) maxPool(name, in string, kernel, stride, pad int) string {
	b.first = len(b.n.Layers) + 1
	return b.add(name, models.MaxPooling{Window: models.SquareWindow(kernel, stride, pad)}, b.chans[in], in)
}

// classifier adds average pooling, and a linear layer called name as the last unit.
func (b *builder) classifier(name, in string) {
	b.first = len(b.n.Layers) + 1 // the pooling belongs to no unit
	pool := b.add("avgpool", models.GlobalAvgPooling{}, b.chans[in], in)
	b.add(name, models.Linear{In: b.chans[pool], Out: b.n.Classes}, b.n.Classes, pool)
	b.unit(name)
}

// unit makes the layers added since the last unit a unit called name.
func (b *builder) unit(name string) {
	b.n.Units = append(b.n.Units, models.Unit{Name: name, First: b.first, Last: len(b.n.Layers) - 1})
	b.first = len(b.n.Layers)
}

func (b *builder) done() (*models.Network, error) {
	return b.n, b.n.Validate()
}

// sequence adds layers one after the other, and numbers them as PyTorch's Sequential does.
type sequence struct {
	b      *builder
	prefix string // of the names, with the dot
	next   int    // the next layer's number
	x      string // the last layer's name; at first, the name of the input
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
func (s *sequence) convNormAct(op models.Op, out, kernel, stride, groups int) {
	s.convNorm(out, kernel, stride, groups)
	s.x = s.b.activation(op, s.name(), s.x)
}
