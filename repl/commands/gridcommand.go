package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/plot"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) gridCommand() command {
	return command{
		Name: "grid", Group: groupPrograms, Help: "compare methods on several networks, bits and seeds, and keep each result in a table",
		More: "Methods are separated by semicolons, each a word and perhaps settings, as in " + `methods="mse; best FineTune.Steps=300; pd Loss.PD=2"` + ": " + recipeText() +
			". The same command goes on where it stopped, within a unit too; what two methods share is computed once.",
		Options: []shell.Option{
			option("networks", "resnet8", "names, separated by commas, of networks as the command models lists them; or one architecture, with set and checkpoint"),
			option("bits", "2/2", "of weights and activations, separated by commas: 2/2,4/4"),
			option("methods", "mse; pd-quant", "what to compare; differences are to the first"),
			option("seeds", "3", "1 to this number"),
			option("images", "256", "calibration images, which each seed draws"),
			option("preset", "quick", "whose settings methods change: quick, best, fast or paper"),
			option("all", "", "settings to change in the preset, before methods do: Rounding.Steps=100 Loss.Temperature=1"),
			option("test", "0", "test images, in equal distances; 0: all"),
			option("checkpoint", "", "weights of the only network; empty: where the command models says"),
			option("set", "", "name of the data set; empty: the one that the network was trained on"),
			option("data", "", "folder of the data set; empty: the set's name in the folder root"),
			option("root", "data", "folder of data sets by their names, and of checkpoints"),
			option("labels", "", "ImageNet: file that labels a flat val/"),
			option("indices", "", "file with the training images to calibrate on, a number a line; empty: all"),
			option("fixed", "false", "true: each seed calibrates on the first of the indices, in their order"),
			option("held", "0", "test on n training images that aren't calibrated on, to choose settings by; 0: on test images"),
			option("distorted", "false", "true: half of the held-out images get noise, half are blurred"),
			option("anyway", "false", "true: go on with a network that is at chance level on the data"),
			option("backend", "auto", "auto, go, onnx, xla, ..."),
			memoryOption(),
			keepOption(),
			option("out", "runs/grid", "run folder, whose results.tsv is the table"),
		},
		Run: e.alone(writing(runGrid)),
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

func runGrid(ctx context.Context, v shell.Values, stdout, stderr io.Writer) error {
	g, err := newGrid(v)
	if err != nil {
		return err
	}
	folder, err := experiment.CreateFolder(v["out"])
	if err != nil {
		return err
	}
	p := newProgress(displayOf(stderr))
	defer p.done()
	g.Command = "go run ./repl " + v["line"]
	g.Step = func(e experiment.Progress) { p.event(e.Event) }
	g.Began = func(c experiment.Cell, number, of int) { p.start(fmt.Sprintf("%d/%d %v", number, of, c)) }
	g.Warn = func(text string) { p.display.Note("note      " + text) }
	g.Finished = func(r experiment.Result) {
		p.done()
		fmt.Fprintf(stderr, "%s %v %s, seed %d: %.2f ± %.2f %% (%.0f s)\n", r.Network, r.Width, r.Method, r.Seed, r.Test.Percent(), r.Test.StandardError(), r.Seconds)
	}
	results, err := g.Run(ctx, folder)
	p.done()
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(stderr, "what was computed is kept in %s; the same command goes on from there\n", folder)
	}
	if err != nil {
		return err
	}
	table := experiment.Compare(results)
	fmt.Fprintf(stdout, "%s\n%s\nTable of all results: %s\n", grid(table.Columns, table.Rows), strings.Join(table.Notes, "\n"), folder.Path(experiment.ResultsFile))
	return plot.Bars(folder.Path(chartFile), fmt.Sprintf("%d networks, %d settings of bits, %d seeds", len(g.Subjects), len(g.Bits), len(g.Seeds)),
		fmt.Sprintf("%d calibration images, %s preset, %s", g.Images, g.Preset, g.Backend), "top-1 accuracy (%)", experiment.Bars(results))
}

// newGrid reads and checks the options. What takes long comes last.
func newGrid(v shell.Values) (g experiment.Grid, err error) {
	src := experiment.Source{Checkpoint: v["checkpoint"], Set: v["set"], Data: v["data"], Root: v["root"], Labels: v["labels"], Indices: v["indices"]}
	var seeds int
	for _, o := range []struct {
		key    string
		lo, hi int
		to     *int
	}{{"seeds", 1, 1000, &seeds}, {"images", 1, 1 << 30, &g.Images}, {"test", 0, 1 << 30, &src.Tests}, {"held", 0, 1 << 30, &src.Held}, {"keep", 1, 1000000, &g.Every}} {
		if *o.to, err = v.Number(o.key, o.lo, o.hi); err != nil {
			return g, err
		}
	}
	for key, to := range map[string]*bool{"fixed": &src.Fixed, "distorted": &src.Distorted, "anyway": &g.Anyway} {
		if err := v.OneOf(key, "true", "false"); err != nil {
			return g, err
		}
		*to = v[key] == "true"
	}
	g.Preset, g.Seeds = v["preset"], experiment.Seeds(seeds)
	if g.Bits, err = experiment.ParseWidths(v["bits"]); err != nil {
		return g, err
	}
	if g.Methods, err = experiment.ParseMethods(v["methods"]); err != nil {
		return g, err
	}
	if g.Settings, err = experiment.ParseSettings(v["all"]); err != nil {
		return g, err
	}
	if g.Machine.CacheLimit, err = cacheLimit(v); err != nil {
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
	g.Backend, g.Note, err = backend.Open(v["backend"])
	return g, err
}
