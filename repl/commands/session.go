package commands

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/look"
	"github.com/pdquant/pdquant/repl/shell"
)

// session is the shell's state as a value: commands take one and return another, and undo keeps
// the one before. What it points to is never changed.
type session struct {
	backend compute.Backend // nil until something computes
	note    string          // on the backend
	teacher *teacher        // nil until loaded
	images  *images         // nil until drawn

	preset       string
	base, config pdq.Config // the preset's settings, and those in force

	logits   *pdq.Teacher
	student  pdq.Student
	units    []unitState   // of the teacher's units
	data     *pdq.UnitData // of the unit looked at last; nil: must be observed
	rounding *rounding     // of data's unit, begun or finished; nil: not begun
	score    *score        // of the student, on test images; nil: not evaluated
	names    []named       // students that are kept
}

// teacher is a loaded network with its data.
type teacher struct {
	experiment.Subject
	folded *models.Network // batch normalisation folded: what is quantised
}

// images are those to calibrate on.
type images struct {
	data        string // data set: a name or path; "": the teacher's
	calibration datasets.Calibration
}

// unitState says how far a unit has come.
type unitState struct {
	corrected  bool
	correction pdq.CorrectionConfig // that it was corrected with
	rounded    int                  // steps taken
	finished   bool                 // rounding is final
	trace      []loss               // of correction, then of rounding
	norms      []look.NormView      // after correction, on the first normImages
}

// normImages is how many images bn looks at, and correction keeps the statistics of.
const normImages = 128

// distances sums the distances to the running statistics, before correction and after.
func distances(norms []look.NormView) (before, after float64) {
	for _, v := range norms {
		before, after = before+v.Before.Distance, after+v.After.Distance
	}
	return before, after
}

// normed is how many there are of them.
func (s session) normed() int {
	n := s.images.calibration.Len()
	if s.config.Mirror {
		n *= 2
	}
	return min(normImages, n)
}

// loss is one step's.
type loss struct {
	step pdq.Step
	at   int // steps taken
	pdq.Loss
}

// rounding is the optimisation of a unit, at some step.
type rounding struct {
	start *roundingStart // the same for all steps of one optimisation
	state pdq.OptimiserState
}

// roundingStart is what an optimisation was begun from.
type roundingStart struct {
	student pdq.Student
	data    *pdq.UnitData
	config  pdq.Config
}

// score is what eval found.
type score struct {
	data             string // data set: a name or path; "": the teacher's
	images           datasets.Stream
	student, teacher pdq.Score
}

// newSession has the quick preset of a ResNet at W2A2.
func newSession() (session, error) {
	c, err := preset("quick", "resnet", pdq.Bits{W: 2, A: 2, Rule: pdq.QDrop})
	return session{preset: "quick", base: c, config: c}, err
}

// preset returns the settings called name for an architecture, with seed 1.
func preset(name, arch string, bits pdq.Bits) (pdq.Config, error) {
	c, err := pdq.Preset(name, arch, bits.W, bits.A)
	c.Bits, c.Seed = bits, 1
	return c, err
}

// arch is the architecture that presets are for.
func (s session) arch() string {
	if s.teacher == nil {
		return "resnet"
	}
	return s.teacher.Architecture()
}

// withPreset takes the preset called name, for the network and the bits in force, and keeps the fields that were set
// otherwise. The default of the bits themselves stays.
func (s session) withPreset(name string) (session, error) {
	base, err := s.defaults(name)
	if err != nil {
		return s, err
	}
	s.preset = name
	return s.rebase(base)
}

// defaults are the settings of the preset called name, for the network and the bits in force.
func (s session) defaults(name string) (pdq.Config, error) {
	base, err := preset(name, s.arch(), s.config.Bits)
	base.Bits, base.Machine = s.base.Bits, s.base.Machine
	return base, err
}

// rebase takes base in place of s's preset, and keeps the fields that were set otherwise.
func (s session) rebase(base pdq.Config) (session, error) {
	fields, err := pdq.Fields()
	if err != nil {
		return s, err
	}
	config := base
	for _, f := range fields {
		now, err := s.config.Get(f.Name)
		if err != nil {
			return s, err
		}
		if was, _ := s.base.Get(f.Name); was == now {
			continue
		}
		if config, err = config.Set(f.Name, now); err != nil {
			return s, err
		}
	}
	s.base, s.config = base, config
	return s, nil
}

// restart drops all that steps have made.
func (s session) restart() session {
	s.student, s.data, s.rounding, s.score, s.units = pdq.Student{}, nil, nil, nil, nil
	if s.teacher != nil {
		s.units = make([]unitState, len(s.teacher.Network.Units))
	}
	return s
}

