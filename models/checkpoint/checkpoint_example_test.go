package checkpoint_test

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// parts breaks an error's message into a line for each part.
func parts(err error) string {
	return strings.NewReplacer(": ", ":\n", "; ", ";\n", "among them ", "among them\n").Replace(err.Error())
}

func ExampleLoad() {
	n, err := arch.Design("resnet20", arch.SquareInput(3, 32, 10))
	if err != nil {
		fmt.Println(err)
		return
	}
	// akamaster's ResNet-20 for CIFAR-10; its inputs are normalised with datasets.ImageNetMoments.
	w, err := checkpoint.Load("../../testdata/cifar10/resnet20-12fca82f.th", n)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(w), "tensors, among them fc.weight", w["fc.weight"].Shape().Dimensions)

	other, err := arch.Design("resnet8", arch.SquareInput(3, 32, 10))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = checkpoint.Load("../../testdata/cifar10/resnet20-12fca82f.th", other)
	fmt.Println(parts(err))
	// Output:
	// 97 tensors, among them fc.weight [10 64]
	// checkpoint:
	// ../../testdata/cifar10/resnet20-12fca82f.th:
	// weights for resnet8 have no tensor "layer2.0.downsample.0.weight" of shape [32 16 1 1];
	// they are 97 tensors, among them
	// "layer2.0.bn1.weight" [32], "layer2.0.bn2.weight" [32], "layer2.0.conv1.weight" [32 16 3 3]
}

func ExampleRead() {
	var file bytes.Buffer // any io.ReaderAt
	n, err := arch.Design("resnet8", arch.SquareInput(1, 28, 10))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := checkpoint.WriteWeights(&file, models.Init(n, 1), nil); err != nil {
		fmt.Println(err)
		return
	}
	whole := file.Bytes()
	w, err := checkpoint.Read(bytes.NewReader(whole), int64(len(whole)), nil) // all tensors
	fmt.Println(len(w), "tensors,", err)
	_, err = checkpoint.Read(bytes.NewReader(whole[:20000]), 20000, n)
	fmt.Println(parts(err))
	// Output:
	// 47 tensors, <nil>
	// checkpoint:
	// the safetensors file ends in tensor "layer1.0.conv2.weight", which is bytes 13160 to 22376 of 16080;
	// fetch or write it again
}

// Weights are written and read as safetensors files.
func ExampleWriteWeights() {
	n, err := arch.Design("resnet8", arch.SquareInput(1, 28, 10))
	if err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer // any io.Writer
	if err := checkpoint.WriteWeights(&file, models.Init(n, 1), map[string]string{"training": "none"}); err != nil {
		fmt.Println(err)
		return
	}
	w, metadata, err := checkpoint.ReadWeights(&file)
	fmt.Println(w["fc.weight"].Shape().Dimensions, metadata, err)
	other, err := arch.Design("resnet8", arch.SquareInput(3, 32, 10))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(w.Check(other))
	// Output:
	// [10 64] map[training:none] <nil>
	// models: weights for resnet8: tensor "conv1.weight" has shape [16 1 3 3], expected [16 3 3 3]
}
