package commands

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) insideCommands() []command {
	unit := shell.Argument{Name: "unit", Help: "name of a unit, or its number", Need: true}
	layer := shell.Argument{Name: "layer", Help: "name of a layer; layers lists them", Need: true}
	file := option("file", "", "write the plot to this PNG or SVG")
	images := func(n string) shell.Option {
		return option("images", n, "calibration images to look at, the first ones")
	}
	subset := option("images", "", "calibration images to look at, the first ones; empty: 16 on the Go backend, 32 on "+
		"others")
	of := option("of", "", "weight or output, of a layer that has both; empty: weight")
	return []command{
		{Name: "units", Group: groupInside, Help: "list the units: layers, shapes, parameters, bits, state",
			Run: e.do(units)},
		{Name: "layers", Group: groupInside, Help: "list the layers of a unit, or of all, that have something to quantise",
			Run:  e.do(layers),
			Args: []shell.Argument{{Name: "unit", Help: "name of a unit, or its number"}}},
		{Name: "inspect", Group: groupInside, Help: "look at a layer: scale, zero point, values, levels, rounding",
			Run:  e.do(inspect),
			Args: []shell.Argument{layer}, Options: []shell.Option{of, images("64"), file}},
		{Name: "sweep", Group: groupInside, Help: "squared error, cosine and PD of a layer over candidate scales, side by " +
			"side", Run: e.do(sweep),
			More: "Scales are fractions of the range that the values fill. What comes before the layer is quantised as it is " +
				"now, what follows is in full precision. Curves are relative to their least value, marked *.",
			Args: []shell.Argument{layer}, Options: []shell.Option{of, option("metric", "", "mse, lp, cosine or pd to plot "+
				"alone; empty: mse, cosine and pd"), subset,
				option("points", "", "scales, 2 to 1000; empty: 16 on the Go backend, 32 on others"), file}},
		{Name: "bn", Group: groupInside, Help: "statistics of a unit's batch normalisations before and after correction",
			Run:     e.do(norms),
			Args:    []shell.Argument{unit},
			Options: []shell.Option{option("channels", "4", "the worst ones to list of each"), file}},
		{Name: "trace", Group: groupInside, Help: "the parts of the loss over the steps a unit has taken", Run: e.do(trace),
			Args: []shell.Argument{unit}, Options: []shell.Option{option("step", "round", "round, or dc"), file}},
		{Name: "diff", Group: groupInside, Help: "signal to noise of the student's units against the teacher's, and the " +
			"worst channels", Run: e.do(diff),
			Args:    []shell.Argument{{Name: "unit", Help: "to list the worst channels of; none: all units"}},
			Options: []shell.Option{images("64"), option("channels", "8", "the worst ones to list"), file}},
		{Name: "worst", Group: groupInside, Help: "which quantisers hurt most: each alone, all else in full precision",
			Run:     e.do(worst),
			Options: []shell.Option{subset, option("n", "10", "to list"), file}},
		{Name: "prefix", Group: groupInside, Run: e.do(prefix),
			Help: "accuracy and PD with the first units quantised, up to each in turn, and the rest in full precision",
			More: "It shows at which unit the predictions change, and whether later units repair that. Where the calibration " +
				"images gain and the test images lose, rounding fits the calibration images.",
			Options: []shell.Option{option("n", "256", "calibration images, the first ones, and test images"), file}},
		{Name: "plot", Group: groupInside, Free: true, Wraps: true,
			Help: "draw what a command finds, here or to a PNG or SVG: plot sweep LAYER file=x.svg", Run: e.do(plotCommand),
			Args: []shell.Argument{{Name: "what", Help: strings.Join(plotNames(), ", "), Need: true},
				{Name: "words", Help: "the command's own arguments and options", Many: true}}},
	}
}

func plotNames() []string {
	return []string{"inspect", "sweep", "bn", "trace", "diff", "worst", "prefix"}
}

// plotCommand runs another command that draws.
func plotCommand(c *call) (session, error) {
	if !slices.Contains(plotNames(), c.Values["what"]) {
		return c.s, fmt.Errorf("repl: plot of %q%s", c.Values["what"],
			shell.Suggestion(c.Values["what"], plotNames(), "choose one of "+strings.Join(plotNames(), ", ")))
	}
	return c.Evaluate(c.Words)
}