// with returns s with unit u's state changed.
func (s session) with(u int, change func(*unitState)) session {
	s.units = slices.Clone(s.units)
	change(&s.units[u])
	s.units[u].trace = slices.Clip(s.units[u].trace)
	return s
}

// unitName is the name of unit u.
func (s session) unitName(u int) string { return s.teacher.Network.Units[u].Name }

// unit returns the index of the unit called name, or of that number.
func (s session) unit(name string) (int, error) {
	if s.teacher == nil {
		return 0, errNoTeacher()
	}
	var names []string
	for i, u := range s.teacher.Network.Units {
		if u.Name == name {
			return i, nil
		}
		names = append(names, u.Name)
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(names) {
		return i, nil
	}
	return 0, fmt.Errorf("repl: %s has no unit %q%s", s.teacher.Name, name,
		shell.Suggestion(name, names, "units lists them"))
}

func errNoTeacher() error { return errors.New("repl: no teacher yet; load one: teacher resnet20") }

// plan returns the widths of the teacher's layers. Exceptions that don't fit the teacher are left out: the next step
// reports them.
func (s session) plan() pdq.Plan {
	plan, err := s.config.Bits.Plan(s.teacher.folded)
	if err != nil {
		bits := s.config.Bits
		bits.Except = ""
		plan, _ = bits.Plan(s.teacher.folded) // a rule fits every network
	}
	return plan
}

// bits are the widths of the teacher's layers, by name; those of layers that stay in full precision
// are 0.
func (s session) bits() map[string]pdq.LayerBits {
	m := map[string]pdq.LayerBits{}
	for _, lb := range s.plan() {
		m[lb.Layer] = lb
	}
	return m
}

// layer returns the layer called name of the folded network. With quantised, it must have a
// quantiser to be.
func (s session) layer(name string, quantised bool) (models.Layer, error) {
	if s.teacher == nil {
		return models.Layer{}, errNoTeacher()
	}
	n, bits := s.teacher.folded, s.bits()
	i := n.Index(name)
	if _, ok := bits[name]; i >= 0 && (ok || !quantised) {
		return n.Layers[i], nil
	}
	if i >= 0 {
		return models.Layer{}, fmt.Errorf("repl: nothing of %s (%v) is quantised; layers lists what is", name,
			n.Layers[i].Op.Kind())
	}
	return models.Layer{}, fmt.Errorf("repl: %s has no layer %q%s", s.teacher.Name, name,
		shell.Suggestion(name, slices.Sorted(maps.Keys(bits)), "layers lists them"))
}

// scaled says whether all activations of unit u have scales.
func (s session) scaled(u int) bool {
	unit, bits := s.teacher.folded.Units[u], s.bits()
	for _, l := range s.teacher.folded.Layers[unit.First : unit.Last+1] {
		if _, ok := s.student.Acts[l.Name]; !ok && bits[l.Name].Output > 0 {
			return false
		}
	}
	return true
}

// unrounded is the student with the weights of unit u to nearest, as before its rounding.
func (s session) unrounded(u int) pdq.Student {
	student := pdq.Student{Weights: maps.Clone(s.student.Weights), Acts: s.student.Acts}
	unit := s.teacher.folded.Units[u]
	for _, l := range s.teacher.folded.Layers[unit.First : unit.Last+1] {
		if w, ok := student.Weights[l.Name]; ok {
			w.Levels = nil
			student.Weights[l.Name] = w
		}
	}
	return student
}

// finished counts the units whose rounding is final.
func (s session) finished() int {
	n := 0
	for _, u := range s.units {
		if u.finished {
			n++
		}
	}
	return n
}

// prompt shows teacher, bits and state.
func (s session) prompt() string {
	if s.teacher == nil {
		return "pdq> "
	}
	state := "no scales"
	if len(s.student.Weights) > 0 {
		state = fmt.Sprintf("%d/%d", s.finished(), len(s.units))
	}
	if r := s.rounding; r != nil && !s.units[r.start.data.Unit].finished {
		state += fmt.Sprintf(" %s %d/%d", s.unitName(r.start.data.Unit), r.state.Done, s.config.Rounding.Steps)
	}
	return fmt.Sprintf("%s W%dA%d %s> ", s.teacher.Name, s.config.Bits.W, s.config.Bits.A, state)
}

// stateText says how far unit u has come.
func (s session) stateText(u int) string {
	switch st := s.units[u]; {
	case st.finished && st.rounded == 0:
		return "nearest"
	case st.finished:
		return fmt.Sprintf("rounded, %d steps", st.rounded)
	case st.rounded > 0:
		return fmt.Sprintf("at step %d", st.rounded)
	case len(s.student.Weights) == 0:
		return "full precision"
	case s.scaled(u):
		return "scales"
	case st.corrected:
		return "corrected"
	}
	return "weight scales"
}
