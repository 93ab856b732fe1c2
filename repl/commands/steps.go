package commands

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) stepCommands() []command {
	unit := shell.Argument{Name: "unit", Help: "name of a unit, or its number", Need: true}
	return []command{
		{Name: "logits", Group: groupSteps, Changes: true, Help: "compute the teacher's logits of the calibration images",
			Run: e.do(logits)},
		{Name: "scales", Group: groupSteps, Changes: true, Help: "search scales: of all weights, or of a unit's activations",
			Run: e.do(scales),
			More: "scales weights begins anew: what the steps after it made is gone. The metric holds for this search; that " +
				"of run is the field Scales.Metric. mse is lp with power 2.",
			Args: []shell.Argument{{Name: "what", Help: "weights or acts", Need: true},
				{Name: "unit", Help: "of acts: name of a unit, or its number"}},
			Options: []shell.Option{
				option("metric", "", "of acts: mse, lp (power of Scales.Power), cosine or pd; empty: Scales.Metric")}},
		{Name: "dc", Group: groupSteps, Changes: true,
			Help: "correct a unit's calibration input towards the statistics of batch normalisation", Run: e.do(correct),
			Args: []shell.Argument{unit}, Options: []shell.Option{option("steps", "", "0 to 100000; empty: Correction.Steps")}},
		{Name: "round", Group: groupSteps, Changes: true,
			Help: "optimise a unit's rounding and activation scales, from where step left it", Run: e.do(round),
			Args: []shell.Argument{unit}, Options: []shell.Option{option("steps", "", "in all, 0 (to nearest) to 1000000; "+
				"empty: Rounding.Steps")}},
		{Name: "step", Group: groupSteps, Changes: true, Help: "go on n steps of a unit's rounding, and print the losses",
			Run: e.do(step),
			More: "step UNIT until loss<2 n=500 ends as soon as the loss is below 2, or after 500 steps. An empty line " +
				"repeats the command at the prompt.",
			Args: []shell.Argument{{Name: "unit",
				Help: "name of a unit, or its number; none: the one being rounded, or the next"},
				{Name: "condition", Many: true,
					Help: "until, and a part of the loss with its bound: until PD<0.1; the parts are loss, reconstruction, PD, " +
						"rounding"}},
			Options: []shell.Option{
				option("n", "", "steps, 1 to 1000000; empty: 10, or at most 1000 with until")}},
		{Name: "run", Group: groupSteps, Changes: true, Help: "take all steps of units, by default of all that are left",
			Run:  e.do(runUnits),
			More: "Logits and weight scales are computed if they are missing. Ctrl-C keeps the steps that were finished.",
			Args: []shell.Argument{{Name: "units", Help: "names of units, in order", Many: true}}},
		{Name: "finetune", Group: groupSteps, Changes: true,
			Help: "train all levels, scales and biases together, once all units are rounded", Run: e.do(fineTune),
			More: "This isn't in the paper. The loss is the prediction difference, of calibration images that are changed " +
				"and mixed at random; the fields of FineTune say how, and whether biases are trained and features kept as well. " +
				"Ctrl-C gives it up.",
			Options: []shell.Option{option("steps", "", "how many; empty: the field FineTune.Steps")}},
		{Name: "eval", Group: groupSteps, Help: "test the student and the teacher on images they never saw",
			Run: e.do(evaluate),
			More: "What isn't quantised yet is in full precision. Differences are paired, image by image; ± is one " +
				"standard error. model=FILE.onnx takes any classifier that ONNX Runtime runs, and images normalised as the " +
				"teacher's; without a teacher or calibration images it is tested alone.",
			Args: []shell.Argument{{Name: "n", Help: "test images, in equal distances; default 1000"}},
			Options: []shell.Option{option("data", "",
				"name of a data set, or a folder or file in any known format; empty: the teacher's"),
				option("student", "", "one that has a name; empty: the one at work"),
				option("model", "", "an ONNX file, which is tested too, in ONNX Runtime"),
				option("output", "", "of model=: the logits among several outputs; empty: the only one")}},
	}
}

