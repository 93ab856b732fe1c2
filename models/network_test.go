package models

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

var seedFlag = flag.Uint64("seed", 1, "seed of the random tests")

func random(t testing.TB) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", *seedFlag)
	return rand.New(rand.NewPCG(*seedFlag, 0))
}

// networks returns the teachers' designs at 28 and 32 pixels, both kinds of shortcuts at 30,
// which halves to an odd size, and small relatives of the paper's networks.
func networks(t testing.TB) map[string]*Network {
	t.Helper()
	all := map[string]*Network{}
	add := func(n *Network, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s/%d", n.Name, n.Size)
		for all[name] != nil {
			name += "'"
		}
		all[name] = n
	}
	for _, name := range []string{"mobilenetv2", "regnetx", "resnet20", "resnet8"} {
		add(Design(name, 1, 28, 10))
		add(Design(name, 3, 32, 7))
	}
	for _, pad := range []bool{false, true} {
		add(ResNet(ResNetConfig{Blocks: 1, Width: 3, PadShortcuts: pad, Channels: 2, Size: 30, Classes: 4}))
		add(ImageNetResNet(ImageNetResNetConfig{Blocks: [4]int{1, 1, 0, 0}, Bottleneck: pad, Channels: 1, Size: 34, Classes: 4}))
	}
	add(MobileNetV2(MobileNetV2Config{Stem: 4, StemStride: 2, Rows: []InvertedResiduals{{1, 4, 1, 1}, {2, 8, 2, 2}}, Last: 16, Numbered: true, Channels: 1, Size: 21, Classes: 4}))
	add(RegNetX(RegNetXConfig{Stem: 4, StemStride: 2, Widths: []int{8, 16}, Depths: []int{1, 2}, Strides: []int{2, 2}, GroupWidth: 4, Channels: 1, Size: 21, Classes: 4}))
	add(MNasNet(MNasNetConfig{Width: 0.25, Channels: 1, Size: 33, Classes: 4}))
	return all
}

// randomWeights returns weights for n with normalisations that do something.
func randomWeights(n *Network, rng *rand.Rand) Weights {
	w := Init(n, rng.Uint64())
	for _, l := range n.Layers {
		if l.Kind != KindBatchNorm {
			continue
		}
		for _, p := range l.Params() {
			v := make([]float32, l.Out)
			for i := range v {
				if strings.HasSuffix(p.Name, ".weight") || strings.HasSuffix(p.Name, ".running_var") {
					v[i] = 0.5 + rng.Float32()
				} else {
					v[i] = float32(rng.NormFloat64()) / 2
				}
			}
			w[p.Name] = tensors.FromFlatDataAndDimensions(v, l.Out)
		}
	}
	return w
}

// constants returns hooks that take their parameters from w.
func constants(t testing.TB, g *Graph, w Weights) Hooks {
	return Hooks{Param: func(name string) *Node { return ConstCachedTensor(g, clone(t, w[name])) }}
}

