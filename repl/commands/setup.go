package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// Headings of the groups of commands.
const (
	groupSetup    = "What is given and set"
	groupSteps    = "The steps, in the paper's order"
	groupInside   = "Looking inside"
	groupRuns     = "Runs"
	groupPrograms = "Whole programs"
)

func (e *engine) setupCommands() []command {
	return []command{
		{Name: "teacher", Group: groupSetup, Changes: true, Help: "load the network to quantise, and open its data set",
			Run: e.do(loadTeacher),
			More: "Networks that models lists come with weights, or say where to get them. Any architecture (resnet34, " +
				"mobilenetv2-1.4, ...) takes its weights from checkpoint= and its images from data=, which decide channels, " +
				"size and classes. An ONNX file is its own architecture and weights, and needs images from data= too. What the " +
				"steps made of another teacher is gone; settings stay.",
			Args: []shell.Argument{{Name: "teacher",
				Help: "network of the command models, as resnet8, an architecture, or an ONNX file", Need: true}},
			Options: append([]shell.Option{
				option("checkpoint", "", "weights in PyTorch's format or safetensors; empty: the network's own"),
				option("backend", "", "auto, go, onnx, xla, ...; empty: the one that is open, or auto")}, dataOptions()...)},
		{Name: "calib", Group: groupSetup, Changes: true, Help: "draw the images to calibrate on", Run: e.do(calibrate),
			More: "They are drawn from the teacher's data set, or from another one.",
			Args: []shell.Argument{{Name: "images", Help: "how many; default 256"}},
			Options: []shell.Option{option("seed", "1", "of the draw; the steps' own is the field Seed"),
				option("data", "", "name of a data set, or a folder or file in any known format; empty: the teacher's")}},
		{Name: "statistics", Group: groupSetup, Changes: true,
			Help: "measure what distribution correction goes towards, for networks without batch normalisation",
			Run:  e.do(measureStatistics),
			More: "Means and deviations of each convolution's output over images of the teacher's data set stand in for the " +
				"running ones. Labels aren't used. They are in the scale of the weights with batch normalisation folded. " +
				"What the steps made is gone; settings stay.",
			Args: []shell.Argument{{Name: "images", Help: "how many, drawn with seed 1; 0: the network's own again",
				Need: true}}},
		{Name: "bits", Group: groupSetup, Changes: true, Help: "set the widths, or print those of every tensor",
			Run: e.do(setBits),
			More: "Scales of other widths are gone. Where a preset has other settings for other widths, these are taken, " +
				"but for what was set otherwise.",
			Options: []shell.Option{option("w", "", "weights, 2 to 8"), option("a", "", "activations, 2 to 8"),
				option("first", "", "first layer's weights: 8, or low as the others"),
				option("last", "", "last layer's weights and input: 8, or low"),
				option("rule", "", "qdrop (first and last 8), brecq (first output too), all-low; in place of first and last")}},
		{Name: "preset", Group: groupSetup, Changes: true,
			Help: "take the settings of a preset; what was set otherwise stays", Run: e.do(setPreset),
			Args: []shell.Argument{{Name: "preset", Help: "glance (60 rounding steps a unit), quick (250), best (fine-tuning " +
				"after them), fast or paper (20,000)", Need: true}}},
		{Name: "set", Group: groupSetup, Changes: true, Free: true,
			Help: "set configuration fields: set Rounding.Steps=500 seed=2", Run: e.do(setFields),
			More: "Upper and lower case are the same, and a name may lack its beginning where that leaves one field: set " +
				"warmup 0.1. The value default is the preset's.",
			Args: []shell.Argument{{Name: "field", Help: "name of a field, or field=value for one or more"},
				{Name: "value", Help: "what to set it to; further fields and values may follow", Many: true}}},
		{Name: "show", Group: groupSetup, Help: "print configuration fields, defaults and meanings", Run: e.do(showFields),
			Args: []shell.Argument{{Name: "field", Help: "a field, or a part of names: show rounding; none: all"}}},
		{Name: "backend", Group: groupSetup, Changes: true, Help: "open another backend, or print which is open",
			Run:  e.do(openBackend),
			More: "What was computed on the one before is gone; teacher, images and settings stay.",
			Args: []shell.Argument{{Name: "backend", Help: "auto, go, onnx, xla, ..."}}},
	}
}

