package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// undoDepth is how many states undo can return to. Each may hold the data of a unit.
const undoDepth = 20

// errQuit ends a script or the shell, without being a failure.
var errQuit = errors.New("quit")

// shell runs commands on a session.
type shell struct {
	out, err io.Writer
	state    session
	before   []past    // states to undo to, the last one on top
	pinned   []session // states to return to should a script fail
	typed    []string  // commands that ran, for history
	log      *os.File  // record of commands; nil: none
	depth    int       // of scripts that run scripts
	progress *progress
	losses   []loss // of the steps since they were last taken

	q     *pdq.Quantizer // the last one, and what it was made for
	qOf   quantizerKey
	live  *pdq.Rounder // the last one, what it was begun from, and where it is
	begun *roundingStart
	at    int
	datas []*pdq.UnitData // not freed yet
	all   []*pdq.Teacher
}

// past is a session and the command that changed it.
type past struct {
	session
	line string
}

// quantizerKey says what a Quantizer is made for.
type quantizerKey struct {
	teacher *teacher
	images  *images
	config  pdq.Config
}

func newShell(out, err io.Writer) (*shell, error) {
	s, e := newSession()
	return &shell{out: out, err: err, state: s, progress: newProgress(err)}, e
}

// close frees what was computed.
func (sh *shell) close() error {
	sh.before, sh.state = nil, session{}
	sh.collect()
	if sh.log != nil {
		return sh.log.Close()
	}
	return nil
}

// script runs the lines of r. The first error ends it, with its name and line.
func (sh *shell) script(ctx context.Context, name string, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		text := lines.Text()
		if n++; n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // some editors begin files so
		}
		if err := sh.line(ctx, text); errors.Is(err, errQuit) {
			return err
		} else if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return nil
}

// line runs the statements of a line.
func (sh *shell) line(ctx context.Context, line string) error {
	statements, err := split(line)
	if text, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
		statements, err = [][]string{{"system", text}}, nil
	}
	if err != nil {
		return err
	}
	for _, words := range statements {
		if err := sh.run(ctx, words); err != nil {
			return err
		}
	}
	return nil
}

// run runs one statement. After an error the session is what it was before, unless it was
// interrupted: then what was finished is kept.
func (sh *shell) run(ctx context.Context, words []string) error {
	c, rest, err := lookUp(words)
	if err != nil {
		return err
	}
	next, err := sh.evaluate(ctx, c, rest, sh.state)
	sh.progress.done()
	interrupted, was := errors.Is(err, context.Canceled), sh.state
	if err == nil || interrupted {
		if c.changes && !reflect.DeepEqual(sh.state, next) { // bits without arguments only prints
			sh.before = append(sh.before, past{sh.state, join(words)})
			sh.before = sh.before[max(0, len(sh.before)-undoDepth):]
		}
		sh.state = next
		if c.changes {
			sh.tellGivenUp(was)
		}
	}
	sh.collect()
	return errors.Join(err, sh.record(words, c, was, err))
}

// tellGivenUp says so if the session before was in the middle of rounding a unit, and this one isn't.
func (sh *shell) tellGivenUp(was session) {
	unit, steps := was.underWay()
	if steps == 0 || sh.state.rounding != nil && sh.state.rounding.start.data == was.rounding.start.data {
		return
	}
	if u := was.rounding.start.data.Unit; u < len(sh.state.units) && sh.state.units[u].finished {
		return
	}
	fmt.Fprintf(sh.err, "the rounding of %s, at step %d, is given up; undo takes this back\n", unit, steps)
}

// evaluate runs c with words on s, and returns what follows, without making it sh's state.
func (sh *shell) evaluate(ctx context.Context, c command, words []string, s session) (session, error) {
	v, err := c.parse(words)
	if err != nil {
		return s, err
	}
	return c.run(&call{ctx: ctx, sh: sh, s: s, words: words, values: v, out: besideBar{sh.progress, sh.out}})
}

// record adds a statement to the history and the log. A failed one is a comment there; after an
// interrupted one follow those that give what was kept. was is the session before it.
func (sh *shell) record(words []string, c command, was session, err error) error {
	if sh.depth > 0 || errors.Is(err, errQuit) {
		return nil
	}
	text := join(words)
	if err == nil {
		sh.typed = append(sh.typed, text)
	}
	if sh.log == nil || c.name == "log" {
		return nil
	}
	switch {
	case errors.Is(err, context.Canceled):
		text = strings.Join(append([]string{"# interrupted: " + text}, kept(was, sh.state)...), "\n")
	case err != nil:
		text = "# failed: " + text
	}
	if _, err := fmt.Fprintln(sh.log, text); err != nil {
		return fmt.Errorf("repl: log: %w", err)
	}
	return nil
}

