package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) quantiseCommand() command {
	return command{
		Name: "quantise", Group: groupPrograms, Help: "quantise a network of the registry, as resnet18 for ImageNet, from its checkpoint and data",
		More: "The command models lists the names, where each checkpoint and data set is looked for, and how to get what is missing. Settings are the preset's for the network's architecture.",
		Args: []shell.Argument{{Name: "network", Help: "name in the registry: resnet18, mobilenetv2-1.0, resnet20-cifar10, ...", Need: true}},
		Options: []shell.Option{
			option("w", "2", "bits of weights, 2 to 8"),
			option("a", "2", "bits of activations, 2 to 8"),
			option("checkpoint", "", "weights in PyTorch's format or safetensors; empty: "+checkpointDir+"/ and the published file's name"),
			option("data", "", "folder of the data set; empty: data/ and its name"),
			option("labels", "", "ImageNet: file that labels a flat val/, in lines of a file's name and a class"),
			option("crop", "random", "ImageNet: calibrate on random parts of images, as the reference, or on their centre"),
			option("corrupt", "error", "ImageNet: a file that can't be decoded is an error, or skip: left out and counted"),
			option("images", "1024", "calibration images"),
			option("seed", "1", "of the calibration draw and the optimisation"),
			option("preset", "paper", "quick: for a first look; best: what gave the best accuracy, fine-tuning after the units; fast: the paper with a correction that stops; paper: the reference's steps, which take hours"),
			option("steps", "", "rounding steps per unit, 0 to 1000000; empty: the preset's"),
			option("dc", "", "correction steps per unit, 0 to 100000; empty: the preset's"),
			option("methods", "all", "all: the baselines too; pd: PD-Quant only"),
			option("test", "0", "test images, in equal distances; 0: all"),
			option("anyway", "false", "true: go on with a network that is at chance level on the data"),
			option("backend", "auto", "auto, go, onnx, xla, ..."),
			memoryOption(),
			keepOption(),
			anewOption(),
			option("out", "", "run folder: an unfinished run of the same settings goes on, a finished one is replaced; empty: runs/NETWORK-wWaA-sSEED"),
		},
		Run: e.alone(writing(quantise)),
	}
}

// checkpointDir is where published checkpoints are looked for.
const checkpointDir = "data/checkpoints"

func quantise(ctx context.Context, v shell.Values, stdout, stderr io.Writer) error {
	j, err := newQuantisation(ctx, v)
	if err != nil {
		return err
	}
	return j.do(ctx, "go run ./repl "+v["line"], stdout, stderr)
}

// newQuantisation reads and checks the options. What takes long comes last.
func newQuantisation(ctx context.Context, v shell.Values) (*job, error) {
	j := &job{preset: v["preset"]}
	var w, a, images, seed, tests int
	for _, o := range []struct {
		key    string
		lo, hi int
		to     *int
	}{{"w", 2, 8, &w}, {"a", 2, 8, &a}, {"images", 1, 1 << 30, &images}, {"seed", 0, 1 << 31, &seed}, {"test", 0, 1 << 30, &tests}} {
		n, err := v.Number(o.key, o.lo, o.hi)
		if err != nil {
			return nil, err
		}
		*o.to = n
	}
	if err := v.OneOf("anyway", "true", "false"); err != nil {
		return nil, err
	}
	j.anyway = v["anyway"] == "true"
	trained, err := arch.Find(v["network"])
	if err != nil {
		return nil, err
	}
	pool, err := j.load(trained, v, tests)
	if err != nil {
		return nil, err
	}
	if err := j.configure(v, w, a, seed); err != nil {
		return nil, err
	}
	if err := v.OneOf("methods", "all", "pd"); err != nil {
		return nil, err
	}
	if j.methods = methodsOf(j.config); v["methods"] == "pd" {
		j.methods = j.methods[len(j.methods)-1:]
	}
	j.published = publishedText(trained, w, a)
	if err := j.open(v, fmt.Sprintf("runs/%s-w%da%d-s%d", trained.Name, w, a, seed)); err != nil {
		return nil, err
	}
	j.calibration, err = pool.Calibrate(ctx, images, uint64(seed))
	return j, err
}

