package arch

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/checkpoint"
)

//go:embed teachers
var teachers embed.FS

// Teacher is a trained network that ships with pdquant.
type Teacher struct {
	Network *models.Network
	Weights models.Weights
	Record  map[string]string // how it was trained: command, data, accuracy and more
}

// LoadTeacher returns the shipped teacher called name, trained on Fashion-MNIST (1x28x28, 10 classes). The error lists
// the names.
func LoadTeacher(name string) (Teacher, error) {
	if !slices.Contains(Designs(), name) {
		return Teacher{}, unknownName(name, TeacherNames())
	}
	n, err := Design(name, SquareInput(1, 28, 10))
	if err != nil {
		return Teacher{}, err
	}
	file, err := teachers.ReadFile("teachers/" + name + ".safetensors")
	if err != nil {
		return Teacher{}, fmt.Errorf("arch: teacher %s isn't in this build: %w", name, err)
	}
	w, record, err := checkpoint.ReadWeights(bytes.NewReader(file))
	if err != nil {
		return Teacher{}, fmt.Errorf("arch: teacher %s: %w", name, err)
	}
	return Teacher{n, w, record}, w.Check(n)
}

// TeacherNames lists the teachers in this build.
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
