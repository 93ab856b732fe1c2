package pdq

import . "github.com/gomlx/gomlx/core/graph"

// Term is one term of the loss that rounding minimises. Either Outputs or Rounding is set.
type Term struct {
	Name   string
	Weight float64 // of the term, >= 0; 0 switches it off
	Logits bool    // Outputs reads StudentLogits: each step computes the rest of the network

	// Outputs is the graph of a term of what unit and network compute: a scalar, the mean over the images.
	Outputs func(v Outputs) *Node
	// Rounding is the graph of a term of one layer's rounding variables α, in the weight's shape: a scalar. Layers are
	// summed. The term begins after Rounding.Warmup; beta is the schedule's β.
	Rounding func(alpha, beta *Node) *Node
}

// Outputs are the values that a term can be computed from, for the images of a batch.
type Outputs struct {
	Student, Teacher             *Node // outputs of the unit, [N,C,H,W] or [N,C]: the student's, and the corrected teacher's
	StudentLogits, TeacherLogits *Node // [N,classes]; the student's with the unit quantised and what follows in full precision
}

// The names of the paper's terms.
const (
	termReconstruction = "reconstruction"
	termPD             = "PD"
	termRounding       = "rounding"
)

// PaperTerms returns the paper's terms with the weights that c sets: squared error of the unit's output, prediction
// difference, and the term that makes rounding variables decide.
func PaperTerms(c Config) []Term {
	return []Term{
		{Name: termReconstruction, Weight: 1, Outputs: func(v Outputs) *Node { return ReconstructionLoss(v.Student, v.Teacher) }},
		{Name: termPD, Weight: c.Loss.PD, Logits: true, Outputs: func(v Outputs) *Node {
			return PredictionDifference(v.TeacherLogits, v.StudentLogits, c.Loss.Temperature)
		}},
		{Name: termRounding, Weight: c.Rounding.Weight, Rounding: RoundingLoss},
	}
}

// addTerm adds what the term called name contributes.
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
