package pdq

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
)

// Term is one term of the loss that rounding minimises. Set either Outputs or Rounding.
type Term struct {
	Name   string
	Weight float64 // of the term, >= 0; 0 switches it off
	Logits bool    // whether Outputs reads StudentLogits, for which steps must compute the rest of the network

	// Outputs is the graph of a term that depends on the outputs of the unit and of the network. It returns a scalar,
	// the mean over the images.
	Outputs func(v Outputs) *Node
	// Rounding is the graph of a term that depends on the rounding variables α [O,n] of a layer, whose rows are those of
	// the weight's output channels. It returns a scalar. The loss has the sum over the unit's layers, after
	// Rounding.Warmup. beta is the schedule's β.
	Rounding func(alpha, beta *Node) *Node
}

// Outputs has the outputs from which a term is computed, for the images of a batch.
type Outputs struct {
	Student, Teacher *Node // of the unit, [N,C,H,W] or [N,C]; Teacher is for the corrected input
	Channels         int   // their axis of channels: 1, or the last after a linear layer
	// [n,classes], of the images that Loss.Skip leaves; StudentLogits with the layers after the unit in full precision
	StudentLogits, TeacherLogits *Node
}

// The names of the paper's terms.
const (
	termReconstruction = "reconstruction"
	termPD             = "PD"
	termRounding       = "rounding"
)

// PaperTerms returns the paper's terms with the weights in c: the squared error of the unit's output, the prediction
// difference, and the term that drives rounding variables to a decision.
func PaperTerms(c Config) []Term {
	return []Term{
		{Name: termReconstruction, Weight: 1, Outputs: func(v Outputs) *Node {
			return ReconstructionLoss(v.Student, v.Teacher, v.Channels)
		}},
		{Name: termPD, Weight: c.Loss.PD, Logits: true, Outputs: func(v Outputs) *Node {
			return PredictionDifference(v.TeacherLogits, v.StudentLogits, c.Loss.Temperature)
		}},
		{Name: termRounding, Weight: c.Rounding.Weight, Rounding: RoundingLoss},
	}
}

// termsText lists the names and weights of the terms that are switched on.
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

// readsLogits says whether a term of rounding's loss that is switched on reads the student's logits.
func (q *Quantizer) readsLogits() bool {
	return slices.ContainsFunc(q.Terms, func(t Term) bool { return t.Weight != 0 && t.Outputs != nil && t.Logits })
}
