package pdq

import "fmt"

// Step is one of the algorithm's steps.
type Step int

// The steps, in their order.
const (
	StepTeacher Step = iota
	StepWeightScales
	StepObserve
	StepCorrect
	StepActivationScales
	StepRound
	StepFineTune
	StepEvaluate
	StepInspect // of pdq/look, which changes nothing
)

// String names the step as messages do.
func (s Step) String() string {
	return enumName([]string{"teacher inference", "weight scales", "observation", "distribution correction",
		"activation scales", "rounding", "fine-tuning", "evaluation", "inspection"}, int(s))
}

// Event is the progress of a step.
type Event struct {
	Step        Step
	Unit        string // "" for steps over the whole network
	Done, Total int    // batches, layers or optimisation steps
	Loss        Loss   // of StepCorrect, StepRound and StepFineTune
}

// Loss holds the terms of a step's loss, with their weights.
type Loss struct {
	Reconstruction float64 // of StepRound; of StepFineTune, the error of features
	PD             float64 // of StepRound and StepFineTune; 0 in steps that Loss.Every leaves out
	Round          float64 // of StepRound: the terms of rounding variables
	Others         float64 // of StepRound: terms of outputs and logits that aren't in the paper
	Correction     float64 // of StepCorrect
}

// Total is the sum, which is minimised.
func (l Loss) Total() float64 { return l.Reconstruction + l.PD + l.Round + l.Others + l.Correction }

// UnitError says which step failed, and in which unit.
type UnitError struct {
	Step Step
	Unit string
	Err  error
}

// Error returns step, unit and cause.
func (e *UnitError) Error() string {
	if e.Unit == "" {
		return fmt.Sprintf("pdq: %v: %v", e.Step, e.Err)
	}
	return fmt.Sprintf("pdq: %v of %s: %v", e.Step, e.Unit, e.Err)
}

// Unwrap returns the cause.
func (e *UnitError) Unwrap() error { return e.Err }
