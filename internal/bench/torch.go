package main

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
)

//go:embed step.py
var stepScript string

// torch is a Python process that takes the steps of a case in PyTorch.
type torch struct {
	version string // of PyTorch, and its number of threads
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// torchCase is the JSON that step.py reads.
type torchCase struct {
	Device        string           `json:"device"`
	Threads       int              `json:"threads"`
	Batch         int              `json:"batch"`
	Classes       int              `json:"classes"`
	In            []int            `json:"in"`
	Unit          []torchLayer     `json:"unit"`
	Rest          []torchLayer     `json:"rest"`
	TeacherUnit   []torchLayer     `json:"teacher_unit"`
	Acts          []string         `json:"acts"`
	FoldedShapes  map[string][]int `json:"folded_shapes"`
	TeacherShapes map[string][]int `json:"teacher_shapes"`
}

type torchLayer struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind"`
	Inputs []string `json:"inputs"`
	In     int      `json:"in"`
	Out    int      `json:"out"`
	Kernel int      `json:"kernel"`
	Stride int      `json:"stride"`
	Pad    int      `json:"pad"`
	Groups int      `json:"groups"`
	Bias   bool     `json:"bias"`
	Eps    float64  `json:"eps"`
}

// startTorch starts the process for a unit of q's network. It computes on device, "cpu" or "cuda". It fails if python
// has no PyTorch.
func startTorch(python, device string, q *pdq.Quantizer, teacher *models.Network, unit, batch int,
	bits []pdq.LayerBits) (*torch, error) {
	folded, weights := q.Folded()
	u, tu := folded.Units[unit], teacher.Units[unit]
	c := torchCase{
		Device: device, Threads: runtime.GOMAXPROCS(0), Batch: batch,
		Classes: folded.Classes, In: folded.InputShape(u.First),
		Unit: torchLayers(folded.Layers[u.First : u.Last+1]), Rest: torchLayers(folded.Layers[u.Last+1:]),
		TeacherUnit:  torchLayers(teacher.Layers[tu.First : tu.Last+1]),
		FoldedShapes: map[string][]int{}, TeacherShapes: map[string][]int{},
	}
	for name, t := range weights {
		c.FoldedShapes[name] = t.Shape().Dimensions
	}
	for _, p := range teacher.Params() {
		c.TeacherShapes[p.Name] = p.Shape
	}
	for _, lb := range bits {
		if k := folded.Index(lb.Layer); lb.Output > 0 && u.First <= k && k <= u.Last {
			c.Acts = append(c.Acts, lb.Layer)
		}
	}
	line, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	t := &torch{cmd: command(python, "-c", stepScript)}
	t.cmd.Stderr = os.Stderr
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.out = bufio.NewReader(out)
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	if t.version, err = t.ask(string(line)); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// hasTorch says whether a Python has PyTorch.
func hasTorch(python string) bool {
	return python != "" && command(python, "-c", "import torch").Run() == nil
}

// command is exec.Command without the settings of OpenBLAS that may be in force for another program, and may slow
// PyTorch and NumPy.
func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OPENBLAS_CORETYPE=") && !strings.HasPrefix(e, "OPENBLAS_L2_SIZE=") {
			c.Env = append(c.Env, e)
		}
	}
	return c
}

// compile has PyTorch compile both steps and returns the seconds that it takes. From then on, steps knows "compiled"
// and "compiled-dc" as well. The error says why torch.compile can't be used.
func (t *torch) compile() (seconds float64, err error) {
	answer, err := t.ask("compile 0")
	if err != nil {
		return 0, err
	}
	if seconds, err = strconv.ParseFloat(answer, 64); err != nil {
		return 0, errors.New(answer)
	}
	return seconds, nil
}

// ask sends a line and returns the answer.
func (t *torch) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(t.in, line); err != nil {
		return "", fmt.Errorf("python: %w", err)
	}
	answer, err := t.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("python: %w", err)
	}
	return strings.TrimSpace(answer), nil
}

// steps takes n steps of a kind: "step", "dc" or, after compile, "compiled" or "compiled-dc".
func (t *torch) steps(kind string, n int) error {
	_, err := t.ask(fmt.Sprintf("%s %d", kind, n))
	return err
}

func (t *torch) close() {
	t.in.Close()
	_ = t.cmd.Wait() // it ends when its input does; its status doesn't matter
}

func torchLayers(layers []models.Layer) []torchLayer {
	out := []torchLayer{}
	for _, l := range layers {
		t := torchLayer{Name: l.Name, Kind: l.Op.Kind(), Inputs: l.Inputs}
		switch op := l.Op.(type) {
		case models.Conv:
			t.In, t.Out, t.Groups, t.Bias = op.In, op.Out, op.Groups, op.Bias
			t.Kernel, t.Stride, t.Pad = op.Kernel[0], op.Stride[0], op.Pad.Top // all cases have square windows
		case models.BatchNorm:
			t.Out, t.Eps = op.Channels, op.Eps
		case models.PadShortcut:
			t.In, t.Out, t.Stride = op.In, op.Out, op.Stride
		case models.MaxPooling:
			t.Kernel, t.Stride, t.Pad = op.Kernel[0], op.Stride[0], op.Pad.Top
		case models.Linear:
			t.In, t.Out = op.In, op.Out
		}
		out = append(out, t)
	}
	return out
}
