package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
)

// UndoDepth is how many states undo can return to.
const UndoDepth = 20

// ErrQuit ends a script or the shell, without being a failure.
var ErrQuit = errors.New("quit")

// Shell runs commands on a state.
type Shell[S any] struct {
	State S // now

	language Language[S]
	commands []Command[S] // the language's and the shell's own
	display  Display
	saved    S           // what lies in a file, or at the beginning
	before   []past[S]   // states to undo to, the last one on top
	undone   []past[S]   // states to redo, the next one on top
	pinned   []S         // states to return to should a script fail
	typed    []string    // commands that ran, for history
	log      *os.File    // record of commands; nil: none
	depth    int         // of scripts that run scripts
	failed   error       // of the first value that couldn't be shown
	kept     bool        // an interrupted command changed the state
	asking   atomic.Bool // a question is being answered: no line for the history
	looks    atomic.Pointer[Look]
	keeping  keeping
	shown    transcript
	table    *Table // the last one shown; nil: none
}

// past is a state and the command that changed it.
type past[S any] struct {
	state S
	line  string
}

// New returns a shell that begins with a state.
func New[S any](l Language[S], d Display, begin S) *Shell[S] {
	sh := &Shell[S]{State: begin, saved: begin, language: l, display: d}
	sh.commands = slices.Concat(l.Commands, builtins[S]())
	sh.look()
	return sh
}

// Close forgets all states, so that what only they use is freed, and ends the log.
func (sh *Shell[S]) Close() error {
	var none S
	sh.before, sh.undone, sh.State, sh.saved = nil, nil, none, none
	sh.live()
	if sh.log != nil {
		return sh.log.Close()
	}
	return nil
}

// Script runs the lines of r. The first error ends it, with its name and line. Where the first line is %%time, it
// shows how long the rest took.
func (sh *Shell[S]) Script(ctx context.Context, name string, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	return sh.lines(ctx, name, lines, 0)
}

// lines runs what is left of a script of which n lines are read.
func (sh *Shell[S]) lines(ctx context.Context, name string, lines *bufio.Scanner, n int) error {
	for lines.Scan() {
		text := lines.Text()
		if n++; n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // some editors begin files so
			if strings.TrimSpace(text) == timeCell {
				return sh.timed(func() error { return sh.lines(ctx, name, lines, n) })
			}
		}
		first := n
		for Incomplete(text) && lines.Scan() {
			text = strings.TrimSuffix(text, `\`) + "\n" + lines.Text()
			n++
		}
		if err := sh.Line(ctx, text); errors.Is(err, ErrQuit) {
			return err
		} else if err != nil {
			return fmt.Errorf("%s:%d: %w", name, first, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return nil
}

// Line runs the statements of a line.
func (sh *Shell[S]) Line(ctx context.Context, line string) error {
	statements, err := Split(line)
	if text, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
		statements, err = [][]string{{"system", text}}, nil
	}
	if err != nil {
		return err
	}
	for _, words := range statements {
		if err := sh.Run(ctx, words); err != nil {
			return err
		}
	}
	return nil
}

// Run runs one statement. After an error the state is what it was before, unless the command was interrupted: then
// what was finished is kept.
func (sh *Shell[S]) Run(ctx context.Context, words []string) error {
	c, rest, err := sh.LookUp(words)
	if err != nil {
		return err
	}
	if c.around != nil && len(rest) > 0 {
		return c.around(sh, func() error { return sh.Run(ctx, rest) })
	}
	if sh.depth == 0 {
		sh.shown.add("command", Text(Join(words)))
	}
	next, err := sh.evaluate(ctx, c, rest, sh.State)
	if err != nil && sh.depth == 0 && !errors.Is(err, ErrQuit) {
		sh.shown.add("error", Text(err.Error()))
	}
	sh.display.Done()
	was := sh.State
	sh.kept = false
	if err == nil || errors.Is(err, context.Canceled) {
		if c.Changes && !sh.language.Same(was, next) { // some commands only print without arguments
			sh.before = append(sh.before, past[S]{was, Join(words)})
			sh.before = sh.before[max(0, len(sh.before)-UndoDepth):]
			sh.undone, sh.kept = nil, true
		}
		sh.State = next
		if c.Saves && err == nil {
			sh.saved = next
		}
		if c.Changes && sh.language.Lost != nil {
			if note := sh.language.Lost(was, next); note != "" {
				sh.note(note)
			}
		}
	}
	sh.live()
	sh.look()
	return errors.Join(err, sh.record(words, c, was, err))
}

// evaluate runs c with words on a state, and returns what follows, without making it sh's state.
func (sh *Shell[S]) evaluate(ctx context.Context, c Command[S], words []string, s S) (S, error) {
	v, err := c.parse(words)
	if err != nil {
		return s, err
	}
	for _, key := range slices.Concat(sh.language.Files, sh.language.Folders) {
		if v[key] != "" {
			v[key] = AtHome(v[key])
		}
	}
	return c.Run(&Call[S]{ctx, s, words, v, sh.display, c, sh})
}

// note tells a note.
func (sh *Shell[S]) note(text string) {
	sh.shown.add("note", Text(text))
	sh.display.Note(text)
}

// show shows a value. An error ends the program later, with what was computed.
func (sh *Shell[S]) show(d Display, v Value) {
	sh.shown.add("value", v)
	if t, ok := v.(Table); ok {
		sh.table = &t
	}
	if err := d.Show(v); err != nil && sh.failed == nil {
		sh.failed = err
	}
}

// Failed returns the error of the first value that couldn't be shown.
func (sh *Shell[S]) Failed() error { return sh.failed }

// Undoable returns how many states undo can return to.
func (sh *Shell[S]) Undoable() int { return len(sh.before) }

// live tells the language which states can still be returned to.
func (sh *Shell[S]) live() {
	if sh.language.Live == nil {
		return
	}
	states := append(slices.Clone(sh.pinned), sh.State)
	for _, p := range slices.Concat(sh.before, sh.undone) {
		states = append(states, p.state)
	}
	sh.language.Live(states)
}

// record adds a statement to the history and the log. A failed one is a comment there; after an interrupted one follow
// those that give what was kept. was is the state before it.
func (sh *Shell[S]) record(words []string, c Command[S], was S, err error) error {
	if sh.depth > 0 || errors.Is(err, ErrQuit) {
		return nil
	}
	text := Join(words)
	if err == nil {
		sh.typed = append(sh.typed, text)
	}
	if sh.log == nil || c.Name == "log" {
		return nil
	}
	switch {
	case errors.Is(err, context.Canceled):
		text = "# interrupted: " + text
		if sh.language.Kept != nil {
			text = strings.Join(append([]string{text}, sh.language.Kept(was, sh.State)...), "\n")
		}
	case err != nil:
		text = "# failed: " + text
	}
	if _, err := fmt.Fprintln(sh.log, text); err != nil {
		return fmt.Errorf("repl: log: %w", err)
	}
	return nil
}
