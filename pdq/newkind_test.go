package pdq

import (
	"math"
	"math/rand/v2"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// leakyReLU is a kind of layer that no other file knows: max(x, Slope·x). It has an attribute, and outputs below 0.
type leakyReLU struct {
	models.Base
	Slope float64
}

func (leakyReLU) Kind() string { return "leaky-relu" }

func (l leakyReLU) Graph(in []*Node, _ func(name string) *Node) *Node {
	return Max(in[0], MulScalar(in[0], l.Slope))
}

// TestNewKind takes a network with a new kind of layer through all steps. Only the kind's type has to be written.
func TestNewKind(t *testing.T) {
	p := tinyProblem(t, 16)
	n := *p.Network
	n.Layers = append([]models.Layer(nil), n.Layers...)
	changed := map[string]bool{}
	for i, l := range n.Layers {
		if l.Op.Kind() == "relu" {
			n.Layers[i].Op = leakyReLU{Slope: 0.25}
			changed[l.Name] = true
		}
	}
	p.Network = &n
	b := anyBackend(t)
	q := quantizerOf(t, b, p, tinyConfig(t))
	for name := range changed {
		if bits := q.Plan().Layer(name).Output; bits == 0 {
			t.Errorf("the output of %s isn't quantised", name)
		}
	}
	s, err := q.Quantize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	below := false
	for name := range changed {
		below = below || s.Acts[name].Zero > 0
	}
	if !below {
		t.Error("no quantiser has levels below 0, where the outputs of the new kind are too")
	}
	score, err := q.Evaluate(t.Context(), s, p.Calibration)
	if err != nil || len(score.Top1) != p.Calibration.Len() {
		t.Errorf("%d images evaluated, error %v", len(score.Top1), err)
	}

	// The gradient through a whole unit, by differences.
	unit := n.Units[1]
	rng := rand.New(rand.NewPCG(1, 0))
	x := make([]float32, exec.Product(append([]int{1}, n.InputShape(unit.First)...)))
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	compiled, err := NewExec(b, func(x *Node) []*Node {
		y := n.Forward(x, unit.First, unit.Last, models.Hooks{Param: exec.Constants(x.Graph(), p.Weights)})
		loss := ReduceAllSum(Square(y))
		return []*Node{loss, Gradient(loss, x)[0]}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer compiled.Finalize()
	at := func(x []float32) (float64, []float32) {
		out, err := compiled.Call(tensors.FromFlatDataAndDimensions(append([]float32(nil), x...),
			append([]int{1}, n.InputShape(unit.First)...)...))
		if err != nil {
			t.Fatal(err)
		}
		return float64(tensors.ToScalar[float32](out[0])), tensors.MustCopyFlatData[float32](out[1])
	}
	loss, grad := at(x)
	const step = 1e-2
	size, moved := math.Sqrt(squares(grad)), append([]float32(nil), x...)
	for i, g := range grad {
		moved[i] += float32(step * float64(g) / size) // along the gradient, where the loss changes most
	}
	above, _ := at(moved)
	if along := (above - loss) / step; math.Abs(along-size) > 0.05*size {
		t.Errorf("the loss rises by %g along its gradient of size %g", along, size)
	}
}

func squares(x []float32) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}
