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
)

func gridCommand() command {
	return command{
		name: "grid", group: groupPrograms, help: "compare methods on several networks, bits and seeds, and keep each result in a table",
		more: "Methods are separated by semicolons, each a word and perhaps settings, as in " + `methods="mse; best FineTune.Steps=300; pd Loss.PD=2"` + ": " + recipeText() +
			". The same command goes on where it stopped, within a unit too; what two methods share is computed once.",
		options: []option{
			{"networks", "resnet8", "names, separated by commas, of networks as the command models lists them; or one architecture, with set and checkpoint"},
			{"bits", "2/2", "of weights and activations, separated by commas: 2/2,4/4"},
			{"methods", "mse; pd-quant", "what to compare; differences are to the first"},
			{"seeds", "3", "1 to this number"},
			{"images", "256", "calibration images, which each seed draws"},
			{"preset", "quick", "whose settings methods change: quick, best, fast or paper"},
			{"all", "", "settings to change in the preset, before methods do: Rounding.Steps=100 Loss.Temperature=1"},
			{"test", "0", "test images, in equal distances; 0: all"},
			{"checkpoint", "", "weights of the only network; empty: where the command models says"},
			{"set", "", "name of the data set; empty: the one that the network was trained on"},
			{"data", "", "folder of the data set; empty: the set's name in the folder root"},
			{"root", "data", "folder of data sets by their names, and of checkpoints"},
			{"labels", "", "ImageNet: file that labels a flat val/"},
			{"indices", "", "file with the training images to calibrate on, a number a line; empty: all"},
			{"fixed", "false", "true: each seed calibrates on the first of the indices, in their order"},
			{"held", "0", "test on n training images that aren't calibrated on, to choose settings by; 0: on test images"},
			{"distorted", "false", "true: half of the held-out images get noise, half are blurred"},
			{"anyway", "false", "true: go on with a network that is at chance level on the data"},
			{"backend", "auto", "auto, go, onnx, xla, ..."},
			memoryOption(),
			keepOption(),
			{"out", "runs/grid", "run folder, whose results.tsv is the table"},
		},
		run: alone(runGrid),
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

func runGrid(ctx context.Context, v values, stdout, stderr io.Writer) error {
	g, err := newGrid(v)
	if err != nil {
		return err
	}
	folder, err := experiment.CreateFolder(v["out"])
	if err != nil {
		return err
	}
	p := newProgress(stderr)
	defer p.done()
	g.Command = gridCommand().line(v)
	g.Step = func(e experiment.Progress) { p.event(e.Event) }
	g.Began = func(c experiment.Cell, number, of int) { p.start(fmt.Sprintf("%d/%d %v", number, of, c)) }
	g.Warn = func(text string) { fmt.Fprintln(besideBar{p, stderr}, "note     ", text) }
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
func newGrid(v values) (g experiment.Grid, err error) {
	src := experiment.Source{Checkpoint: v["checkpoint"], Set: v["set"], Data: v["data"], Root: v["root"], Labels: v["labels"], Indices: v["indices"]}
	var seeds int
	for _, o := range []struct {
		key    string
		lo, hi int
		to     *int
	}{{"seeds", 1, 1000, &seeds}, {"images", 1, 1 << 30, &g.Images}, {"test", 0, 1 << 30, &src.Tests}, {"held", 0, 1 << 30, &src.Held}, {"keep", 1, 1000000, &g.Every}} {
		if *o.to, err = v.number(o.key, o.lo, o.hi); err != nil {
			return g, err
		}
	}
	for key, to := range map[string]*bool{"fixed": &src.Fixed, "distorted": &src.Distorted, "anyway": &g.Anyway} {
		if err := v.oneOf(key, "true", "false"); err != nil {
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
	if g.Machine.CacheLimit, err = v.cacheLimit(); err != nil {
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
