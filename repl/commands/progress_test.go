package commands

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out)
		p.start("MSE only")
		p.event(pdq.Event{Step: pdq.StepWeightScales, Done: 3, Total: 3}) // takes no time
		p.event(pdq.Event{Step: pdq.StepRound, Unit: "conv1", Total: 8})
		time.Sleep(2 * time.Second)
		p.event(pdq.Event{Step: pdq.StepRound, Unit: "conv1", Done: 5, Total: 8, Loss: pdq.Loss{Reconstruction: 1, PD: 2, Round: 3}})
		p.done()
		p.done()
		const want = "MSE only: rounding of conv1 2.0 s 2.5 steps/s loss 6 = rec 1 + pd 2 + round 3"
		if got := strings.Join(strings.Fields(out.String()), " "); got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	})
}

// TestBesideBar: what is printed while a bar is shown has lines of its own.
func TestBesideBar(t *testing.T) {
	var screen bytes.Buffer
	p := newProgress(&screen)
	p.terminal = true
	out := besideBar{p, &screen}
	for n := 1; n < 4; n++ {
		p.event(pdq.Event{Step: pdq.StepRound, Unit: "conv1", Done: n, Total: 8})
		if _, err := fmt.Fprintf(out, "row %d\n", n); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(screen.String(), "\n")
	for i, line := range lines[:3] {
		if at := strings.LastIndexByte(line, '\r'); line[at+1:] != fmt.Sprintf("row %d", i+1) {
			t.Errorf("line %d is %q", i+1, line)
		}
	}
	if !strings.Contains(screen.String(), "rounding of conv1") {
		t.Errorf("no bar in %q", screen.String())
	}
}

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
	p := newProgress(io.Discard)
	if _, err := arch.Train(t.Context(), b, n, images.Slice(0, 25), c, p.attach(c.Epochs)); err != nil {
		t.Fatal(err)
	}
	if p.step != "epoch 2 of 2" || p.count != 3 || !strings.HasPrefix(p.loss, " loss ") || strings.Contains(p.loss, "%") {
		t.Errorf("the training ends at %q, step %d,%s", p.step, p.count, p.loss)
	}
}
