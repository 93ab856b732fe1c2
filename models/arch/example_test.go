package arch_test

import (
	"fmt"
	"log"

	"github.com/gomlx/compute/gobackend"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
)

func ExampleResNet() {
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 16, Input: arch.SquareInput(1, 28, 10)})
	if err != nil {
		fmt.Println(err)
		return
	}
	shapes := n.Shapes()
	for _, u := range n.Units {
		fmt.Println(u.Name, shapes[u.Last])
	}
	_, err = n.Unit("layer4.0")
	fmt.Println(err)
	// Output:
	// conv1 [16 28 28]
	// layer1.0 [16 28 28]
	// layer2.0 [32 14 14]
	// layer3.0 [64 7 7]
	// fc [10]
	// models: resnet8 has no unit "layer4.0"; its units are [conv1 layer1.0 layer2.0 layer3.0 fc]
}

// The logits of a network with batch normalisation, and of the folded one.
func ExampleFold() {
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 2, Input: arch.SquareInput(1, 8, 3)})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := models.Init(n, 1)
	w["fc.bias"] = tensors.FromValue([]float32{1, 2, 3})
	folded, fw, err := models.Fold(n, w)
	if err != nil {
		fmt.Println(err)
		return
	}
	backend, err := gobackend.New("")
	if err != nil {
		fmt.Println(err)
		return
	}
	logits := func(n *models.Network, w models.Weights) {
		y, err := CallOnce(backend, func(x *Node) *Node {
			return n.Forward(x, 0, len(n.Layers)-1, models.Hooks{
				Param: func(name string) *Node { return ConstCachedTensor(x.Graph(), w[name]) },
			})
		}, tensors.FromFlatDataAndDimensions(make([]float32, 64), 1, 1, 8, 8)) // a grey image
		fmt.Println(len(n.Layers), "layers:", y.Value(), err)
	}
	logits(n, w)
	logits(folded, fw)
	// Output:
	// 30 layers: [[1 2 3]] <nil>
	// 21 layers: [[1 2 3]] <nil>
}

// The networks of the PD-Quant paper, for ImageNet.
func ExampleRegistry() {
	for _, t := range arch.Registry() {
		if t.Data != "imagenet" {
			continue
		}
		n, err := arch.Design(t.Design, arch.SquareInput(3, 224, 1000))
		if err != nil {
			log.Fatal(err)
		}
		weights := 0
		for _, p := range n.Params() {
			size := 1
			for _, d := range p.Shape {
				size *= d
			}
			weights += size
		}
		fmt.Printf("%s: %d units from %s to %s, %.1f million weights, %.2f %%\n", t.Name, len(n.Units), n.Units[0].Name,
			n.Units[len(n.Units)-1].Name, float64(weights)/1e6, t.Top1)
	}
	// Output:
	// resnet18: 10 units from conv1 to fc, 11.7 million weights, 71.01 %
	// resnet50: 18 units from conv1 to fc, 25.6 million weights, 76.63 %
	// mobilenetv2-1.0: 20 units from features.0 to classifier.1, 3.5 million weights, 72.62 %
	// regnetx-600mf: 18 units from stem to head.fc, 6.2 million weights, 73.52 %
	// regnetx-3.2gf: 27 units from stem to head.fc, 15.4 million weights, 78.46 %
	// mnasnet-2.0: 21 units from layers.0 to classifier.1, 12.5 million weights, 76.52 %
	// efficientnet-lite0: 19 units from _conv_stem to _fc, 4.7 million weights, 75.10 %
	// efficientnet-lite1: 24 units from _conv_stem to _fc, 5.5 million weights, 76.70 %
	// efficientnet-lite2: 24 units from _conv_stem to _fc, 6.2 million weights, 77.60 %
}