func units(c *call) (session, error) {
	s := c.s
	if s.teacher == nil {
		return s, errNoTeacher()
	}
	shapes, bits := s.teacher.folded.Shapes(), s.bits()
	var rows [][]any
	for u, unit := range s.teacher.folded.Units {
		var widths []string
		for _, l := range s.teacher.folded.Layers[unit.First : unit.Last+1] {
			for _, w := range []struct {
				of string
				n  int
			}{{"w", bits[l.Name].Weight}, {"a", bits[l.Name].Output}} {
				if text := fmt.Sprintf("%s%d", w.of, w.n); w.n > 0 && !slices.Contains(widths, text) {
					widths = append(widths, text)
				}
			}
		}
		slices.Sort(widths)
		rows = append(rows, []any{u, unit.Name, unit.Last - unit.First + 1, shapeText(shapes[unit.Last]),
			shell.Count(parameters(s.teacher.folded, unit.First, unit.Last)), strings.Join(widths, " "), s.stateText(u)})
	}
	c.Show(shell.Table{Columns: []string{"", "unit", "layers", "output", "parameters", "bits", "state"}, Rows: rows})
	return s, nil
}

func shapeText(dims []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(dims), "[]"), " ", "x")
}

func layers(c *call) (session, error) {
	s := c.s
	if s.teacher == nil {
		return s, errNoTeacher()
	}
	n := s.teacher.folded
	first, last := 0, len(n.Layers)-1
	if name := c.Values["unit"]; name != "" {
		u, err := s.unit(name)
		if err != nil {
			return s, err
		}
		first, last = n.Units[u].First, n.Units[u].Last
	}
	shapes, bits := n.Shapes(), s.bits()
	var rows [][]any
	for i := first; i <= last; i++ {
		l := n.Layers[i]
		lb, ok := bits[l.Name]
		if !ok {
			continue
		}
		rows = append(rows, []any{l.Name, l.Op.Kind(), strings.Join(l.Inputs, ", "), shapeText(shapes[i]),
			shell.Count(parameters(n, i, i)), bitsText(lb)})
	}
	c.Show(shell.Table{Columns: []string{"layer", "kind", "reads", "output", "parameters", "bits"}, Rows: rows})
	return s, nil
}

// part returns the layer asked for, and whether its output is, not its weight.
func (c *call) part() (l models.Layer, output bool, err error) {
	if l, err = c.s.layer(c.Values["layer"], true); err != nil {
		return l, false, err
	}
	bits := c.s.bits()[l.Name]
	switch c.Values["of"] {
	case "":
		return l, bits.Weight == 0, nil
	case "weight":
		if bits.Weight == 0 {
			return l, false, fmt.Errorf("repl: %s (%v) has no weight; leave of= out", l.Name, l.Op.Kind())
		}
		return l, false, nil
	case "output":
		if bits.Output == 0 {
			return l, true, fmt.Errorf("repl: the output of %s isn't quantised, but what follows is; layers lists what is",
				l.Name)
		}
		return l, true, nil
	}
	return l, false, fmt.Errorf("repl: of=%s; choose weight or output", c.Values["of"])
}

func inspect(c *call) (session, error) {
	l, output, err := c.part()
	if err != nil {
		return c.s, err
	}
	images, err := c.Values.Number("images", 1, 1<<20)
	if err != nil {
		return c.s, err
	}
	q, err := c.quantizer(c.s, c.s.config)
	if err != nil {
		return c.s, err
	}
	if output {
		v, err := look.Output(c.Context, q, c.s.student, l.Name, images)
		if err != nil {
			return c.s, err
		}
		return c.s, c.outputView(l, v)
	}
	v, err := look.Weight(q, c.s.student, l.Name)
	if err != nil {
		return c.s, err
	}
	return c.s, c.weightView(l, v)
}

// lowest returns the least of xs and its index, leaving out NaN, which channels have whose weights are all 0.
func lowest(xs []float64) (least float64, at int) {
	least, at = math.NaN(), -1
	for i, x := range xs {
		if at < 0 && !math.IsNaN(x) || x < least {
			least, at = x, i
		}
	}
	return least, at
}

