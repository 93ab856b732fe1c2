package commands

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/internal/npz"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/repl/shell"
)

// dumpCommand writes what a layer computes with for other programs.
func (e *engine) dumpCommand() command {
	return command{Name: "dump", Group: groupInside, Help: "write a layer's inputs, output, levels and scales for NumPy",
		Run: e.do(dump),
		More: "numpy.load(FILE) has input (input2, ... of a layer that reads several) as the student's layers before give " +
			"it, output before its quantiser, weight in full precision and bias; of what is quantised, output_levels, " +
			"output_scale, output_zero, weight_levels, weight_scale and weight_zero: a value is (level-zero)*scale. Tensors " +
			"are N,C,H,W and O,I,H,W; scales of weights are by output channel.",
		Args: []shell.Argument{{Name: "layer", Help: "name of a layer; layers lists those that are quantised", Need: true},
			{Name: "file", Help: "to write: conv1.npz", Need: true}},
		Options: []shell.Option{option("images", "64", "calibration images, the first ones")}}
}

func dump(c *call) (session, error) {
	s, path := c.s, c.Values["file"]
	images, err := c.Values.Number("images", 1, 1<<20)
	if err != nil {
		return s, err
	}
	l, err := s.layer(c.Values["layer"], false)
	if err != nil {
		return s, err
	}
	if strings.ToLower(filepath.Ext(path)) != ".npz" {
		return s, fmt.Errorf("repl: %s: NumPy's archives end in .npz; dump %s %s.npz", path, l.Name, path)
	}
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	x, err := look.Tensors(c.Context, q, s.student, l.Name, images)
	if err != nil {
		return s, err
	}
	arrays := arraysOf(x)
	if err := shell.WriteFile(path, func(w io.Writer) error { return npz.Write(w, arrays) }); err != nil {
		return s, err
	}
	t := shell.Table{Columns: []string{"array", "shape"}}
	for _, a := range arrays {
		t.Rows = append(t.Rows, []any{a.Name, shapeText(a.Shape)})
	}
	c.Show(t)
	c.Print("%s on %d images in %s", l.Name, x.Output.Shape[0], path)
	return s, nil
}

// arraysOf names the parts of x. What isn't there or isn't quantised is left out.
func arraysOf(x look.LayerTensors) []npz.Array {
	var all []npz.Array
	for i, in := range x.Inputs {
		name := "input"
		if i > 0 {
			name += fmt.Sprint(i + 1)
		}
		all = append(all, npz.Array{Name: name, Shape: in.Shape, Values: in.Values})
	}
	tensor := func(name string, t look.Tensor, scale, zero []float32, shape []int) {
		if t.Shape != nil {
			all = append(all, npz.Array{Name: name, Shape: t.Shape, Values: t.Values})
		}
		if t.Levels != nil {
			all = append(all, npz.Array{Name: name + "_levels", Shape: t.Shape, Values: t.Levels},
				npz.Array{Name: name + "_scale", Shape: shape, Values: scale},
				npz.Array{Name: name + "_zero", Shape: shape, Values: zero})
		}
	}
	a, w := x.OutputQuant, x.WeightQuant
	tensor("output", x.Output, []float32{a.Scale}, []float32{a.Zero}, nil)
	tensor("weight", x.Weight, w.Scale, w.Zero, []int{len(w.Scale)})
	if x.Bias != nil {
		all = append(all, npz.Array{Name: "bias", Shape: []int{len(x.Bias)}, Values: x.Bias})
	}
	return all
}
