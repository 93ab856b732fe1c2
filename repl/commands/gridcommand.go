package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) gridCommand() command {
	return command{
		Name: "grid", Group: groupPrograms,
		Help: "compare methods on several networks, bits and seeds, and keep each result in a table",
		More: "Methods are separated by semicolons, each a word and perhaps settings, as in " +
			`methods="mse; best FineTune.Steps=300; pd Loss.PD=2"` + ": " + recipeText() + ". " + goesOn,
		Options: slices.Concat([]shell.Option{
			option("networks", "resnet8", "names, separated by commas, of networks as the command models lists them; or "+
				"one architecture, with set and checkpoint"),
			option("bits", "2/2", "of weights and activations, separated by commas: 2/2,4/4"),
			option("methods", "mse; pd-quant", "what to compare; differences are to the first"),
			seedsOption(),
			option("images", "256", "calibration images, which each seed draws"),
			option("preset", "quick", "whose settings methods change: glance, quick, best, fast or paper"),
			option("all", "", "settings to change in the preset, before methods do: Rounding.Steps=100 Loss.Temperature=1"),
			option("test", "0", "test images, in equal distances; 0: all"),
			option("checkpoint", "", "weights of the only network; empty: where the command models says"),
			option("set", "", "name of the data set; empty: the option data, or what the network was trained on"),
		}, dataOptions(), []shell.Option{
			option("indices", "", "file with the training images to calibrate on, a number a line; empty: all"),
			option("fixed", "false", "true: each seed calibrates on the first of the indices, in their order"),
			option("held", "0", "test on n training images that aren't calibrated on, to choose settings by; 0: on test images"),
			option("statistics", "0", "correct towards statistics of n training images, in place of batch normalisation's"),
			option("distorted", "false", "true: half of the held-out images get noise, half are blurred"),
			anywayOption(),
			backendOption(), memoryOption(), keepOption(), anewOption(), joinOption(),
			option("out", "runs/grid", "run folder, whose results.tsv is the table"),
		}),
		Run: e.alone(runGrid),
	}
}

// recipeText says what the methods' words mean.
func recipeText() string {
	var texts []string
	for _, r := range experiment.Recipes() {
		texts = append(texts, r.Word+" "+r.Help)
	}
	return strings.Join(texts, "; ")
}

func runGrid(c *call) error {
	g, err := newGrid(c.Values)
	if err != nil {
		return err
	}
	statistics, err := c.Values.Number("statistics", 0, 1<<24)
	if err != nil {
		return err
	}
	f, err := c.gridFolder(&g, "runs/grid")
	if err != nil {
		return err
	}
	for i, s := range g.Subjects {
		c.Note("data      %s", s.About)
		if g.Subjects[i], err = s.Measured(c.Context, g.Backend, statistics); err != nil {
			return err
		}
	}
	results, err := c.compute(g, f)
	if err != nil {
		return err
	}
	chart := plotTitle{
		fmt.Sprintf("%d networks, %d settings of bits, %s", len(g.Subjects), len(g.Bits), seedsText(g.Seeds)),
		fmt.Sprintf("%d calibration images, %s preset, %s", g.Images, g.Preset, g.Backend)}
	return c.report(f, chart, results, "")
}

// newGrid reads and checks the options. What takes long comes last.
func newGrid(v shell.Values) (g experiment.Grid, err error) {
	src, err := sourceOf(v)
	if err != nil {
		return g, err
	}
	src.Set, src.Indices = v["set"], v["indices"]
	if err := readGrid(v, &src, &g); err != nil {
		return g, err
	}
	if g.Bits, err = experiment.ParseWidths(v["bits"]); err != nil {
		return g, err
	}
	if g.Methods, err = experiment.ParseMethods(v["methods"]); err != nil {
		return g, err
	}
	if g.Settings, err = experiment.ParseSettings(v["all"]); err != nil {
		return g, err
	}
	for name := range strings.SplitSeq(v["networks"], ",") {
		src.Name = strings.TrimSpace(name)
		s, err := experiment.Open(src)
		if err != nil {
			return g, err
		}
		g.Subjects = append(g.Subjects, s)
	}
	return g, nil
}
