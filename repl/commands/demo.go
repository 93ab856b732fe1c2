package commands

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) demoCommand() command {
	return command{
		Name: "demo", Group: groupPrograms, Help: "quantise a shipped teacher by nearest rounding, MSE only, PD-Quant and best, and compare them",
		Options: []shell.Option{
			option("teacher", "mobilenetv2", "trained network: "+strings.Join(arch.TeacherNames(), ", ")),
			option("w", "2", "bits of weights, 2 to 8"),
			option("a", "2", "bits of activations, 2 to 8"),
			option("images", "128", "calibration images, 1 to 2048"),
			option("seed", "1", "of the calibration draw and the optimisation"),
			option("preset", "glance", "glance: for a first look in minutes; quick: for a better one; best: what gave the best accuracy, fine-tuning after the units; fast: the paper with a correction that stops; paper: the reference's steps, which take hours"),
			option("steps", "", "rounding steps per unit, 0 to 1000000; empty: the preset's"),
			option("dc", "", "correction steps per unit, 0 to 100000; empty: the preset's"),
			option("finetune", "", "steps of fine-tuning for best, which follow the units of MSE only, 0 to 100000; empty: 150 with glance, else 1500; 0: leave best out"),
			option("test", "5000", "test images, 1 to 10000"),
			option("backend", "auto", "auto, go, onnx, xla, ..."),
			memoryOption(),
			keepOption(),
			anewOption(),
			option("out", "", "run folder: an unfinished run of the same settings goes on, a finished one is replaced; empty: runs/demo-TEACHER-wWaA-sSEED"),
		},
		Run: e.alone(writing(demo)),
	}
}

func demo(ctx context.Context, v shell.Values, stdout, stderr io.Writer) error {
	j, err := newDemo(v)
	if err != nil {
		return err
	}
	return j.do(ctx, "go run ./repl "+v["line"], stdout, stderr)
}

// newDemo reads and checks the options. What doesn't need the backend is checked first.
func newDemo(v shell.Values) (*job, error) {
	j := &job{preset: v["preset"]}
	var w, a, images, seed, tests int
	for _, o := range []struct {
		key    string
		lo, hi int
		to     *int
	}{{"w", 2, 8, &w}, {"a", 2, 8, &a}, {"images", 1, datasets.FashionMNISTPoolSize, &images}, {"seed", 0, 1 << 31, &seed}, {"test", 1, 10000, &tests}} {
		n, err := v.Number(o.key, o.lo, o.hi)
		if err != nil {
			return nil, err
		}
		*o.to = n
	}
	teacher, err := arch.LoadTeacher(v["teacher"])
	if err != nil {
		return nil, err
	}
	j.network, j.weights, j.trained = teacher.Network, teacher.Weights, "trained on Fashion-MNIST by: "+teacher.Record["command"]
	if err := j.configure(v, w, a, seed); err != nil {
		return nil, err
	}
	tuning := bestSteps(v["preset"])
	if err := v.Override("finetune", 0, 100000, &tuning); err != nil {
		return nil, err
	}
	j.methods = withBest(j.config, tuning)
	j.table = "For mobilenetv2 at W2A2, testdata/demo.tsv has these settings by seed, testdata/pd.tsv and best.tsv three seeds of 100 steps."
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		return nil, err
	}
	if j.calibration, err = datasets.Calibrate(pool, images, uint64(seed)); err != nil {
		return nil, err
	}
	test, err := datasets.FashionMNISTTest()
	if err != nil {
		return nil, err
	}
	j.test = test.Slice(0, tests)
	return j, j.open(v, fmt.Sprintf("runs/demo-%s-w%da%d-s%d", v["teacher"], w, a, seed))
}

// bestSteps returns how many steps of fine-tuning best takes with a preset, unless an option says otherwise.
func bestSteps(preset string) int {
	if preset == "glance" {
		return 150
	}
	return 1500
}

// withBest returns the methods that demo compares: those of c, and best, which goes on from the units of MSE only with
// steps of fine-tuning. If c fine-tunes itself, that takes the steps.
func withBest(c pdq.Config, steps int) []experiment.Fixed {
	if c.FineTune.Steps > 0 {
		c.FineTune.Steps = steps
		return methodsOf(c)
	}
	methods := methodsOf(c)
	if steps == 0 {
		return methods
	}
	best := c.MSEOnly()
	best.FineTune.Steps = steps
	return append(methods, experiment.Fixed{Name: "best", Config: best})
}