// forward computes layers first to last of n on the Go backend.
func forward(t testing.TB, n *Network, w Weights, x *tensors.Tensor, first, last int) []float32 {
	t.Helper()
	y, err := CallOnce(backends(t)["go"], func(x *Node) *Node {
		return n.Forward(x, first, last, constants(t, x.Graph(), w))
	}, clone(t, x))
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
		x := randn(rng, 2, n.Channels, n.Size, n.Size)
		y, err := CallOnce(backends(t)["go"], func(x *Node) *Node {
			h := constants(t, x.Graph(), w)
			h.After = func(l Layer, y *Node) *Node {
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
		if got := y.Shape().Dimensions; !slices.Equal(got, []int{2, n.Classes}) || seen != len(n.Layers) || len(shapes) != seen {
			t.Errorf("%s: logits of shape %v after %d of %d layers", name, got, seen, len(n.Layers))
		}
	}
}

// TestForwardInParts computes networks unit by unit: what a unit hands on is all that
// the next one needs.
func TestForwardInParts(t *testing.T) {
	rng := random(t)
	b := backends(t)["go"]
	for name, n := range networks(t) {
		w, x := randomWeights(n, rng), randn(rng, 1, n.Channels, n.Size, n.Size)
		whole := forward(t, n, w, x, 0, len(n.Layers)-1)
		parts, err := CallOnce(b, func(x *Node) *Node {
			first := 0
			for _, u := range n.Units {
				x = n.Forward(x, first, u.First-1, constants(t, x.Graph(), w)) // often no layer
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

func TestHooks(t *testing.T) {
	n := tiny(t)
	w := Init(n, 1)
	x := randn(random(t), 1, 1, 6, 6)
	var normed, after []string
	y, err := CallOnce(backends(t)["go"], func(x *Node) *Node {
		h := constants(t, x.Graph(), w)
		h.Norm = func(l Layer, x *Node) *Node {
			normed = append(normed, l.Name)
			return x
		}
		h.After = func(l Layer, y *Node) *Node {
			after = append(after, l.Name)
			if l.Kind == KindLinear {
				return y
			}
			return ZerosLike(y) // so the logits are the bias
		}
		return n.Forward(x, 0, len(n.Layers)-1, h)
	}, x)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(normed); got != "[bn]" {
		t.Errorf("Norm saw %s, want [bn]", got)
	}
	if got := fmt.Sprint(after); got != "[conv bn relu avgpool fc]" {
		t.Errorf("After saw %s", got)
	}
	if got := tensors.MustCopyFlatData[float32](y); !slices.Equal(got, []float32{0, 0, 0}) {
		t.Errorf("logits %v don't come from what After returned", got)
	}
}

// tiny is a network of one convolution, for 1x6x6 images.
func tiny(t testing.TB) *Network {
	t.Helper()
	b := newBuilder("tiny", 1, 6, 3)
	x := b.activation(KindReLU, "relu", b.norm("bn", b.conv("conv", Image, 2, 3, 1, 1)))
	b.unit("stem")
	b.classifier("fc", x)
	n, err := b.done()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(n *Network)
		want   string
	}{
		{"no layers", func(n *Network) { n.Layers, n.Units = nil, nil }, "tiny has no layers"},
		{"order", func(n *Network) { n.Layers[0].Inputs = []string{"relu"} }, `layer conv reads "relu", which is no earlier layer`},
		{"self", func(n *Network) { n.Layers[0].Inputs = []string{"conv"} }, `layer conv reads "conv"`},
		{"two layers", func(n *Network) { n.Layers[2].Name = "bn" }, `two layers are called "bn"`},
		{"called image", func(n *Network) { n.Layers[1].Name = Image }, `two layers are called "image"`},
		{"two units", func(n *Network) { n.Units[1].Name = "stem" }, `two units are called "stem"`},
		{"no input", func(n *Network) { n.Layers[1].Inputs = nil }, "layer bn (batchnorm) has 0 inputs; it must have 1"},
		{"two inputs", func(n *Network) { n.Layers[1].Inputs = []string{"conv", Image} }, "layer bn (batchnorm) has 2 inputs; it must have 1"},
		{"sum of one", func(n *Network) { n.Layers[2].Kind = KindAdd }, "layer relu (add) has 1 inputs; it must have 2"},
		{"kind", func(n *Network) { n.Layers[2].Kind = 99 }, "layer relu is of unknown kind 99"},
		{"groups", func(n *Network) { n.Layers[0].Groups = 2 }, "layer conv (conv) takes 1 channels to 2 in 2 groups"},
		{"stride", func(n *Network) { n.Layers[0].Stride = 0 }, "stride 0"},
		{"shortcut", func(n *Network) {
			n.Layers[2] = Layer{Name: "relu", Kind: KindPadShortcut, Inputs: []string{"bn"}, In: 2, Out: 1, ConvSpec: ConvSpec{Stride: 1}}
		},
			"layer relu (pad-shortcut) takes 2 channels to 1"},
		{"outside", func(n *Network) { n.Units[0].First = 1 }, "layer conv has weights, but is in no unit"},
		{"overlap", func(n *Network) { n.Units[1].First = 2 }, "unit fc is layers 2 to 4; it must start at 3 or later and end before 5"},
		{"beyond", func(n *Network) { n.Units[1].Last = 5 }, "unit fc is layers 4 to 5"},
		{"empty unit", func(n *Network) { n.Units[0].Last = -1 }, "unit stem is layers 0 to -1"},
		{"missing unit", func(n *Network) { n.Units = n.Units[:1] }, "the last unit ends at layer 2 of 5"},
		{"past", func(n *Network) { n.Layers[3].Inputs = []string{"bn"} }, `layer avgpool reads "bn" past unit stem; after a unit only its output may be read`},
		{"image past", func(n *Network) { n.Layers[3].Inputs, n.Layers[4].In = []string{Image}, 1 }, `layer avgpool reads "image" past unit stem`},
		{"no pixels", func(n *Network) { n.Size = 0 }, "is for images of 1 channels and 0 pixels"},
		{"image's channels", func(n *Network) { n.Channels = 3 }, `layer conv (conv) takes 1 channels, but "image" has 3; they must be equal`},
		{"norm's channels", func(n *Network) { n.Layers[1].Out = 3 }, `layer bn (batchnorm) takes 3 channels, but "conv" has 2`},
		{"linear's channels", func(n *Network) { n.Layers[4].In = 5 }, `layer fc (linear) takes 5 channels, but "avgpool" has 2`},
		{"shortcut's channels", func(n *Network) {
			n.Layers[2] = Layer{Name: "relu", Kind: KindPadShortcut, Inputs: []string{"bn"}, In: 1, Out: 4, ConvSpec: ConvSpec{Stride: 1}}
		}, `layer relu (pad-shortcut) takes 1 channels, but "bn" has 2`},
		{"classes", func(n *Network) { n.Classes = 4 }, "the last layer, fc, has shape [3]; for 4 classes it must be [4]"},
		{"not pooled", func(n *Network) { n.Layers[4].Inputs = []string{"relu"} }, `layer fc (linear) takes an input of 1 dimensions, but "relu" has shape [2 6 6]`},
		{"pooled twice", func(n *Network) {
			n.Layers[4] = Layer{Name: "fc", Kind: KindGlobalAvgPool, Inputs: []string{"avgpool"}}
		},
			`layer fc (avgpool) takes an input of 3 dimensions, but "avgpool" has shape [2]`},
		{"other channels", func(n *Network) { n.Layers[2].Kind, n.Layers[2].Inputs = KindAdd, []string{"bn", Image} },
			`layer relu (add) sums "bn" of shape [2 6 6] and "image" of shape [1 6 6]; they must be equal`},
		{"other sizes", func(n *Network) {
			n.Layers[0].Out, n.Layers[0].Pad, n.Layers[1].Out = 1, 0, 1
			n.Layers[2].Kind, n.Layers[2].Inputs = KindAdd, []string{"bn", Image}
		}, `layer relu (add) sums "bn" of shape [1 4 4] and "image" of shape [1 6 6]`},
		{"kernel", func(n *Network) { n.Layers[0].Kernel = 9 }, "layer conv (conv) makes shape [2 0 0] of [1 6 6]; every size must be positive"},
		{"kernel and stride", func(n *Network) { n.Layers[0].Kernel, n.Layers[0].Stride = 9, 2 }, "layer conv (conv) makes shape [2 0 0] of [1 6 6]"},
		{"pool's padding", func(n *Network) {
			n.Layers[2] = Layer{Name: "relu", Kind: KindMaxPool, Inputs: []string{"bn"}, Kernel: 3, ConvSpec: ConvSpec{Stride: 2, Pad: 2}}
		}, "layer relu (maxpool) has kernel 3, stride 2 and padding 2; kernel and stride must be positive, and the padding at most half the kernel"},
		{"pool's kernel", func(n *Network) {
			n.Layers[2] = Layer{Name: "relu", Kind: KindMaxPool, Inputs: []string{"bn"}, Kernel: 7, ConvSpec: ConvSpec{Stride: 1}}
		}, "layer relu (maxpool) makes shape [2 0 0] of [2 6 6]"},
		{"no channels", func(n *Network) { n.Layers[0].Out = 0 }, "layer conv (conv) makes shape [0 6 6] of [1 6 6]"},
	} {
		n := tiny(t)
		c.damage(n)
		err := n.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "models: tiny") {
			t.Errorf("%s: Validate: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestValidateSkip has a connection that jumps over a unit: the rest of the network
// after that unit would need two tensors, and Forward gives it one.
func TestValidateSkip(t *testing.T) {
	b := newBuilder("skip", 1, 6, 3)
	first := b.conv("a", Image, 2, 3, 1, 1)
	b.unit("a")
	second := b.conv("b", first, 2, 3, 1, 1)
	b.unit("b")
	third := b.sum("add", b.conv("c", second, 2, 3, 1, 1), first)
	b.unit("c")
	b.classifier("fc", third)
	if _, err := b.done(); err == nil || !strings.Contains(err.Error(), `layer add reads "a" past unit b`) {
		t.Errorf("Validate: %v", err)
	}

	b = newBuilder("wide", 1, 6, 3)
	x := b.conv("a", Image, 1, 3, 1, 1)
	b.sum("add", b.conv("b", x, 1, 3, 1, 1), Image)
	b.unit("ab")
	b.classifier("fc", "add")
	b.n.Units[0].First = 1 // the unit without its first layer reads that one and the image
	b.n.Layers[0] = Layer{Name: "a", Kind: KindReLU, Inputs: []string{Image}}
	if err := b.n.Validate(); err == nil || !strings.Contains(err.Error(), "unit ab reads 2 tensors from outside; it must read one") {
		t.Errorf("Validate: %v", err)
	}
}

func TestUnit(t *testing.T) {
	n := tiny(t)
	if i, err := n.Unit("fc"); err != nil || i != 1 {
		t.Errorf("Unit(fc) = %d, %v", i, err)
	}
	if _, err := n.Unit("layer9"); err == nil || err.Error() != `models: tiny has no unit "layer9"; its units are [stem fc]` {
		t.Errorf("Unit(layer9): %v", err)
	}
	if i := n.Index("layer9"); i != -1 {
		t.Errorf("Index(layer9) = %d", i)
	}
	if c := n.Consumers(2); !slices.Equal(c, []int{3}) {
		t.Errorf("Consumers(relu) = %v", c)
	}
}

func TestDesignErrors(t *testing.T) {
	if _, err := Design("vgg", 1, 28, 10); err == nil || !strings.Contains(err.Error(), `"vgg"; choose one of mnasnet-2.0, mobilenetv2, mobilenetv2-1.0, regnetx, regnetx-3.2gf, regnetx-600mf, resnet8, resnet18, resnet20, resnet32, resnet44, resnet50, resnet56, resnet110`) {
		t.Errorf("Design(vgg): %v", err)
	}
	if _, err := Design("resnet18", 3, 0, 10); err == nil || !strings.Contains(err.Error(), "resnet18 is for images of 3 channels and 0 pixels") {
		t.Errorf("no pixels: %v", err)
	}
	for _, width := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if _, err := MNasNet(MNasNetConfig{Width: width, Channels: 3, Size: 224, Classes: 1000}); err == nil || !strings.Contains(err.Error(), "must be > 0") {
			t.Errorf("MNasNet of width %g: %v", width, err)
		}
	}
	for _, c := range []struct {
		config RegNetXConfig
		want   string
	}{
		{RegNetXConfig{Stem: 8, Widths: []int{16, 20}, Depths: []int{1, 1}, Strides: []int{1, 2}, GroupWidth: 8}, "groups of 8 channels don't divide the width 20 of stage 2"},
		{RegNetXConfig{Stem: 8, Widths: []int{16}, Depths: []int{1}, Strides: []int{1}}, "groups of 0 channels don't divide the width 16 of stage 1"},
		{RegNetXConfig{Stem: 8, Widths: []int{16, 32}, Depths: []int{1}, Strides: []int{1, 2}, GroupWidth: 8}, "2 widths, 1 depths and 2 strides"},
	} {
		c.config.Channels, c.config.Size, c.config.Classes = 1, 28, 10
		if _, err := RegNetX(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("RegNetX(%+v): %v, want %q", c.config, err, c.want)
		}
	}
}

func TestKindString(t *testing.T) {
	for k := range KindLinear + 1 {
		if strings.HasPrefix(k.String(), "Kind") {
			t.Errorf("%d has no name", int(k))
		}
	}
	if got := fmt.Sprint(Kind(-1), Kind(99)); got != "Kind(-1) Kind(99)" {
		t.Errorf("unknown kinds are %q", got)
	}
}

// TestDesigns builds every design and counts its layers with weights, which ResNets have in their
// names, and its units: each block, the stem, the classifier, and what is between them.
func TestDesigns(t *testing.T) {
	want := map[string][2]int{
		"resnet8": {8 + 2, 5}, "resnet20": {20, 11}, "resnet32": {32, 17}, "resnet44": {44, 23}, "resnet56": {56, 29}, "resnet110": {110, 56}, // resnet8 has 2 convolutions in shortcuts
		"resnet18": {18 + 3, 10}, "resnet50": {50 + 4, 18},
		"mobilenetv2": {26, 11}, "mobilenetv2-1.0": {53, 20}, "mnasnet-2.0": {53, 21},
		"regnetx": {23, 8}, "regnetx-600mf": {2 + 3*16 + 4, 18}, "regnetx-3.2gf": {2 + 3*25 + 4, 27},
	}
	if len(Designs()) != len(want) {
		t.Errorf("designs %v, want %d", Designs(), len(want))
	}
	for _, name := range Designs() {
		n, err := Design(name, 3, 224, 1000)
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
		"mnasnet-2.0": "layers.0 layers.3 layers.6 layers.8.0 layers.8.1 layers.8.2 layers.9.0 layers.9.1 layers.9.2 layers.10.0 layers.10.1 layers.10.2 " +
			"layers.11.0 layers.11.1 layers.12.0 layers.12.1 layers.12.2 layers.12.3 layers.13.0 layers.14 classifier.1",
	} {
		n, err := Design(name, 3, 224, 1000)
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

// TestMNasNetChannels has the channels that torchvision 0.14.1's mnasnet._get_depths gives.
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
