package models

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed teachers
var teachers embed.FS

// Design builds the untrained network of a shipped teacher: networks for images of
// 28x28 or 32x32 pixels. The error lists the names.
func Design(name string, channels, size, classes int) (*Network, error) {
	switch name {
	case "resnet8":
		return ResNet(ResNetConfig{Blocks: 1, Width: 16, Channels: channels, Size: size, Classes: classes})
	case "resnet20":
		return ResNet(ResNetConfig{Blocks: 3, Width: 16, PadShortcuts: true, Channels: channels, Size: size, Classes: classes})
	case "mobilenetv2":
		return MobileNetV2(MobileNetV2Config{Stem: 16, Rows: []InvertedResiduals{{1, 16, 1, 1}, {4, 24, 2, 2}, {4, 32, 3, 2}, {4, 64, 2, 1}},
			Last: 256, Channels: channels, Size: size, Classes: classes})
	case "regnetx":
		return RegNetX(RegNetXConfig{Stem: 16, Widths: []int{32, 64, 128}, Depths: []int{1, 2, 3}, Strides: []int{1, 2, 2}, GroupWidth: 8,
			Channels: channels, Size: size, Classes: classes})
	}
	return nil, fmt.Errorf("models: no network is called %q; choose one of %s", name, strings.Join(Designs(), ", "))
}

// Designs lists the names that Design knows.
func Designs() []string { return []string{"mobilenetv2", "regnetx", "resnet20", "resnet8"} }

// Teacher is a trained network that ships with pdquant.
type Teacher struct {
	Network *Network
	Weights Weights
	Record  map[string]string // how it was trained: command, data, accuracy, ...
}

// LoadTeacher returns the shipped teacher called name, trained on Fashion-MNIST
// (1x28x28, 10 classes). The error lists the names.
func LoadTeacher(name string) (Teacher, error) {
	n, err := Design(name, 1, 28, 10)
	if err != nil {
		return Teacher{}, err
	}
	file, err := teachers.ReadFile("teachers/" + name + ".safetensors")
	if err != nil {
		return Teacher{}, fmt.Errorf("models: teacher %s isn't in this build: %w", name, err)
	}
	w, record, err := ReadWeights(bytes.NewReader(file))
	if err != nil {
		return Teacher{}, fmt.Errorf("models: teacher %s: %w", name, err)
	}
	return Teacher{n, w, record}, w.Check(n)
}

// TeacherNames lists the teachers of this build.
func TeacherNames() []string {
	entries, err := teachers.ReadDir("teachers")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".safetensors"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