func (c *call) weightView(l models.Layer, v look.WeightView) error {
	size := v.Quant.Bits
	c.Print("%s (%s), weight %s, %g to %g", l.Name, l.Op.Kind(), shapeText(v.Shape), short(v.Values.Low),
		short(v.Values.High))
	if size == 0 {
		c.Show(shell.Text("not quantised yet: scales weights"))
	} else {
		all := sum(v.Levels)
		c.Print("%d bits, scale %.4g to %.4g and zero point %g to %g by channel", size,
			slices.Min(v.Quant.Scale), slices.Max(v.Quant.Scale), slices.Min(v.Quant.Zero), slices.Max(v.Quant.Zero))
		worst, at := lowest(v.Channel)
		c.Print("signal to noise %.1f dB, %.1f in the worst channel (%d); %s clipped, %s rounded other than to nearest",
			v.SNR, worst, at, share(v.Clipped, all), share(v.Flipped, all))
		c.levels(v.Levels)
	}
	if err := c.decided(l.Name); err != nil {
		return err
	}
	return c.figure(figure{chart: plot.Chart{Title: l.Name, Subtitle: c.subtitle(), X: "weight", Y: "number"},
		bins: bins(v.Values)})
}

// decided prints how far the rounding variables of a layer are, if its unit is being rounded.
func (c *call) decided(layer string) error {
	r := c.s.rounding
	unit := models.Unit{Last: -1}
	if r != nil {
		unit = c.s.teacher.folded.Units[r.start.data.Unit]
	}
	if i := c.s.teacher.folded.Index(layer); i < unit.First || i > unit.Last {
		return nil
	}
	rounder, _, err := c.rounder(c.s, r.start.config)
	if err != nil {
		return err
	}
	all, err := rounder.Decided()
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.Layer == layer {
			c.Print("rounding variables at step %d: %s undecided; h by tenths, from 0 (down) to 1 (up): %s", r.state.Done,
				share(d.Undecided, d.Size), sparks(d.Histogram[:]))
		}
	}
	return nil
}

func (c *call) outputView(l models.Layer, v look.OutputView) error {
	c.Print("%s (%v), output on %d images, %g to %g", l.Name, l.Op.Kind(), v.Images, short(v.Values.Low),
		short(v.Values.High))
	if v.Quant.Bits == 0 {
		c.Show(shell.Text("not quantised yet: scales acts UNIT"))
	} else {
		c.Print("%d bits, scale %.4g, zero point %g: levels from %.4g to %.4g", v.Quant.Bits, v.Quant.Scale, v.Quant.Zero,
			0-v.Quant.Zero*v.Quant.Scale, (float32(len(v.Levels)-1)-v.Quant.Zero)*v.Quant.Scale)
		c.Print("signal to noise %.1f dB; %s clipped", v.SNR, share(v.Clipped, sum(v.Levels)))
		c.levels(v.Levels)
	}
	return c.figure(figure{chart: plot.Chart{Title: l.Name, Subtitle: c.subtitle(), X: "output", Y: "number"},
		bins: bins(v.Values)})
}

// levels prints how the levels are used.
func (c *call) levels(counts []int) {
	if len(counts) > 16 {
		used := 0
		for _, n := range counts {
			if n > 0 {
				used++
			}
		}
		c.Print("levels: %d of %d are used", used, len(counts))
		return
	}
	var parts []string
	for k, n := range counts {
		parts = append(parts, fmt.Sprintf("%d: %s", k, share(n, sum(counts))))
	}
	c.Print("levels: %s", strings.Join(parts, ", "))
}

// subtitle says what a plot is of.
func (c *call) subtitle() string {
	return fmt.Sprintf("%s, W%dA%d", c.s.teacher.Name, c.s.config.Bits.W, c.s.config.Bits.A)
}

func sum(counts []int) (n int) {
	for _, k := range counts {
		n += k
	}
	return n
}

func share(part, whole int) string { return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole)) }

// short is x with four digits.
func short(x float64) float64 {
	var y float64
	if _, err := fmt.Sscanf(fmt.Sprintf("%.4g", x), "%g", &y); err != nil {
		return x
	}
	return y
}