func logits(c *call) (session, error) {
	s := c.s
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	if s.logits, err = q.Teacher(c.Context); err != nil {
		return c.s, err
	}
	c.all = append(c.all, s.logits)
	s.data, s.rounding = nil, nil
	images, n := s.images.calibration.Images, s.teacher.Network
	if !images.Labelled() {
		c.Print("logits of %d images, %d classes", images.Len(), n.Classes)
		return s, nil
	}
	score, err := s.logits.Score(images.Labels)
	if err != nil {
		return c.s, err
	}
	acc, _ := score.Accuracy()
	c.Print("logits of %d images, %d classes; right on %.1f %%", images.Len(), n.Classes, 100*acc)
	if score.AtChance(n.Classes) {
		c.Note("warning: %s", experiment.GuessWarning(s.teacher.Name, n.Classes, score, "calibration images"))
	}
	return s, nil
}

func scales(c *call) (session, error) {
	switch c.Values["what"] {
	case "weights":
		if c.Values["unit"]+c.Values["metric"] != "" {
			return c.s, errors.New("repl: scales weights takes all layers, and minimises lp; its form is: scales weights")
		}
		return weightScales(c)
	case "acts":
		if c.Values["unit"] == "" {
			return c.s, errors.New("repl: of which unit? scales acts UNIT; units lists them")
		}
		return actScales(c)
	}
	return c.s, fmt.Errorf("repl: scales of %q? give weights or acts", c.Values["what"])
}

func weightScales(c *call) (session, error) {
	s := c.s
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	student, err := q.WeightScales(c.Context, pdq.Student{})
	if err != nil {
		return s, err
	}
	s = s.restart()
	s.student = student
	c.Print("scales of %d weights", len(student.Weights))
	return s, nil
}

func actScales(c *call) (session, error) {
	s, config := c.s, c.s.config
	if err := setMetric(c.Values["metric"], &config.Scales); err != nil {
		return s, err
	}
	s, u, err := c.observed(s, c.Values["unit"])
	if err != nil {
		return c.s, err
	}
	return c.actScales(s, u, config)
}

// setMetric sets the metric called name, if there is a name.
func setMetric(name string, c *pdq.ScaleConfig) error {
	switch name {
	case "":
	case "mse":
		c.Metric, c.Power = pdq.LpNorm, 2
	default:
		if c.Metric.UnmarshalText([]byte(name)) != nil {
			return fmt.Errorf("repl: metric=%s; choose mse, lp, cosine or pd", name)
		}
	}
	return nil
}

// actScales searches unit u's activation scales on s's data.
func (c *call) actScales(s session, u int, config pdq.Config) (session, error) {
	q, err := c.quantizer(s, config)
	if err != nil {
		return s, err
	}
	student, err := q.ActivationScales(c.Context, s.unrounded(u), s.data)
	if err != nil {
		return s, err
	}
	s.student, s.rounding, s.score = student, nil, nil
	s = s.with(u, func(st *unitState) { st.finished, st.rounded = false, 0 })
	metric := config.Scales.Metric.String()
	if config.Scales.Metric == pdq.LpNorm {
		metric += fmt.Sprintf(", power %g", config.Scales.Power)
	}
	c.Print("%s: activation scales by %s", s.unitName(u), metric)
	return s, nil
}

// observed returns s with the data of the unit called name, and its index. The errors say what to
// do first.
func (c *call) observed(s session, name string) (session, int, error) {
	u, err := s.unit(name)
	if err != nil {
		return s, 0, err
	}
	s, err = c.observe(s, u)
	return s, u, err
}

