package pdq

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// TestFastCorrection: Fast's correction stops after at most a quarter of the reference's 500 steps, at a loss that is
// no higher. A thousandth is allowed, as nothing is lower where the reference reaches the minimum.
func TestFastCorrection(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 500 steps on each unit; run without -short")
	}
	b, note, err := backend.Open("onnx")
	if err != nil {
		t.Skipf("on the Go backend it would take ten minutes: %v", err)
	}
	t.Log(note)
	for _, c := range []struct {
		teacher string
		unit    int
		long    bool
	}{{"resnet8", 0, true}, {"resnet8", 3, false}, {"mobilenetv2", 3, false}, {"regnetx", 1, true}} {
		t.Run(fmt.Sprint(c.teacher, " unit ", c.unit), func(t *testing.T) {
			if c.long {
				soaked.Only(t, "500 steps, as other units take them")
			}
			paper, err := Paper(c.teacher, 2, 2)
			if err != nil {
				t.Fatal(err)
			}
			fast, err := Fast(c.teacher, 2, 2)
			if err != nil {
				t.Fatal(err)
			}
			want, all := finalCorrection(t, b, c.teacher, c.unit, paper)
			got, steps := finalCorrection(t, b, c.teacher, c.unit, fast)
			t.Logf("loss %.5g after %d steps; reference %.5g after %d", got, steps, want, all)
			if all != 500 || got > want*1.001 || steps > 125 {
				t.Errorf("loss %.5g after %d steps, want at most %.5g after 125; reference took %d", got, steps, want, all)
			}
		})
	}
}

// finalCorrection corrects unit u on 32 images, one group, and returns the last loss and the number of steps.
func finalCorrection(t *testing.T, b compute.Backend, name string, u int, c Config) (loss float64, steps int) {
	t.Helper()
	teacher, err := arch.LoadTeacher(name)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	q := quantizerOf(t, b, Problem{teacher.Network, teacher.Weights, pool.Slice(0, 32)}, c)
	ctx := context.Background()
	full, err := q.Teacher(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Free()
	d, err := q.observeTeacher(ctx, full, u)
	if err != nil {
		t.Fatal(err)
	}
	q.Progress = func(e Event) {
		if e.Step == StepCorrect {
			loss = e.Loss.Correction
			steps++
		}
	}
	d, err = q.Correct(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	d.Free()
	return loss, steps
}

// observeTeacher returns the data of unit u, with the teacher's input in place of the student's.
func (q *Quantizer) observeTeacher(ctx context.Context, full *Teacher, u int) (*UnitData, error) {
	out, err := exec.NewRunner(q.b, exec.Crew{}, q.folded).Run(ctx, func(xs []*Node) []*Node {
		h := models.Hooks{Param: exec.Constants(xs[0].Graph(), q.p.Weights)}
		in := q.p.Network.Forward(xs[0], 0, q.p.Network.Units[u].First-1, h)
		return []*Node{in, q.p.Network.Forward(in, q.p.Network.Units[u].First, q.p.Network.Units[u].Last, h)}
	}, exec.Normalised{Images: q.p.Calibration})
	if err != nil {
		return nil, err
	}
	return &UnitData{Unit: u, StudentIn: out[0], TeacherIn: out[0], TeacherOut: out[1], CorrectedIn: out[0],
		Target: out[1], Logits: full.Logits}, nil
}

func TestPlateauStops(t *testing.T) {
	p := newPlateau(CorrectionConfig{LearningRate: 1, Patience: 100, Tolerance: 0.01})
	loss, stopped := 100.0, 0
	for step := 1; step <= 60 && stopped == 0; step++ {
		if loss *= 0.995; step > 30 {
			loss = max(loss, 85) // from here on, ten steps lower it by little, then by nothing
		}
		if p.step(loss); p.stopped {
			stopped = step
		}
	}
	if stopped != 50 {
		t.Errorf("stopped at step %d, want 50: the tenth after the loss stood still", stopped)
	}
}

// TestOneGroup: a group that is larger than the number of images holds all images.
func TestOneGroup(t *testing.T) {
	b := anyBackend(t)
	var losses []float64
	for _, group := range []int{20, math.MaxInt} {
		c := tinyConfig(t)
		c.Correction.Group, c.Machine.Workers = group, 2
		q := quantizerOf(t, b, tinyProblem(t, 20), c)
		q.Progress = func(e Event) {
			if e.Step == StepCorrect {
				losses = append(losses, e.Loss.Correction)
			}
		}
		_, d := prepare(t, q, 1)
		if _, err := q.Correct(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(losses) / 2; n == 0 || !slices.Equal(losses[:n], losses[n:]) {
		t.Errorf("losses of groups of 20 of 20 images, and of more: %v", losses)
	}
}

// TestCorrectionNonFinite: the error for a loss that isn't finite counts images over all chunks.
func TestCorrectionNonFinite(t *testing.T) {
	c := tinyConfig(t)
	c.Correction.Group, c.Machine.Workers = 2, 2 // two chunks of four images
	q, err := New(anyBackend(t), tinyProblem(t, 8), c)
	if err != nil {
		t.Fatal(err)
	}
	_, d := prepare(t, q, 1)
	d.TeacherIn.Flat()[len(d.TeacherIn.Flat())-1] = float32(math.NaN())
	_, err = q.Correct(t.Context(), d)
	checkError(t, "the last image", err, "of layer1.0: step 1: the loss of images 6 to 7 is NaN; lower "+
		"Correction.LearningRate")
}