// load finds and reads network and data; images are drawn from the pool.
func (j *job) load(t arch.Trained, v shell.Values, tests int) (datasets.Pool, error) {
	if err := errors.Join(v.OneOf("crop", "random", "centre"), v.OneOf("corrupt", "error", "skip")); err != nil {
		return nil, firstLine(err)
	}
	set, err := datasets.FindSet(t.Data)
	if err != nil {
		return nil, err
	}
	o := datasets.OpenOptions{Dir: v["data"], Labels: v["labels"], Images: datasets.ImageNetConfig(), Centred: v["crop"] == "centre"}
	o.Images.SkipCorrupt = v["corrupt"] == "skip"
	if o.Dir == "" {
		o.Dir = dataFolder(set.Name)
	}
	pool, test, err := set.Open(o)
	if err != nil {
		return nil, err
	}
	if j.test, err = test.Evenly(tests); err != nil {
		return nil, err
	}
	path := v["checkpoint"]
	if path == "" {
		path = checkpointFile(t)
	}
	if j.network, j.weights, err = t.Load(path, arch.SquareInput(set.Channels, set.Size, set.Classes)); err != nil {
		return nil, err
	}
	j.trained = "with weights of " + path
	if path == "" {
		j.trained = "shipped"
	}
	return pool, nil
}

// dataFolder is where a data set is looked for; "": what is built in, if its folder isn't there.
func dataFolder(set string) string {
	dir := filepath.Join("data", set)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && set == "fashion-mnist" {
		return ""
	}
	return dir
}

// checkpointFile is where a network's published checkpoint is, or belongs; "": it is built in.
func checkpointFile(t arch.Trained) string {
	if t.File == "" {
		return ""
	}
	kept := filepath.Join("testdata", t.Data, t.File) // this repository has one
	if _, err := os.Stat(kept); err == nil {
		return kept
	}
	return filepath.Join(checkpointDir, t.File)
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

func (e *engine) modelsCommand() command {
	return command{
		Name: "models", Group: groupPrograms, Help: "list the networks and data sets known by name: what is here, what is missing, how to get it",
		Run: e.alone(func(c *call) error {
			c.Print("%s\nMissing weights go to %s:\n%s%s\nMissing data go to a folder of that name in data:\n%s", networkTable(),
				checkpointDir, weightSources(), setTable(), strings.TrimSuffix(setSources(), "\n"))
			return nil
		}),
	}
}

// networkTable lists the registry's networks.
func networkTable() string {
	var rows [][]string
	for _, t := range arch.Registry() {
		state, top1 := "built in", "-"
		if path := checkpointFile(t); path != "" {
			state = presence(path)
		}
		if t.Top1 > 0 {
			top1 = fmt.Sprintf("%.2f", t.Top1)
		}
		rows = append(rows, []string{t.Name, t.Data, top1, settingsText(t.Design), state})
	}
	return grid([]string{"network", "trained on", "published %", "rounding weight, λr, λc, T", "weights"}, rows)
}

// weightSources says where the published weights are, a line for each data set.
func weightSources() string {
	var lines strings.Builder
	said := map[string]bool{}
	for _, t := range arch.Registry() {
		if t.Page != "" && !said[t.Page] {
			said[t.Page] = true
			fmt.Fprintf(&lines, "  %s: %s\n", t.Data, t.Page)
		}
	}
	return lines.String()
}

// settingsText are the settings that depend on the architecture.
func settingsText(design string) string {
	c, err := pdq.Paper(design, 2, 2)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%g, %g, %g, %g", c.Rounding.Weight, 1/c.Loss.PD, 1/c.Correction.Weight, c.Loss.Temperature)
}

// setTable lists the data sets.
func setTable() string {
	var rows [][]string
	for _, s := range datasets.Sets() {
		state := "built in"
		if dir := dataFolder(s.Name); dir != "" {
			state = presence(dir)
		}
		rows = append(rows, []string{s.Name, fmt.Sprintf("%dx%dx%d", s.Channels, s.Size, s.Size), s.About, state})
	}
	return grid([]string{"data", "images", "what", "here"}, rows)
}

// setSources says how to get the data sets.
func setSources() string {
	var lines strings.Builder
	for _, s := range datasets.Sets() {
		fmt.Fprintf(&lines, "  %s: %s\n", s.Name, s.Get)
	}
	return lines.String()
}

// presence says whether something is at path.
func presence(path string) string {
	if _, err := os.Stat(path); err != nil {
		return "missing: " + filepath.Base(path)
	}
	return path
}
