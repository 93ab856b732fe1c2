package arch

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/checkpoint"
)

var seedFlag = flag.Uint64("seed", 1, "seed of the random tests")

func random(t testing.TB) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", *seedFlag)
	return rand.New(rand.NewPCG(*seedFlag, 0))
}

// networks returns the teachers' designs at 28 and 32 pixels, both kinds of shortcuts at 30 pixels, whose half is odd,
// and small networks of the paper's families.
func networks(t testing.TB) map[string]*models.Network {
	t.Helper()
	all := map[string]*models.Network{}
	add := func(n *models.Network, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s/%d", n.Name, n.Height)
		for all[name] != nil {
			name += "'"
		}
		all[name] = n
	}
	for _, name := range []string{"mobilenetv2", "regnetx", "resnet20", "resnet8"} {
		add(Design(name, SquareInput(1, 28, 10)))
		add(Design(name, SquareInput(3, 32, 7)))
	}
	for _, pad := range []bool{false, true} {
		add(ResNet(ResNetConfig{Blocks: 1, Width: 3, PadShortcuts: pad, Input: SquareInput(2, 30, 4)}))
		add(ImageNetResNet(ImageNetResNetConfig{Blocks: [4]int{1, 1, 0, 0}, Bottleneck: pad, Input: SquareInput(1, 34, 4)}))
	}
	add(MobileNetV2(MobileNetV2Config{Stem: 4, StemStride: 2, Rows: []InvertedResiduals{{1, 4, 1, 1}, {2, 8, 2, 2}},
		Last: 16, Numbered: true, Input: SquareInput(1, 21, 4)}))
	add(RegNetX(RegNetXConfig{Stem: 4, StemStride: 2, Widths: []int{8, 16}, Depths: []int{1, 2}, Strides: []int{2, 2},
		GroupWidth: 4, Input: SquareInput(1, 21, 4)}))
	add(MNasNet(MNasNetConfig{Width: 0.25, Input: SquareInput(1, 33, 4)}))
	add(EfficientNetLite(EfficientNetLiteConfig{Width: 0.25, Depth: 0.5, Input: Input{1, 35, 64, 4}}))
	return all
}

// randomWeights returns weights for n whose normalisations aren't the identity.
func randomWeights(n *models.Network, rng *rand.Rand) models.Weights {
	w := models.Init(n, rng.Uint64())
	for _, l := range n.Layers {
		if _, ok := l.Op.(models.BatchNorm); !ok {
			continue
		}
		for _, p := range l.Params() {
			v := make([]float32, p.Shape[0])
			for i := range v {
				if strings.HasSuffix(p.Name, ".weight") || strings.HasSuffix(p.Name, ".running_var") {
					v[i] = 0.5 + rng.Float32()
				} else {
					v[i] = float32(rng.NormFloat64()) / 2
				}
			}
			w[p.Name] = tensors.FromFlatDataAndDimensions(v, len(v))
		}
	}
	return w
}

// constants returns hooks whose parameters are those in w.
func constants(t testing.TB, g *Graph, w models.Weights) models.Hooks {
	return models.Hooks{Param: func(name string) *Node { return ConstCachedTensor(g, nettest.Clone(t, w[name])) }}
}

// forward computes the layers first to last of n on the Go backend.
func forward(t testing.TB, n *models.Network, w models.Weights, x *tensors.Tensor, first, last int) []float32 {
	t.Helper()
	y, err := CallOnce(testbackend.All(t)["go"], func(x *Node) *Node {
		return n.Forward(x, first, last, constants(t, x.Graph(), w))
	}, nettest.Clone(t, x))
	if err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](y)
}

func TestShapes(t *testing.T) {
	rng := random(t)
	for name, n := range networks(t) {
		w, shapes := randomWeights(n, rng), n.Shapes()
		if err := w.Check(n); err != nil {
			t.Fatal(err)
		}
		seen := 0
		x := nettest.Randn(rng, 2, n.Channels, n.Height, n.Width)
		y, err := CallOnce(testbackend.All(t)["go"], func(x *Node) *Node {
			h := constants(t, x.Graph(), w)
			h.After = func(l models.Layer, y *Node) *Node {
				if want := append([]int{2}, shapes[seen]...); !slices.Equal(y.Shape().Dimensions, want) {
					t.Errorf("%s: %s has shape %v, Shapes says %v", name, l.Name, y.Shape().Dimensions, want)
				}
				seen++
				return y
			}
			return n.Forward(x, 0, len(n.Layers)-1, h)
		}, x)
		if err != nil {
			t.Fatal(err)
		}
		if got := y.Shape().Dimensions; !slices.Equal(got, []int{2, n.Classes}) || seen != len(n.Layers) ||
			len(shapes) != seen {
			t.Errorf("%s: logits of shape %v after %d of %d layers", name, got, seen, len(n.Layers))
		}
	}
}

