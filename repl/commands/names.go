package commands

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// named is a student that is kept under a name.
type named struct {
	name string
	of   *session // that it was made in, without names, logits and what its next unit sees
}

// now is the name of the session's own student.
const now = "now"

func (e *engine) nameCommands() []command {
	student := shell.Argument{Name: "student", Help: "its name; names lists them", Need: true}
	return []command{
		{Name: "name", Group: groupRuns, Changes: true, Help: "keep the student under a name, beside the one at work",
			Run: e.do(nameStudent),
			More: "Its teacher, images and settings are kept too. A name that is taken moves to this student. " +
				"eval student=NAME, compare NAME now and use NAME take it; now is the student at work. save keeps all of them.",
			Args: []shell.Argument{{Name: "name", Help: "of letters, digits, and . _ -", Need: true}}},
		{Name: "use", Group: groupRuns, Changes: true, Run: e.do(useStudent),
			Help: "go on with a student that has a name, with its teacher, images and settings",
			Args: []shell.Argument{student}},
		{Name: "names", Group: groupRuns, Run: e.do(listNames),
			Help: "list the students that have names, with the settings in which they differ"},
	}
}

// called returns the session of the student called name; nil: there is none.
func (s session) called(name string) *session {
	if name == now {
		return &s
	}
	for _, n := range s.names {
		if n.name == name {
			return n.of
		}
	}
	return nil
}

// studentNames lists the names of students, the oldest first.
func (s session) studentNames() []string {
	var all []string
	for _, n := range s.names {
		all = append(all, n.name)
	}
	return all
}

// canName says whether a student may be called name, which then is a folder's name too.
func canName(name string) bool {
	return name != now && regexp.MustCompile(`^[\pL\pN_][\pL\pN_.+-]{0,59}$`).MatchString(name)
}

// withNamed returns s with a student under a name.
func (s session) withNamed(name string, of session) session {
	of.names, of.logits, of.data, of.rounding = nil, nil, nil, nil
	s.names = slices.Clone(s.names)
	if i := slices.Index(s.studentNames(), name); i >= 0 {
		s.names[i].of = &of
	} else {
		s.names = append(s.names, named{name, &of})
	}
	return s
}

// noStudent is the error for a name that no student has.
func (s session) noStudent(name string) error {
	return fmt.Errorf("repl: no student is called %q%s", name,
		shell.Suggestion(name, s.studentNames(), "names lists them, name NAME keeps the one at work"))
}

func nameStudent(c *call) (session, error) {
	s, name := c.s, c.Values["name"]
	if !canName(name) {
		return s, fmt.Errorf("repl: %q can't be a name; give letters, digits, and . _ -, other than %s", name, now)
	}
	if s.teacher == nil {
		return s, errNoTeacher()
	}
	if len(s.student.Weights) == 0 {
		return s, errors.New("repl: nothing is quantised yet, so there is no student to name; begin: scales weights")
	}
	c.Print("%s: %s", name, s.summary())
	if unit, steps := s.underWay(); steps > 0 {
		c.Note("the rounding of %s is kept as it is at step %d; after use %s it would begin again", unit, steps, name)
	}
	return s.withNamed(name, s), nil
}

// summary says what the student is, in a line.
func (s session) summary() string {
	return fmt.Sprintf("%s W%dA%d, %d of %d units", s.teacher.Name, s.config.Bits.W, s.config.Bits.A, s.finished(),
		len(s.units))
}

func useStudent(c *call) (session, error) {
	s, name := c.s, c.Values["student"]
	of := s.called(name)
	if of == nil {
		return s, s.noStudent(name)
	}
	next := *of
	next.names = s.names
	if next.teacher == s.teacher && next.images == s.images && next.config.Mirror == s.config.Mirror {
		next.logits = s.logits
	}
	c.Print("%s: %s", name, next.summary())
	return next, nil
}

func listNames(c *call) (session, error) {
	s := c.s
	if len(s.names) == 0 {
		c.Show(shell.Text("no student has a name yet; name NAME keeps the one at work"))
		return s, nil
	}
	all := s.names
	if len(s.student.Weights) > 0 {
		all = append(slices.Clone(all), named{now, &s})
	}
	common := all[0].of.otherSettings()
	for _, n := range all[1:] {
		has := n.of.otherSettings()
		common = slices.DeleteFunc(common, func(x string) bool { return !slices.Contains(has, x) })
	}
	if len(all) == 1 {
		common = nil
	}
	var students [][]shell.Field
	for _, n := range all {
		students = append(students, n.fields(common))
	}
	c.Show(tableOf(students))
	return s, nil
}

// fields say what the student is. Settings are those that aren't the preset's, without some.
func (n named) fields(without []string) []shell.Field {
	s, top1 := *n.of, ""
	settings := slices.DeleteFunc(s.otherSettings(), func(x string) bool { return slices.Contains(without, x) })
	if s.score != nil {
		top1 = experiment.Top1(s.results()).String()
	}
	return []shell.Field{{Name: "student", Value: n.name}, {Name: "teacher", Value: s.teacher.Name},
		{Name: "bits", Value: fmt.Sprintf("W%dA%d", s.config.Bits.W, s.config.Bits.A)},
		{Name: "images", Value: s.images.calibration.Len()},
		{Name: "units", Value: fmt.Sprintf("%d of %d", s.finished(), len(s.units))}, {Name: "preset", Value: s.preset},
		{Name: "settings", Value: strings.Join(settings, " ")}, {Name: "top-1 %", Value: top1}}
}

// otherSettings are the fields that aren't the preset's.
func (s session) otherSettings() []string {
	fields, _ := pdq.Fields() // none if the table fails
	var all []string
	for _, f := range fields {
		is, _ := s.config.Get(f.Name) // Fields lists them
		if was, _ := s.base.Get(f.Name); was != is {
			all = append(all, f.Name+"="+is)
		}
	}
	return all
}

// explainStudent shows the student called name.
func explainStudent(s session, name string) shell.Value {
	of := s.called(name)
	if of == nil || len(of.student.Weights) == 0 {
		return nil
	}
	return recordOf(named{name, of}.fields(nil))
}

// results are what eval found: none or one.
func (s session) results() []experiment.Result {
	if s.score == nil {
		return nil
	}
	return []experiment.Result{{Seed: s.config.Seed, Test: experiment.AccuracyOf(s.score.student),
		Right: s.score.student}}
}