func (c *call) observe(s session, u int) (session, error) {
	q, err := c.quantizer(s, s.config)
	if err != nil {
		return s, err
	}
	switch {
	case s.logits == nil:
		return s, errors.New("repl: no teacher logits yet; compute them: logits")
	case len(s.student.Weights) == 0:
		return s, errors.New("repl: no weight scales yet; search them: scales weights")
	}
	for k := range u {
		if !s.scaled(k) {
			return s, fmt.Errorf("repl: %s comes before %s and has no activation scales yet; first: run %s", s.unitName(k),
				s.unitName(u), s.unitName(k))
		}
	}
	if s.data != nil && s.data.Unit == u {
		return s, nil
	}
	prev := s.data
	if prev != nil && prev.Unit >= u {
		prev = nil
	}
	data, err := q.Observe(c.Context, s.student, s.logits, u, prev)
	if err != nil {
		return s, err
	}
	s.data, s.rounding = c.keep(data), nil
	return s.with(u, func(st *unitState) { st.corrected = false }), nil
}

func correct(c *call) (session, error) {
	s, config := c.s, c.s.config
	if err := c.Values.Override("steps", 0, 100000, &config.Correction.Steps); err != nil {
		return s, err
	}
	s, u, err := c.observed(s, c.Values["unit"])
	if err != nil {
		return c.s, err
	}
	return c.correct(s, u, config)
}

// correct corrects unit u's data, from the teacher's input to it.
func (c *call) correct(s session, u int, config pdq.Config) (session, error) {
	q, err := c.quantizer(s, config)
	if err != nil {
		return s, err
	}
	c.takeLosses()
	data, err := q.Correct(c.Context, s.data)
	if err != nil {
		return s, err
	}
	trace := c.takeLosses()
	if data.CorrectedIn == data.TeacherIn {
		c.Print("%s: nothing to correct: no batch normalisation, or no steps", s.unitName(u))
		return s, nil
	}
	s.data, s.rounding = c.keep(data), nil
	norms, err := look.Norms(c.Context, q, data, normImages)
	if err != nil {
		return s, err
	}
	before, after := distances(norms)
	c.Print("%s: distance to the running statistics %.4g before, %.4g after, on %d images", s.unitName(u), before, after,
		s.normed())
	return s.with(u, func(st *unitState) {
		st.corrected, st.correction, st.trace, st.norms = true, config.Correction, trace, norms
	}), nil
}

func round(c *call) (session, error) {
	s, config := c.s, c.s.config
	if err := c.Values.Override("steps", 0, 1000000, &config.Rounding.Steps); err != nil {
		return s, err
	}
	s, u, err := c.observed(s, c.Values["unit"])
	if err != nil {
		return c.s, err
	}
	return c.round(s, u, config)
}

// keptSteps is how many steps pass at least from one saving of a rounding under way to the next.
const keptSteps = 20

// round takes the steps of config that unit u's rounding hasn't taken yet; a finished one begins
// anew.
func (c *call) round(s session, u int, config pdq.Config) (session, error) {
	if !s.scaled(u) {
		return s, fmt.Errorf("repl: %s has no activation scales yet; search them: scales acts %s", s.unitName(u),
			s.unitName(u))
	}
	if config.Rounding.Steps == 0 {
		return c.roundToNearest(s, u, config)
	}
	switch {
	case !s.units[u].finished && (s.rounding != nil || s.units[u].rounded == 0):
	case s.rounding != nil:
		s.student, s.rounding = s.rounding.start.student, nil
	default: // the scales it began with are gone
		var err error
		if s, err = c.actScales(s, u, config); err != nil {
			return s, err
		}
	}
	done := 0
	if s.rounding != nil {
		done = s.rounding.state.Done
	}
	if done >= config.Rounding.Steps {
		c.Print("%s: %d steps were taken already", s.unitName(u), done)
		return s.with(u, func(st *unitState) { st.finished = true }), nil
	}
	var last pdq.Loss
	var err error
	for left := config.Rounding.Steps - done; left > 0; {
		some := left
		if c.Keeps() {
			some = min(left, keptSteps)
		}
		if s, last, err = c.advance(s, u, config, some); err != nil {
			return s, err
		}
		left -= some
		c.Keep(s)
	}
	s = s.with(u, func(st *unitState) { st.finished = true })
	c.Print("%s: %d steps, %s", s.unitName(u), s.units[u].rounded, lossLine(last))
	return s, nil
}

