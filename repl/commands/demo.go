package commands

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) demoCommand() command {
	return command{
		Name: "demo", Group: groupPrograms,
		Help: "quantise a shipped teacher by nearest rounding, MSE only, PD-Quant and best, and compare them",
		More: goesOn,
		Options: slices.Concat([]shell.Option{
			option("teacher", "mobilenetv2", "trained network: "+strings.Join(arch.TeacherNames(), ", ")),
		}, widthOptions(), []shell.Option{
			option("images", "128", "calibration images, 1 to 2048"),
			option("seed", "1", "of the calibration draw and the optimisation"),
			presetOption("glance", "glance", "quick", "best", "fast", "paper"),
		}, stepsOptions(), []shell.Option{
			option("finetune", "", "steps of fine-tuning for best, which follow the units of MSE only, 0 to 100000; empty: "+
				"150 with glance, else 1500; 0: leave best out"),
			option("test", "5000", "test images, in equal distances; 0: all 10,000"),
			backendOption(), memoryOption(), keepOption(), anewOption(),
			option("out", "", "run folder; empty: runs/demo-TEACHER-wWaA-sSEED"),
		}),
		Run: e.alone(demo),
	}
}

// goesOn is what the help of commands with a grid has in common.
const goesOn = "The same command goes on where it stopped, within a unit too. What methods share is computed once, " +
	"and results that the run folder has are shown at once; those of other settings stay beside them."

func demo(c *call) error {
	g, err := newDemo(c.Values)
	if err != nil {
		return err
	}
	w := g.Bits[0]
	f, err := c.gridFolder(&g, fmt.Sprintf("runs/demo-%s-w%da%d-s%d", c.Values["teacher"], w.W, w.A, g.Seeds[0]))
	if err != nil {
		return err
	}
	g.Start = c.describe(g, f)
	results, err := c.compute(g, f)
	if err != nil {
		return err
	}
	return c.report(f, titleOf(g), results, "MSE only",
		"For mobilenetv2 at W2A2, testdata/demo.tsv has these settings by seed, testdata/pd.tsv and best.tsv three seeds of "+
			"100 steps.")
}

// newDemo reads and checks the options.
func newDemo(v shell.Values) (g experiment.Grid, err error) {
	var src experiment.Source
	if err := readGrid(v, &src, &g); err != nil {
		return g, err
	}
	if err := readSteps(v, &g); err != nil {
		return g, err
	}
	src.Name, src.Data = v["teacher"], "fashion-mnist" // the images that are built in
	s, err := experiment.Open(src)
	if err != nil {
		return g, err
	}
	g.Subjects = []experiment.Subject{s}
	tuning := bestSteps(v["preset"])
	if err := v.Override("finetune", 0, 100000, &tuning); err != nil {
		return g, err
	}
	g.Settings = append(g.Settings, experiment.Setting{Field: "FineTune.Steps", Value: strconv.Itoa(tuning)})
	g.Methods, err = usualMethods(g)
	return g, err
}

// usualMethods are those of commands that aren't told which: nearest rounding, MSE only, and what g's settings have
// beyond it.
func usualMethods(g experiment.Grid) ([]experiment.Method, error) {
	c, err := pdq.Preset(g.Preset, "resnet", g.Bits[0].W, g.Bits[0].A) // what a preset has isn't the family's
	if err != nil {
		return nil, err
	}
	if c, err = g.Settings.Set(c); err != nil {
		return nil, err
	}
	text := "nearest; mse"
	switch pd, correction := c.Loss.PD > 0, c.Correction.Steps > 0; {
	case pd && correction:
		text += "; pd-quant"
	case pd:
		text += "; pd"
	case correction:
		text += "; dc"
	}
	if c.FineTune.Steps > 0 {
		text += "; best"
	}
	return experiment.ParseMethods(text)
}

// bestSteps returns how many steps of fine-tuning best takes with a preset, unless an option says otherwise.
func bestSteps(preset string) int {
	if preset == "glance" {
		return 150
	}
	return pdq.BestSteps
}
