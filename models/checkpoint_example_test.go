package models_test

import (
	"bytes"
	"fmt"

	"github.com/pdquant/pdquant/models"
)

func ExampleLoadCheckpoint() {
	n, err := models.Design("resnet20", 3, 32, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	// akamaster's ResNet-20 for CIFAR-10; its inputs are normalised with datasets.ImageNetMoments.
	w, err := models.LoadCheckpoint("../testdata/cifar10/resnet20-12fca82f.th", n)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(w), "tensors, among them fc.weight", w["fc.weight"].Shape().Dimensions)

	other, err := models.Design("resnet8", 3, 32, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = models.LoadCheckpoint("../testdata/cifar10/resnet20-12fca82f.th", other)
	fmt.Println(err)
	// Output:
	// 97 tensors, among them fc.weight [10 64]
	// models: ../testdata/cifar10/resnet20-12fca82f.th: weights for resnet8 have no tensor "layer2.0.downsample.0.weight" of shape [32 16 1 1]; they are 97 tensors, among them "layer2.0.bn1.weight" [32], "layer2.0.bn2.weight" [32], "layer2.0.conv1.weight" [32 16 3 3]
}

func ExampleReadCheckpoint() {
	var file bytes.Buffer // any io.ReaderAt
	n, err := models.Design("resnet8", 1, 28, 10)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := models.Init(n, 1).Write(&file, nil); err != nil {
		fmt.Println(err)
		return
	}
	whole := file.Bytes()
	w, err := models.ReadCheckpoint(bytes.NewReader(whole), int64(len(whole)), nil) // all tensors
	fmt.Println(len(w), "tensors,", err)
	_, err = models.ReadCheckpoint(bytes.NewReader(whole[:20000]), 20000, n)
	fmt.Println(err)
	// Output:
	// 47 tensors, <nil>
	// models: checkpoint: the safetensors file ends in tensor "layer1.0.conv2.weight", which is bytes 13160 to 22376 of 16080; fetch or write it again
}