// kept returns the commands that lead from one session to another, in which an interrupted command
// left off.
func kept(from, to session) []string {
	var lines []string
	add := func(done bool, line string) {
		if done {
			lines = append(lines, line)
		}
	}
	add(from.logits == nil && to.logits != nil, "logits")
	add(len(from.student.Weights) == 0 && len(to.student.Weights) > 0, "scales weights")
	for u, st := range to.units {
		name, was := to.unitName(u), from.units[u]
		if st.finished {
			add(!was.finished, "run "+name)
			continue
		}
		add(st.corrected && !was.corrected, "dc "+name)
		add(to.scaled(u) && !from.scaled(u), "scales acts "+name)
		if to.rounding == nil || to.rounding.start.data.Unit != u {
			continue
		}
		steps := to.rounding.state.Done
		if from.rounding != nil && from.rounding.start.data == to.rounding.start.data {
			steps -= from.rounding.state.Done
		}
		add(steps > 0, fmt.Sprintf("step %s n=%d", name, steps))
	}
	return lines
}

// keep remembers data to free once no session has it.
func (sh *shell) keep(d *pdq.UnitData) *pdq.UnitData {
	if d != nil && !slices.Contains(sh.datas, d) {
		sh.datas = append(sh.datas, d)
	}
	return d
}

func sessions(before []past) []session {
	list := make([]session, len(before))
	for i, p := range before {
		list[i] = p.session
	}
	return list
}

// collect frees the data and logits that no session has, and the rounder if its data goes.
func (sh *shell) collect() {
	var live []*pdq.UnitData
	var logits []*pdq.Teacher
	for _, s := range slices.Concat(sessions(sh.before), sh.pinned, []session{sh.state}) {
		live = append(live, s.data)
		logits = append(logits, s.logits)
		if s.rounding != nil {
			live = append(live, s.rounding.start.data)
		}
	}
	if sh.live != nil && !slices.Contains(live, sh.begun.data) {
		sh.dropRounder()
	}
	sh.datas = slices.DeleteFunc(sh.datas, func(d *pdq.UnitData) bool {
		if slices.Contains(live, d) {
			return false
		}
		d.FreeBut(live...)
		return true
	})
	sh.all = slices.DeleteFunc(sh.all, func(t *pdq.Teacher) bool {
		if slices.Contains(logits, t) {
			return false
		}
		t.Free()
		return true
	})
}

func (sh *shell) dropRounder() {
	if sh.live != nil {
		sh.live.Close()
		sh.live, sh.begun = nil, nil
	}
}

// opened returns s with a backend: by name, or the one it has, or the default.
func (sh *shell) opened(s session, name string) (session, error) {
	if s.backend != nil && name == "" {
		return s, nil
	}
	b, note, err := backend.Open(name)
	if err != nil {
		return s, err
	}
	s.backend, s.note = b, note
	base := s.base
	base.Machine.Workers = backend.Workers(b)
	return s.rebase(base)
}

// quantizer returns the steps for s with configuration c.
func (sh *shell) quantizer(s session, c pdq.Config) (*pdq.Quantizer, error) {
	switch {
	case s.teacher == nil:
		return nil, errNoTeacher()
	case s.images == nil:
		return nil, errors.New("repl: no calibration images yet; draw some: calib 256")
	}
	key := quantizerKey{s.teacher, s.images, c}
	if sh.q != nil && sh.qOf == key {
		return sh.q, nil
	}
	q, err := pdq.New(s.backend, pdq.Problem{Network: s.teacher.Network, Weights: s.teacher.Weights, Calibration: s.images.calibration.Images}, c)
	if err != nil {
		return nil, err
	}
	q.Progress = sh.event
	sh.q, sh.qOf = q, key
	return q, nil
}

// event shows a step's progress and keeps its loss.
func (sh *shell) event(e pdq.Event) {
	sh.progress.event(e)
	if e.Step == pdq.StepCorrect || e.Step == pdq.StepRound {
		sh.losses = append(sh.losses, loss{e.Step, e.Done, e.Loss})
	}
}

// takeLosses returns the losses since the last call.
func (sh *shell) takeLosses() []loss {
	losses := sh.losses
	sh.losses = nil
	return losses
}
