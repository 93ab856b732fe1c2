package commands

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) quantiseCommand() command {
	return command{
		Name: "quantise", Group: groupPrograms,
		Help: "quantise a network from its checkpoint and data, as resnet18 for ImageNet",
		More: "The command models lists the names, where each checkpoint and data set is looked for, and how to get what " +
			"is missing. Any architecture takes checkpoint= and data=. Settings are the preset's for the architecture. " +
			goesOn,
		Args: []shell.Argument{{Name: "network", Help: "resnet18, mobilenetv2-1.0, resnet20-cifar10, ... of models, or an " +
			"architecture", Need: true}},
		Options: slices.Concat(widthOptions(), []shell.Option{
			option("checkpoint", "", "weights in PyTorch's format or safetensors; empty: "+checkpointDir+
				"/ and the published file's name"),
		}, dataOptions(), []shell.Option{
			option("images", "1024", "calibration images"),
			option("seed", "1", "of the calibration draw and the optimisation"),
			presetOption("paper", "glance", "quick", "best", "fast", "paper"),
		}, stepsOptions(), []shell.Option{
			option("methods", "", "what to compare, as in grid; empty: nearest; mse; pd-quant, or best with preset=best"),
			option("test", "0", "test images, in equal distances; 0: all"),
			anywayOption(),
			backendOption(), memoryOption(), keepOption(), anewOption(),
			option("out", "", "run folder; empty: runs/NETWORK-wWaA-sSEED"),
			option("export", "", "ONNX file to write the last method's student to, and to check in ONNX Runtime; empty: none"),
			formOption(),
		}),
		Run: e.alone(quantise),
	}
}

func quantise(c *call) error {
	file, err := exportTarget(c.Values)
	if err != nil {
		return err
	}
	g, err := newQuantisation(c.Values)
	if err != nil {
		return err
	}
	s, w := g.Subjects[0], g.Bits[0]
	f, err := c.gridFolder(&g, fmt.Sprintf("runs/%s-w%da%d-s%d", s.Name, w.W, w.A, g.Seeds[0]))
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
	if err := c.report(f, titleOf(g), results, "MSE only", published); err != nil || file.path == "" {
		return err
	}
	cells := g.Cells()
	q, student, err := g.Student(c.Context, f, cells[len(cells)-1])
	if err != nil {
		return err
	}
	file.teacher = s.File
	return c.export(q, student, file)
}

// exportTarget reads the options export and form. Without export, the path is empty.
func exportTarget(v shell.Values) (t target, err error) {
	t = target{path: v["export"], images: 128}
	if err := t.options.Form.UnmarshalText([]byte(v["form"])); err != nil || t.path == "" {
		return t, err
	}
	if err := keepsTeacher(t.path, experiment.Source{Name: v["network"], Checkpoint: v["checkpoint"]}); err != nil {
		return t, err
	}
	return t, t.check()
}

// newQuantisation reads and checks the options. What takes long comes last.
func newQuantisation(v shell.Values) (g experiment.Grid, err error) {
	src, err := sourceOf(v)
	if err != nil {
		return g, err
	}
	src.Name = v["network"]
	if err := known(src.Name, src.Checkpoint); err != nil {
		return g, err
	}
	if err := readGrid(v, &src, &g); err != nil {
		return g, err
	}
	if err := readSteps(v, &g); err != nil {
		return g, err
	}
	if v["methods"] == "" {
		g.Methods, err = usualMethods(g)
	} else {
		g.Methods, err = experiment.ParseMethods(v["methods"])
	}
	if err != nil {
		return g, err
	}
	s, err := openSubject(src)
	if err != nil {
		return g, err
	}
	g.Subjects = []experiment.Subject{s}
	return g, nil
}

// openSubject opens a network of the registry with the data set that it was trained on or, where that isn't what
// data= has, with what is there.
func openSubject(src experiment.Source) (experiment.Subject, error) {
	trained, err := arch.Find(src.Name)
	if err != nil || src.Lists != (datasets.Lists{}) { // no published set has lists
		return experiment.Open(src)
	}
	own := src
	own.Set = trained.Data
	s, err := experiment.Open(own)
	if err != nil && src.Data != "" {
		other, failed := experiment.Open(src)
		if failed == nil {
			return other, nil
		}
		if info, wrong := os.Stat(src.Data); wrong != nil || !info.IsDir() {
			return s, failed // the set that it was trained on is a folder
		}
	}
	return s, err
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