// TestForwardInParts computes networks unit by unit: a unit's output is all that the next one needs.
func TestForwardInParts(t *testing.T) {
	rng := random(t)
	b := testbackend.All(t)["go"]
	for name, n := range networks(t) {
		w, x := randomWeights(n, rng), nettest.Randn(rng, 1, n.Channels, n.Height, n.Width)
		whole := forward(t, n, w, x, 0, len(n.Layers)-1)
		parts, err := CallOnce(b, func(x *Node) *Node {
			first := 0
			for _, u := range n.Units {
				x = n.Forward(x, first, u.First-1, constants(t, x.Graph(), w)) // mostly no layers
				x = n.Forward(x, u.First, u.Last, constants(t, x.Graph(), w))
				first = u.Last + 1
			}
			return x
		}, x)
		if err != nil {
			t.Fatal(err)
		}
		if got := tensors.MustCopyFlatData[float32](parts); !slices.Equal(got, whole) {
			t.Errorf("%s: %v in parts, %v as a whole", name, got, whole)
		}
	}
}

// tiny returns a network with one convolution, for images of 1x6x6.
func tiny(t testing.TB) *models.Network {
	t.Helper()
	b := newBuilder("tiny", SquareInput(1, 6, 3))
	x := b.activation(models.ReLU{}, "relu", b.norm("bn", b.conv("conv", models.Image, 2, 3, 1, 1)))
	b.unit("stem")
	b.classifier("fc", x)
	n, err := b.done()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// written returns w as a safetensors file.
func written(t testing.TB, w models.Weights, metadata map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := checkpoint.WriteWeights(&out, w, metadata); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestValidateSkip has a connection that passes by a unit: the network after that unit would need two tensors, but
// Forward gives it one.
func TestValidateSkip(t *testing.T) {
	b := newBuilder("skip", SquareInput(1, 6, 3))
	first := b.conv("a", models.Image, 2, 3, 1, 1)
	b.unit("a")
	second := b.conv("b", first, 2, 3, 1, 1)
	b.unit("b")
	third := b.sum("add", b.conv("c", second, 2, 3, 1, 1), first)
	b.unit("c")
	b.classifier("fc", third)
	if _, err := b.done(); err == nil || !strings.Contains(err.Error(), `layer add reads "a" past unit b`) {
		t.Errorf("Validate: %v", err)
	}

	b = newBuilder("wide", SquareInput(1, 6, 3))
	x := b.conv("a", models.Image, 1, 3, 1, 1)
	b.sum("add", b.conv("b", x, 1, 3, 1, 1), models.Image)
	b.unit("ab")
	b.classifier("fc", "add")
	b.n.Units[0].First = 1 // the unit without its first layer reads that one and the image
	b.n.Layers[0] = models.Layer{Name: "a", Op: models.ReLU{}, Inputs: []string{models.Image}}
	if err := b.n.Validate(); err == nil || !strings.Contains(err.Error(), "unit ab reads 2 tensors from outside; it "+
		"must read one") {
		t.Errorf("Validate: %v", err)
	}
}

func TestDesignErrors(t *testing.T) {
	if _, err := Design("vgg", SquareInput(1, 28, 10)); err == nil ||
		!strings.Contains(err.Error(), `"vgg"; choose one of resnet8, resnet18, `) {
		t.Errorf("Design(vgg): %v", err)
	}
	if _, err := Design("resnet18", SquareInput(3, 0, 10)); err == nil ||
		!strings.Contains(err.Error(), "resnet18 is for images of shape [3 0 0]") {
		t.Errorf("no pixels: %v", err)
	}
	for _, width := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := MNasNet(MNasNetConfig{Width: width, Input: SquareInput(3, 224, 1000)}); err == nil ||
			!strings.Contains(err.Error(), "must be > 0") {
			t.Errorf("MNasNet of width %g: %v", width, err)
		}
	}
	for _, c := range []struct {
		config RegNetXConfig
		want   string
	}{
		{RegNetXConfig{Stem: 8, Widths: []int{16, 20}, Depths: []int{1, 1}, Strides: []int{1, 2}, GroupWidth: 8},
			"groups of 8 channels don't divide the width 20 of stage 2"},
		{RegNetXConfig{Stem: 8, Widths: []int{16}, Depths: []int{1}, Strides: []int{1}},
			"groups of 0 channels don't divide the width 16 of stage 1"},
		{RegNetXConfig{Stem: 8, Widths: []int{16, 32}, Depths: []int{1}, Strides: []int{1, 2}, GroupWidth: 8},
			"2 widths, 1 depths and 2 strides"},
	} {
		c.config.Input = SquareInput(1, 28, 10)
		if _, err := RegNetX(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("RegNetX(%+v): %v, want %q", c.config, err, c.want)
		}
	}
}

// TestDesigns builds every design and counts its layers with weights, which the names of ResNets give, and its units:
// the stem, each block, the classifier, and any between them.
func TestDesigns(t *testing.T) {
	want := map[string][2]int{
		"resnet8": {8 + 2, 5}, "resnet20": {20, 11}, "resnet32": {32, 17}, "resnet44": {44, 23}, "resnet56": {56, 29},
		"resnet110": {110, 56},
		// resnet8 has 2 convolutions in shortcuts
		"resnet18": {18 + 3, 10}, "resnet34": {34 + 3, 18}, "resnet50": {50 + 4, 18},
		"mobilenetv2": {26, 11}, "mobilenetv2-1.0": {53, 20}, "mnasnet-2.0": {53, 21},
		"regnetx": {23, 8}, "regnetx-600mf": {2 + 3*16 + 4, 18}, "regnetx-3.2gf": {2 + 3*25 + 4, 27},
		"efficientnet-lite0": {50, 19}, "efficientnet-lite1": {65, 24}, "efficientnet-lite2": {65, 24},
		"efficientnet-lite3": {74, 27}, "efficientnet-lite4": {92, 33},
	}
	if len(Designs()) != len(want) {
		t.Errorf("designs %v, want %d", Designs(), len(want))
	}
	for _, name := range Designs() {
		n, err := Design(name, SquareInput(3, 224, 1000))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := [2]int{0, len(n.Units)}
		for _, l := range n.Layers {
			if l.HasWeight() {
				got[0]++
			}
		}
		if got != want[name] || n.Name != name {
			t.Errorf("%s (called %s) has %d layers with weights and %d units, want %v", name, n.Name, got[0], got[1], want[name])
		}
	}
}

// TestPaperUnits names the units of two of the paper's networks.
func TestPaperUnits(t *testing.T) {
	for name, want := range map[string]string{
		"resnet18": "conv1 layer1.0 layer1.1 layer2.0 layer2.1 layer3.0 layer3.1 layer4.0 layer4.1 fc",
		"mnasnet-2.0": "layers.0 layers.3 layers.6 layers.8.0 layers.8.1 layers.8.2 layers.9.0 layers.9.1 layers.9.2 " +
			"layers.10.0 layers.10.1 layers.10.2 " +
			"layers.11.0 layers.11.1 layers.12.0 layers.12.1 layers.12.2 layers.12.3 layers.13.0 layers.14 classifier.1",
	} {
		n, err := Design(name, SquareInput(3, 224, 1000))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, u := range n.Units {
			names = append(names, u.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("units of %s are %s, want %s", name, got, want)
		}
	}
}

// TestMNasNetChannels compares channels with those of mnasnet._get_depths in torchvision 0.14.1.
func TestMNasNetChannels(t *testing.T) {
	for width, want := range map[float64][]int{
		0.1:  {8, 8, 8, 8, 8, 16, 24, 32},
		0.35: {16, 8, 8, 16, 32, 32, 64, 112},
		0.75: {24, 16, 24, 32, 64, 72, 144, 240},
		1:    {32, 16, 24, 40, 80, 96, 192, 320},
		1.3:  {40, 24, 32, 56, 104, 128, 248, 416},
		1.4:  {48, 24, 32, 56, 112, 136, 272, 448},
	} {
		var got []int
		for _, n := range []int{32, 16, 24, 40, 80, 96, 192, 320} {
			got = append(got, MNasNetConfig{Width: width}.channels(n))
		}
		if !slices.Equal(got, want) {
			t.Errorf("channels of width %g are %v, want %v", width, got, want)
		}
	}
}

// TestSizes compares the parameters of networks of other sizes, in millions, with torchvision's documentation and
// those of efficientnet-lite-pytorch 0.1.0.
func TestSizes(t *testing.T) {
	for name, want := range map[string]float64{"resnet34": 21.798, "resnet101": 44.549, "resnet152": 60.193,
		"mobilenetv2-1.0": 3.505, "mobilenetv2-0.5": 1.969, "mnasnet-1.0": 4.383, "efficientnet-lite0": 4.652,
		"efficientnet-lite1": 5.417, "efficientnet-lite2": 6.092, "efficientnet-lite3": 8.197, "efficientnet-lite4": 13.007} {
		n, err := Design(name, SquareInput(3, 224, 1000))
		if err != nil {
			t.Fatal(err)
		}
		count := 0.0
		for _, p := range n.Params() {
			size := 1.0
			for _, d := range p.Shape {
				size *= float64(d)
			}
			if !p.Statistic {
				count += size
			}
		}
		if math.Abs(count/1e6-want) > 6e-4 {
			t.Errorf("%s has %.3f million parameters, want %.3f", name, count/1e6, want)
		}
	}
	if n, err := Design("resnet14", Input{3, 24, 40, 5}); err != nil || len(n.Units) != 8 {
		t.Errorf("resnet14 on wide images: %v", err)
	}
	for name, want := range map[string]string{"resnet15": "6n+2", "mobilenetv2-0.0": "must be > 0"} {
		if _, err := Design(name, SquareInput(3, 224, 1000)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