func loadTeacher(c *call) (session, error) {
	s, v := c.s, c.Values
	src, err := sourceOf(v)
	if err != nil {
		return s, err
	}
	src.Name = v["teacher"]
	t, err := newTeacher(src)
	if err != nil {
		return s, err
	}
	if s, err = c.opened(s, v["backend"], ""); err != nil {
		return s, err
	}
	if s.teacher != nil && s.teacher.Data != t.Data && s.images != nil && s.images.data == "" {
		s.images = nil
		c.Note("the calibration images were of %s; draw others: calib 256", c.s.teacher.Data)
	}
	s.teacher, s.logits = t, nil
	if s, err = s.withPreset(s.preset); err != nil {
		return c.s, err
	}
	s = s.restart()
	accuracy := t.Origin
	if top1 := t.Record["top1"]; top1 != "" {
		accuracy = top1
	}
	c.Print("%s: %d units, %s parameters; %s", t.Name, len(t.Network.Units),
		shell.Count(parameters(t.Network, 0, len(t.Network.Layers)-1)), accuracy)
	for _, note := range t.Notes {
		c.Note("%s", note)
	}
	c.Note("data %s", t.About)
	c.Note("backend %s", s.note)
	return s, nil
}

// measureStatistics is the command statistics.
func measureStatistics(c *call) (session, error) {
	s := c.s
	if s.teacher == nil {
		return s, errNoTeacher()
	}
	n, err := c.Values.Number("images", 0, 1<<24)
	if err != nil {
		return s, err
	}
	src := s.teacher.Source
	src.Statistics = n
	if s.teacher, err = newTeacher(src); err != nil {
		return c.s, err
	}
	if s, err = s.measured(c.Context); err != nil {
		return c.s, err
	}
	norms := 0
	for _, l := range s.teacher.Network.Layers {
		if _, ok := l.Op.(models.BatchNorm); ok {
			norms++
		}
	}
	if n > 0 {
		c.Print("statistics of %d convolutions over %d images of %s", norms, n, s.teacher.Data)
	} else {
		c.Print("%s again, with %d batch normalisations", s.teacher.Name, norms)
	}
	s.logits = nil
	return s.restart(), nil
}

// measured returns s with the statistics that the teacher's source asks for.
func (s session) measured(ctx context.Context) (session, error) {
	t := *s.teacher
	if t.Source.Statistics == 0 {
		return s, nil
	}
	var err error
	if t.Subject, err = t.Measured(ctx, s.backend, t.Source.Statistics); err != nil {
		return s, err
	}
	t.folded, _, err = models.Fold(t.Network, t.Weights)
	s.teacher = &t
	return s, err
}

// known is an error if nothing is known of a network of that name, or if only its weights aren't.
func known(name, checkpoint string) error {
	if _, err := arch.Find(name); err == nil || experiment.IsONNX(name) {
		return nil
	}
	if _, err := arch.Design(name, arch.SquareInput(3, 224, 1000)); err != nil {
		if info, err := os.Stat(name); err == nil && !info.IsDir() {
			return fmt.Errorf("repl: %s isn't an ONNX file; for a file of weights, give the architecture and checkpoint=%s",
				name, name)
		}
		return fmt.Errorf("repl: no network %q%s", name, shell.Suggestion(name, registryNames(), "models lists them"))
	}
	if checkpoint == "" {
		return fmt.Errorf("repl: %s comes without weights; give these and images: teacher %s checkpoint=FILE data=FOLDER",
			name, name)
	}
	return nil
}

func newTeacher(src experiment.Source) (*teacher, error) {
	t := &teacher{}
	err := known(src.Name, src.Checkpoint)
	if err != nil {
		return nil, err
	}
	if t.Subject, err = experiment.Open(src); err != nil {
		return nil, err
	}
	t.folded, _, err = models.Fold(t.Network, t.Weights)
	return t, err
}

// parameters counts the elements of the weights of layers first to last.
func parameters(n *models.Network, first, last int) int {
	sum := 0
	for _, l := range n.Layers[first : last+1] {
		for _, p := range l.Params() {
			size := 1
			for _, d := range p.Shape {
				size *= d
			}
			sum += size
		}
	}
	return sum
}

func calibrate(c *call) (session, error) {
	s, v := c.s, c.Values
	if v["images"] == "" {
		v["images"] = "256"
	}
	n, err := v.Number("images", 1, 1<<20)
	if err != nil {
		return s, err
	}
	seed, err := v.Number("seed", 0, 1<<31)
	if err != nil {
		return s, err
	}
	im := &images{data: v["data"]}
	pool, about, err := s.pool(im.data)
	if err != nil {
		return s, err
	}
	if im.calibration, err = pool.Calibrate(c.Context, n, uint64(seed)); err != nil {
		return s, err
	}
	if err := s.fits(im.calibration.Images); err != nil {
		return s, err
	}
	s.images, s.logits = im, nil
	if text := experiment.SkippedText(im.calibration.Skipped, "calibration images", n); text != "" {
		c.Note("%s", text)
	}
	c.Print("%d of the %d images of %s, seed %d", im.calibration.Len(), pool.Len(), about, seed)
	return s.restart(), nil
}

// pool returns images to calibrate on, and their name: the teacher's where data is empty.
func (s session) pool(data string) (datasets.Pool, string, error) {
	d, err := s.open(data)
	return d.Pool, d.Name, err
}

