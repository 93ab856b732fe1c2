package commands

import (
	"strings"
	"testing"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/repl/shell"
)

func TestProgressOfTraining(t *testing.T) {
	images, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 28, 10)})
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	c := arch.DefaultTraining()
	c.Epochs, c.BatchSize = 2, 8
	var last steps
	p := newProgress(&last)
	if _, err := arch.Train(t.Context(), b, n, images.Slice(0, 25), c, p.attach(c.Epochs)); err != nil {
		t.Fatal(err)
	}
	step := last[len(last)-1]
	if step.Name != "epoch 2 of 2" || step.Done != 3 || !strings.HasPrefix(step.Text, " loss ") ||
		strings.Contains(step.Text, "%") {
		t.Errorf("the training ends with %+v", step)
	}
}

// TestProgress: an event is a step with its method, unit and losses.
func TestProgress(t *testing.T) {
	var got steps
	p := newProgress(&got)
	p.start("MSE only")
	p.event(pdq.Event{Step: pdq.StepRound, Unit: "conv1", Done: 5, Total: 8,
		Loss: pdq.Loss{Reconstruction: 1, PD: 2, Round: 3}})
	want := shell.Step{Name: "MSE only: rounding of conv1", Done: 5, Total: 8, Text: " loss 6 = rec 1 + pd 2 + round 3"}
	if len(got) != 1 || got[0] != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// steps is a Display that keeps the progress.
type steps []shell.Step

func (s *steps) Show(shell.Value) error { return nil }
func (s *steps) Note(string)            {}
func (s *steps) Fail(error)             {}
func (s *steps) Progress(x shell.Step)  { *s = append(*s, x) }
func (s *steps) Stderr(string)          {}
func (s *steps) Clear()                 {}
func (s *steps) Done()                  {}