// roundToNearest gives unit u the rounding and the activation scales that it had before any step.
func (c *call) roundToNearest(s session, u int, config pdq.Config) (session, error) {
	switch {
	case s.rounding != nil:
		s.student, s.rounding, s.score = s.rounding.start.student, nil, nil
	case s.units[u].rounded > 0: // the scales it began with are gone
		var err error
		if s, err = c.actScales(s, u, config); err != nil {
			return s, err
		}
	}
	s = s.with(u, func(st *unitState) { st.finished, st.rounded = true, 0 })
	c.Print("%s: rounded to nearest", s.unitName(u))
	return s, nil
}

func lossLine(l pdq.Loss) string {
	return fmt.Sprintf("loss %.4g = reconstruction %.4g + PD %.4g + rounding %.4g", l.Total(), l.Reconstruction, l.PD,
		l.Round)
}

// advance takes n steps of unit u's rounding, from s.rounding or the scales. An interrupted one
// returns the session after the last step with the error.
func (c *call) advance(s session, u int, config pdq.Config, n int) (session, pdq.Loss, error) {
	r, s, err := c.rounder(s, config)
	if err != nil {
		return s, pdq.Loss{}, err
	}
	c.takeLosses()
	last, failed := r.Steps(c.Context, n)
	if failed != nil && c.Context.Err() == nil {
		c.dropRounder()
		return s, last, failed
	}
	state, err := r.State()
	if err != nil {
		return s, last, err
	}
	c.at = state.Done
	student, err := r.Student()
	if err != nil {
		return s, last, err
	}
	s.student, s.score = student, nil
	s.rounding = &rounding{s.rounding.start, state}
	trace := c.takeLosses()
	s = s.with(u, func(st *unitState) {
		st.rounded = state.Done
		st.trace = append(slices.DeleteFunc(slices.Clone(st.trace),
			func(l loss) bool { return l.step == pdq.StepRound && len(trace) > 0 && l.at >= trace[0].at }), trace...)
	})
	return s, last, failed
}

// rounder returns the optimisation at s.rounding, or a new one of s.data, which s.rounding then
// has. The one used last is kept.
func (c *call) rounder(s session, config pdq.Config) (*pdq.Rounder, session, error) {
	switch {
	case s.rounding == nil:
		s.rounding = &rounding{start: &roundingStart{s.student, s.data, config}}
	case s.rounding.start.config != config:
		start := *s.rounding.start
		start.config = config
		s.rounding = &rounding{&start, s.rounding.state}
	}
	start, state := s.rounding.start, s.rounding.state
	if c.live == nil || c.begun != start {
		c.dropRounder()
		q, err := c.quantizer(s, config)
		if err != nil {
			return nil, s, err
		}
		if c.live, err = q.NewRounder(start.student, start.data); err != nil {
			c.live = nil
			return nil, s, err
		}
		c.begun, c.at = start, 0
	}
	if c.at == state.Done {
		return c.live, s, nil
	}
	if state.Values == nil { // back to the start
		c.dropRounder()
		return c.rounder(s, config)
	}
	c.at = state.Done
	return c.live, s, c.live.Restore(state)
}

