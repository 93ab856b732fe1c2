package commands

import (
	"fmt"
	"strings"

	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) quantiseCommand() command {
	return command{
		Name: "quantise", Group: groupPrograms,
		Help: "quantise a network of the registry, as resnet18 for ImageNet, from its checkpoint and data",
		More: "The command models lists the names, where each checkpoint and data set is looked for, and how to get what " +
			"is missing. Settings are the preset's for the network's architecture. " + goesOn,
		Args: []shell.Argument{{Name: "network", Help: "name in the registry: resnet18, mobilenetv2-1.0, " +
			"resnet20-cifar10, ...", Need: true}},
		Options: []shell.Option{
			option("w", "2", "bits of weights, 2 to 8"),
			option("a", "2", "bits of activations, 2 to 8"),
			option("checkpoint", "", "weights in PyTorch's format or safetensors; empty: "+checkpointDir+
				"/ and the published file's name"),
			option("data", "", "folder of the data set; empty: data/ and its name"),
			option("labels", "", "ImageNet: file that labels a flat val/, in lines of a file's name and a class"),
			option("crop", "random", "ImageNet: calibrate on random parts of images, as the reference, or on their centre"),
			option("corrupt", "error", "ImageNet: a file that can't be decoded is an error, or skip: left out and counted"),
			option("images", "1024", "calibration images"),
			option("seed", "1", "of the calibration draw and the optimisation"),
			presetOption("paper", "quick", "best", "fast", "paper"),
			option("steps", "", "rounding steps per unit, 0 to 1000000; empty: the preset's"),
			option("dc", "", "correction steps per unit, 0 to 1000000; empty: the preset's"),
			option("methods", "all", "all: the baselines too; pd: PD-Quant only"),
			option("test", "0", "test images, in equal distances; 0: all"),
			option("anyway", "false", "true: go on with a network that is at chance level on the data"),
			backendOption(), memoryOption(), keepOption(), anewOption(),
			option("out", "", "run folder; empty: runs/NETWORK-wWaA-sSEED"),
		},
		Run: e.alone(quantise),
	}
}

func quantise(c *call) error {
	g, err := newQuantisation(c.Values)
	if err != nil {
		return err
	}
	s, w := g.Subjects[0], g.Bits[0]
	f, err := c.gridFolder(g, fmt.Sprintf("runs/%s-w%da%d-s%d", s.Name, w.W, w.A, g.Seeds[0]))
	if err != nil {
		return err
	}
	published := publishedText(s.Trained, w.W, w.A)
	describe := c.describe(g, f)
	g.Start = func(r experiment.Record, q *pdq.Quantizer) {
		describe(r, q)
		if published != "" {
			c.Note("%s", published)
		}
	}
	results, err := c.compute(g, f)
	if err != nil {
		return err
	}
	base := "MSE only"
	if len(g.Methods) == 1 {
		base = experiment.FullPrecision
	}
	return c.report(f, titleOf(g), results, base, published)
}

// newQuantisation reads and checks the options. What takes long comes last.
func newQuantisation(v shell.Values) (g experiment.Grid, err error) {
	src := experiment.Source{Name: v["network"], Checkpoint: v["checkpoint"], Data: v["data"], Labels: v["labels"],
		Centred: v["crop"] == "centre", SkipCorrupt: v["corrupt"] == "skip"}
	for _, o := range [][]string{{"crop", "random", "centre"}, {"corrupt", "error", "skip"}, {"methods", "all", "pd"}} {
		if err := v.OneOf(o[0], o[1:]...); err != nil {
			return g, err
		}
	}
	if err := readGrid(v, &src, &g); err != nil {
		return g, err
	}
	if err := readSteps(v, &g); err != nil {
		return g, err
	}
	trained, err := arch.Find(src.Name)
	if err != nil {
		return g, err
	}
	src.Set = trained.Data
	preset, err := pdq.Preset(g.Preset, trained.Design, g.Bits[0].W, g.Bits[0].A)
	if err != nil {
		return g, err
	}
	methods := "pd-quant"
	if preset.FineTune.Steps > 0 {
		methods = "best"
	}
	if v["methods"] == "all" {
		methods = "nearest; mse; " + methods
	}
	if g.Methods, err = experiment.ParseMethods(methods); err != nil {
		return g, err
	}
	s, err := experiment.Open(src)
	if err != nil {
		return g, err
	}
	g.Subjects = []experiment.Subject{s}
	return g, gridBackend(v, &g)
}

// publishedText says what PD-Quant and full precision are published to reach.
func publishedText(t arch.Trained, w, a int) string {
	var parts []string
	for _, f := range t.Published(w, a) {
		parts = append(parts, fmt.Sprintf("PD-Quant W%dA%d %.2f %% (%s)", w, a, f.Top1, f.Source))
	}
	if t.Top1 > 0 {
		parts = append(parts, fmt.Sprintf("full precision %.2f %% (%s)", t.Top1, t.Page))
	}
	if parts == nil {
		return ""
	}
	return "Published: " + strings.Join(parts, ", ") + "; on all test images."
}
