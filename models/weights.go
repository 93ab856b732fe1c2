package models

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Weights are a network's weight tensors (float32) by name. Do not change a tensor: other Weights may share it.
type Weights map[string]*tensors.Tensor

// Init returns random weights for training n: He-normal kernels, batch normalisation that is the identity, biases of 0.
// The same seed gives the same weights.
func Init(n *Network, seed uint64) Weights {
	rng := rand.New(rand.NewPCG(seed, 0))
	w := Weights{}
	for _, p := range n.Params() {
		size := 1
		for _, d := range p.Shape {
			size *= d
		}
		data := make([]float32, size)
		switch p.Start {
		case StartNormal:
			std := math.Sqrt(2 / float64(size/p.Shape[0]))
			for i := range data {
				data[i] = float32(rng.NormFloat64() * std)
			}
		case StartOnes:
			for i := range data {
				data[i] = 1
			}
		}
		w[p.Name] = tensors.FromFlatDataAndDimensions(data, p.Shape...)
	}
	return w
}

// Check reports tensors of n that w lacks or has in another shape or type, and tensors that n lacks.
func (w Weights) Check(n *Network) error {
	if err := w.misfit(n); err != nil {
		return fmt.Errorf("models: %w", err)
	}
	return nil
}

// misfit is Check without "models: " before its messages.
func (w Weights) misfit(n *Network) error {
	params, names := n.Params(), slices.Sorted(maps.Keys(w))
	for _, p := range params {
		t, ok := w[p.Name]
		if !ok {
			return fmt.Errorf("weights for %s have no tensor %q of shape %v; they are %d tensors%s",
				n.Name, p.Name, p.Shape, len(w),
				nearest(p.Name, names, func(i int) []int { return w[names[i]].Shape().Dimensions }))
		}
		if t.DType() != dtypes.Float32 {
			return fmt.Errorf("weights for %s: tensor %q is %v, expected Float32", n.Name, p.Name, t.DType())
		}
		if !slices.Equal(t.Shape().Dimensions, p.Shape) {
			return fmt.Errorf("weights for %s: tensor %q has shape %v, expected %v",
				n.Name, p.Name, t.Shape().Dimensions, p.Shape)
		}
	}
	known := make([]string, len(params))
	for i, p := range params {
		known[i] = p.Name
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s has no tensor %q, but the weights do, of shape %v; it has %d tensors%s",
				n.Name, name, w[name].Shape().Dimensions, len(params),
				nearest(name, known, func(i int) []int { return params[i].Shape }))
		}
	}
	return nil
}

// nearest lists, for a message, the three names that share the longest start and end with name, and their shapes.
func nearest(name string, names []string, shape func(i int) []int) string {
	shared := func(other string) int {
		n := min(len(name), len(other))
		start, end := 0, 0
		for start < n && name[start] == other[start] {
			start++
		}
		for end < n-start && name[len(name)-1-end] == other[len(other)-1-end] {
			end++
		}
		return start + end
	}
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, k int) int { return shared(names[k]) - shared(names[i]) })
	var list []string
	for _, i := range order[:min(len(order), 3)] {
		list = append(list, fmt.Sprintf("%q %v", names[i], shape(i)))
	}
	if list == nil {
		return ""
	}
	return ", among them " + strings.Join(list, ", ")
}

// Hash returns the hex SHA-256 of all names, shapes and values.
func (w Weights) Hash() (string, error) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(w)) {
		fmt.Fprintln(h, name, w[name].Shape().Dimensions)
		if err := w[name].ConstBytes(func(data []byte) { h.Write(data) }); err != nil {
			return "", fmt.Errorf("models: tensor %q: %w", name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
