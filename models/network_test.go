package models

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
)

func TestHooks(t *testing.T) {
	n := tiny(t)
	w := Init(n, 1)
	x := nettest.Randn(random(t), 1, 1, 6, 6)
	var normed, after []string
	y, err := CallOnce(testbackend.All(t)["go"], func(x *Node) *Node {
		h := constants(t, x.Graph(), w)
		h.Norm = func(l Layer, _ BatchNorm, x *Node) *Node {
			normed = append(normed, l.Name)
			return x
		}
		h.After = func(l Layer, y *Node) *Node {
			after = append(after, l.Name)
			if l.Op.Kind() == "linear" {
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

// conv changes the convolution of the tiny network.
func conv(n *Network, change func(c *Conv)) {
	c := n.Layers[0].Op.(Conv)
	change(&c)
	n.Layers[0].Op = c
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(n *Network)
		want   string
	}{
		{"no layers", func(n *Network) { n.Layers, n.Units = nil, nil }, "tiny has no layers"},
		{"order", func(n *Network) { n.Layers[0].Inputs = []string{"relu"} },
			`layer conv (conv) reads "relu", which is no earlier layer`},
		{"self", func(n *Network) { n.Layers[0].Inputs = []string{"conv"} }, `layer conv (conv) reads "conv"`},
		{"two layers", func(n *Network) { n.Layers[2].Name = "bn" }, `two layers are called "bn"`},
		{"called image", func(n *Network) { n.Layers[1].Name = Image }, `two layers are called "image"`},
		{"two units", func(n *Network) { n.Units[1].Name = "stem" }, `two units are called "stem"`},
		{"no input", func(n *Network) { n.Layers[1].Inputs = nil }, "layer bn (batchnorm) has 0 inputs; it must have 1"},
		{"two inputs", func(n *Network) { n.Layers[1].Inputs = []string{"conv", Image} },
			"layer bn (batchnorm) has 2 inputs; it must have 1"},
		{"sum of one", func(n *Network) { n.Layers[2].Op = Sum{} }, "layer relu (add) has 1 inputs; it must have 2"},
		{"no op", func(n *Network) { n.Layers[2].Op = nil }, "layer relu has no op"},
		{"groups", func(n *Network) { conv(n, func(c *Conv) { c.Groups = 2 }) },
			"layer conv (conv) takes 1 channels to 2 in 2 groups"},
		{"stride", func(n *Network) { conv(n, func(c *Conv) { c.Stride[0] = 0 }) }, "stride 0x1"},
		{"dilation", func(n *Network) { conv(n, func(c *Conv) { c.Dilation[1] = 0 }) }, "dilation 1x0"},
		{"shortcut", func(n *Network) {
			n.Layers[2].Op = PadShortcut{In: 2, Out: 1, Stride: 1}
		},
			"layer relu (pad-shortcut) takes 2 channels to 1"},
		{"outside", func(n *Network) { n.Units[0].First = 1 }, "layer conv has weights, but is in no unit"},
		{"overlap", func(n *Network) { n.Units[1].First = 2 },
			"unit fc is layers 2 to 4; it must start at 3 or later and end before 5"},
		{"beyond", func(n *Network) { n.Units[1].Last = 5 }, "unit fc is layers 4 to 5"},
		{"empty unit", func(n *Network) { n.Units[0].Last = -1 }, "unit stem is layers 0 to -1"},
		{"missing unit", func(n *Network) { n.Units = n.Units[:1] }, "the last unit ends at layer 2 of 5"},
		{"past", func(n *Network) { n.Layers[3].Inputs = []string{"bn"} },
			`layer avgpool reads "bn" past unit stem; after a unit only its output may be read`},
		{"image past", func(n *Network) { n.Layers[3].Inputs, n.Layers[4].Op = []string{Image}, Linear{In: 1, Out: 3} },
			`layer avgpool reads "image" past unit stem`},
		{"no pixels", func(n *Network) { n.Width = 0 }, "is for images of shape [1 6 0]"},
		{"image's channels", func(n *Network) { n.Channels = 3 },
			`layer conv (conv) of image takes 1 channels, but its input has 3; they must be equal`},
		{"norm's channels", func(n *Network) { n.Layers[1].Op = BatchNorm{Channels: 3} },
			`layer bn (batchnorm) of conv takes 3 channels, but its input has 2`},
		{"linear's channels", func(n *Network) { n.Layers[4].Op = Linear{In: 5, Out: 3} },
			`layer fc (linear) of avgpool takes 5 channels, but its input has 2`},
		{"shortcut's channels", func(n *Network) {
			n.Layers[2].Op = PadShortcut{In: 1, Out: 4, Stride: 1}
		}, `layer relu (pad-shortcut) of bn takes 1 channels, but its input has 2`},
		{"classes", func(n *Network) { n.Classes = 4 }, "the last layer, fc, has shape [3]; for 4 classes it must be [4]"},
		{"not pooled", func(n *Network) { n.Layers[4].Inputs = []string{"relu"} },
			`layer fc (linear) of relu takes 2 channels, but its input has 6 on the last axis of shape [2 6 6]`},
		{"pooled twice", func(n *Network) {
			n.Layers[4].Op = GlobalAvgPooling{}
		},
			`layer fc (avgpool) of avgpool takes an input of 3 dimensions, but it has shape [2]`},
		{"other channels", func(n *Network) {
			n.Layers[2].Op, n.Layers[2].Inputs = Sum{}, []string{"bn", Image}
		},
			`layer relu (add) of bn, image sums shapes [2 6 6] and [1 6 6]; they must be equal`},
		{"other sizes", func(n *Network) {
			n.Layers[0].Op = Conv{In: 1, Out: 1, Window: SquareWindow(3, 1, 0), Groups: 1}
			n.Layers[1].Op, n.Layers[2].Op, n.Layers[2].Inputs = BatchNorm{Channels: 1}, Sum{}, []string{"bn", Image}
		}, `layer relu (add) of bn, image sums shapes [1 4 4] and [1 6 6]`},
		{"kernel", func(n *Network) { conv(n, func(c *Conv) { c.Kernel = [2]int{9, 9} }) },
			"layer conv (conv) of image makes shape [2 0 0] of [1 6 6]; every size must be positive"},
		{"kernel and stride", func(n *Network) {
			conv(n, func(c *Conv) { c.Kernel, c.Stride = [2]int{9, 9}, [2]int{2, 2} })
		},
			"layer conv (conv) of image makes shape [2 0 0] of [1 6 6]"},
		{"pool's padding", func(n *Network) {
			n.Layers[2].Op = MaxPooling{Window: SquareWindow(3, 2, 3)}
		}, "layer relu (maxpool) of bn has kernel 3, stride 2, padding 3; window 0 of axis 1 has nothing but padding"},
		{"pool's stride", func(n *Network) {
			n.Layers[2].Op = AvgPooling{Window: SquareWindow(3, 0, 1)}
		}, "layer relu (avgpool-window) has kernel 3, stride 0, padding 1; kernel, stride and dilation must be positive"},
		{"pixels after padding", func(n *Network) {
			n.Layers[2].Op = AvgPooling{Window: SquareWindow(3, 2, 1), Beyond: [2]int{0, -1}}
		}, "layer relu (avgpool-window) adds [0 -1] pixels after padding; the numbers must not be negative"},
		{"pool's kernel", func(n *Network) {
			n.Layers[2].Op = MaxPooling{Window: SquareWindow(7, 1, 0)}
		}, "layer relu (maxpool) of bn makes shape [2 0 0] of [2 6 6]"},
		{"no channels", func(n *Network) { conv(n, func(c *Conv) { c.Out = 0 }) },
			"layer conv (conv) of image makes shape [0 6 6] of [1 6 6]"},
	} {
		n := tiny(t)
		c.damage(n)
		err := n.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "models: tiny") {
			t.Errorf("%s: Validate: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestUnit(t *testing.T) {
	n := tiny(t)
	if i, err := n.Unit("fc"); err != nil || i != 1 {
		t.Errorf("Unit(fc) = %d, %v", i, err)
	}
	if _, err := n.Unit("layer9"); err == nil ||
		err.Error() != `models: tiny has no unit "layer9"; its units are [stem fc]` {
		t.Errorf("Unit(layer9): %v", err)
	}
	if i := n.Index("layer9"); i != -1 {
		t.Errorf("Index(layer9) = %d", i)
	}
	if c := n.Consumers(2); !slices.Equal(c, []int{3}) {
		t.Errorf("Consumers(relu) = %v", c)
	}
}

// TestInputShape: a unit may start with a constant, which reads nothing.
func TestInputShape(t *testing.T) {
	n := &Network{Name: "shifted", Channels: 3, Height: 2, Width: 4, Classes: 5,
		Layers: []Layer{
			{"pool", []string{Image}, GlobalAvgPooling{}},
			{"value", nil, Constant{Dims: []int{1}}},
			{"shift", []string{"pool", "value"}, Binary{}},
			{"fc", []string{"shift"}, Linear{In: 3, Out: 5}},
		},
		Units: []Unit{{"shift", 1, 2}, {"fc", 3, 3}},
	}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]int{{3, 2, 4}, {3}, {3}, {3}} {
		if got := n.InputShape(i); !slices.Equal(got, want) {
			t.Errorf("input of layer %d has shape %v, want %v", i, got, want)
		}
	}
}
