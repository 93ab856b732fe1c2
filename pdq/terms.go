package pdq

import (
	"fmt"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// Term is one term of the loss that rounding minimises. Either Outputs or Rounding is set.
type Term struct {
	Name   string
	Weight float64 // of the term, >= 0; 0 switches it off
	Logits bool    // whether Outputs reads StudentLogits; then each step computes the rest of the network

	// Outputs is the graph of a term that depends on the outputs of unit and network: a scalar, the mean over the
	// images.
	Outputs func(v Outputs) *Node
	// Rounding is the graph of a term that depends on the rounding variables α of one layer, in the weight's shape: a
	// scalar. The loss has the sum over the layers, from Rounding.Warmup on. beta is the schedule's β.
	Rounding func(alpha, beta *Node) *Node
}

// Outputs are the values from which a term can be computed, for the images of a batch.
type Outputs struct {
	Student, Teacher             *Node // outputs of the unit, [N,C,H,W] or [N,C]; Teacher for the corrected input
	StudentLogits, TeacherLogits *Node // [N,classes]; StudentLogits with only the unit quantised, not what follows
}

// The names of the paper's terms.
const (
	termReconstruction = "reconstruction"
	termPD             = "PD"
	termRounding       = "rounding"
)

// PaperTerms returns the paper's terms with the weights in c: the squared error of the unit's output, the prediction
// difference, and the term that makes rounding variables decide.
func PaperTerms(c Config) []Term {
	return []Term{
		{Name: termReconstruction, Weight: 1, Outputs: func(v Outputs) *Node {
			return ReconstructionLoss(v.Student, v.Teacher)
		}},
		{Name: termPD, Weight: c.Loss.PD, Logits: true, Outputs: func(v Outputs) *Node {
			return PredictionDifference(v.TeacherLogits, v.StudentLogits, c.Loss.Temperature)
		}},
		{Name: termRounding, Weight: c.Rounding.Weight, Rounding: RoundingLoss},
	}
}

// termsText lists the names and weights of the terms that are on.
func (q *Quantizer) termsText() string {
	var terms []string
	for _, t := range q.Terms {
		if t.Weight != 0 {
			terms = append(terms, fmt.Sprintf("%s=%g", t.Name, t.Weight))
		}
	}
	return strings.Join(terms, " ")
}

// addTerm adds the value x of the term called name.
func (l *Loss) addTerm(name string, x float64) {
	switch name {
	case termReconstruction:
		l.Reconstruction += x
	case termPD:
		l.PD += x
	case termRounding:
		l.Round += x
	default:
		l.Others += x
	}
}