// open opens a data set, as images for the teacher; "": the teacher's own.
func (s session) open(data string) (datasets.Data, error) {
	var src experiment.Source
	images := datasets.ImageNetConfig()
	if t := s.teacher; t != nil {
		if data == "" {
			return datasets.Data{Name: t.Data, Pool: t.Pool, Test: t.Test}, nil
		}
		src, images = t.Source, t.Images
		src.Set, src.Labels, src.Lists = "", "", datasets.Lists{} // of the teacher's own images
	}
	if src.Data = data; data == "" {
		src.Data = "fashion-mnist"
	}
	return src.OpenData(images)
}

// fits is an error if images are of another shape than the teacher takes.
func (s session) fits(im datasets.Images) error {
	t := s.teacher
	if t == nil || im.Channels == t.Network.Channels && im.Height == t.Network.Height && im.Width == t.Network.Width {
		return nil
	}
	return fmt.Errorf("repl: the images are %dx%dx%d, but %s takes %dx%dx%d; give others with data=",
		im.Channels, im.Height, im.Width, t.Name, t.Network.Channels, t.Network.Height, t.Network.Width)
}

func setBits(c *call) (session, error) {
	s, v := c.s, c.Values
	b := s.config.Bits
	if err := errors.Join(v.Override("w", 2, 8, &b.W), v.Override("a", 2, 8, &b.A)); err != nil {
		return s, firstLine(err)
	}
	if err := setRule(v, &b); err != nil {
		return s, err
	}
	if b != s.config.Bits {
		var err error
		s.config.Bits = b
		if s, err = s.withPreset(s.preset); err != nil {
			return c.s, err
		}
		if len(s.student.Weights) > 0 {
			c.Show(shell.Text("The scales were of other widths and are gone; search them again: scales weights"))
		}
		s = s.restart()
	}
	c.Print("W%dA%d, rule %v", b.W, b.A, b.Rule)
	if s.teacher != nil && len(c.Words) == 0 {
		c.Show(planTable(s.plan(), s.teacher.folded))
	}
	return s, nil
}

// planTable lists the widths of what is quantised in n, and for outputs which layers multiply them.
func planTable(p pdq.Plan, n *models.Network) shell.Table {
	t := shell.Table{Columns: []string{"layer", "weight", "output", "for"}}
	for _, lb := range p {
		row := []any{lb.Layer, "", "", ""}
		if lb.Output > 0 {
			row[3] = strings.Join(pdq.Products(n, n.Index(lb.Layer)), " ")
		}
		for i, bits := range []int{lb.Weight, lb.Output} {
			if bits > 0 {
				row[i+1] = bits
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// setRule sets b's rule to that of options first, last and rule, if there are any.
func setRule(v shell.Values, b *pdq.Bits) error {
	if v["rule"] != "" {
		if v["first"]+v["last"] != "" {
			return errors.New("repl: rule= says what first= and last= do; give one or the other")
		}
		return b.Rule.UnmarshalText([]byte(v["rule"]))
	}
	high := func(key string) (bool, error) {
		switch v[key] {
		case "8":
			return true, nil
		case "", "low", fmt.Sprint(b.W):
			return v[key] == "" && b.Rule != pdq.AllLow, nil
		}
		return false, fmt.Errorf("repl: %s=%s; give 8, or low for the width of the others", key, v[key])
	}
	first, err := high("first")
	if err != nil {
		return err
	}
	last, err := high("last")
	switch {
	case err != nil:
		return err
	case v["first"]+v["last"] == "":
		return nil
	case first != last:
		return errors.New("repl: first and last layers have 8 bits both, or neither; give first=8 last=8, or first=low " +
			"last=low")
	case !first:
		b.Rule = pdq.AllLow
	case b.Rule == pdq.AllLow:
		b.Rule = pdq.QDrop
	}
	return nil
}

func setPreset(c *call) (session, error) {
	name := c.Values["preset"]
	s, err := c.s.withPreset(name)
	if err != nil {
		return c.s, err
	}
	r, d := s.config.Rounding, s.config.Correction
	c.Print("%s: %d rounding and %d correction steps per unit, batch %d", name, r.Steps, d.Steps, r.BatchSize)
	return s, nil
}

func openBackend(c *call) (session, error) {
	s, name := c.s, c.Values["backend"]
	if name == "" {
		if s.backend == nil {
			c.Show(shell.Text("none is open yet; teacher opens one"))
			return s, nil
		}
		c.Show(shell.Text(s.note))
		return s, nil
	}
	s, err := c.opened(s, name, "")
	if err != nil {
		return c.s, err
	}
	if t := s.teacher; t != nil { // its weights are bound to the backend before
		if s.teacher, err = newTeacher(t.Source); err != nil {
			return c.s, err
		}
		if s, err = s.measured(c.Context); err != nil {
			return c.s, err
		}
	}
	s.logits = nil
	c.Show(shell.Text(s.note))
	return s.restart(), nil
}

// firstLine is the first of joined errors.
func firstLine(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) > 0 {
		return j.Unwrap()[0]
	}
	return err
}