func step(c *call) (session, error) {
	s := c.s
	name, end, err := stepWords(c.Values)
	if err != nil {
		return s, err
	}
	n, some := 10, 1
	if end.of != nil {
		n = 1000
	}
	if err := c.Values.Override("n", 1, 1000000, &n); err != nil {
		return s, err
	}
	if end.of == nil {
		some = max(n/10, 1)
	}
	if name == "" {
		if name, err = s.current(); err != nil {
			return s, err
		}
	}
	s, u, err := c.observed(s, name)
	if _, numeric := strconv.Atoi(name); err != nil && numeric == nil {
		return c.s, fmt.Errorf("%w; to take %s steps: step n=%s", err, name, name)
	}
	if err != nil {
		return c.s, err
	}
	switch {
	case !s.scaled(u):
		return c.s, fmt.Errorf("repl: %s has no activation scales yet; search them: scales acts %s", name, s.unitName(u))
	case s.config.Rounding.Steps == 0:
		return c.s, errors.New("repl: Rounding.Steps is 0: to nearest; set it first: set Rounding.Steps=500")
	}
	table := shell.Table{Columns: []string{"step", "loss", "reconstruction", "PD", "rounding"}}
	for left := n; left > 0; {
		some = min(left, some)
		var l pdq.Loss
		if s, l, err = c.advance(s, u, s.config, some); err != nil {
			break
		}
		left -= some
		c.Keep(s)
		table.Rows = append(table.Rows, loss{pdq.StepRound, s.rounding.state.Done, l}.row())
		if end.holds(l) {
			break
		}
	}
	if table.Rows = thinned(table.Rows, 11); table.Rows != nil {
		c.Show(table)
	}
	if err != nil {
		return s, err
	}
	over := s.rounding.state.Done >= s.config.Rounding.Steps
	return s.with(u, func(st *unitState) { st.finished = over }), nil
}

// underWay names the unit whose rounding has begun and isn't finished, and its steps so far; 0: there is none.
func (s session) underWay() (unit string, steps int) {
	if s.rounding == nil || s.units[s.rounding.start.data.Unit].finished {
		return "", 0
	}
	return s.unitName(s.rounding.start.data.Unit), s.rounding.state.Done
}

// current names the unit being rounded, or the first that isn't finished.
func (s session) current() (string, error) {
	if s.teacher == nil {
		return "", errNoTeacher()
	}
	if s.rounding != nil {
		return s.unitName(s.rounding.start.data.Unit), nil
	}
	for u, st := range s.units {
		if !st.finished {
			return s.unitName(u), nil
		}
	}
	return "", errors.New("repl: all units are rounded; name one to step again, or eval")
}

func runUnits(c *call) (session, error) {
	s := c.s
	units, err := s.unitsToRun(strings.Fields(c.Values["units"]))
	if err != nil {
		return s, err
	}
	for _, begin := range []struct {
		missing bool
		step    func(*call) (session, error)
	}{{s.logits == nil, logits}, {len(s.student.Weights) == 0, weightScales}} {
		if begin.missing {
			c.s = s
			if s, err = begin.step(c); err != nil {
				return s, err
			}
		}
	}
	for _, u := range units {
		if s, err = c.runUnit(s, u); err != nil {
			return s, err
		}
		c.Keep(s)
	}
	return s, nil
}

// unitsToRun are those called names, or all that aren't finished.
func (s session) unitsToRun(names []string) ([]int, error) {
	if s.teacher == nil {
		return nil, errNoTeacher()
	}
	var units []int
	for _, name := range names {
		u, err := s.unit(name)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	if len(names) > 0 {
		return units, nil
	}
	for u, st := range s.units {
		if !st.finished {
			units = append(units, u)
		}
	}
	if units == nil {
		return nil, errors.New("repl: all units are rounded; name those to take again, or: scales weights")
	}
	return units, nil
}

// runUnit takes the steps of unit u that it lacks. After an error it returns the session as the
// last step left it.
func (c *call) runUnit(s session, u int) (session, error) {
	next, err := c.observe(s, u)
	if err != nil {
		return s, err
	}
	s = next
	if !s.units[u].corrected && s.config.Correction.Steps > 0 {
		if s, err = c.correct(s, u, s.config); err != nil {
			return s, err
		}
		c.Keep(s)
	}
	if !s.scaled(u) || s.units[u].finished {
		if s, err = c.actScales(s, u, s.config); err != nil {
			return s, err
		}
	}
	return c.round(s, u, s.config)
}
