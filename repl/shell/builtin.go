package shell

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// builtins are the shell's own commands.
func builtins[S any]() []Command[S] {
	const group = "The shell"
	return []Command[S]{
		{Name: "help", Group: group, Help: "list the commands, or explain one, or a word; NAME? does too",
			Run: help[S], Args: []Argument{{Name: "word", Help: "name of a command, or another word that the program knows"}}},
		{Name: "undo", Group: group, Help: "return to before the last changing command, or the n last", Run: undo[S],
			Args: []Argument{{Name: "n", Help: fmt.Sprintf("how many, up to the %d that are kept", UndoDepth)}}},
		{Name: "redo", Group: group, Help: "take back the last undo that nothing followed, or the n last", Run: redo[S],
			Args: []Argument{{Name: "n", Help: "how many undone commands"}}},
		{Name: "source", Group: group, Changes: true, Run: source[S],
			Help: "run the commands in a file; the first error ends it, and takes back what came before",
			Args: []Argument{{Name: "file", Help: "a script", Need: true}}},
		{Name: "time", Group: group, Wraps: true, Help: "run a command, and print wall and processor time",
			More: "A script or cell whose first line is " + timeCell + " is timed as a whole.",
			Args: []Argument{{Name: "command", Help: "with its arguments and options", Need: true, Many: true}},
			Run:  func(c *Call[S]) (S, error) { return c.Evaluate(c.Words) }, around: (*Shell[S]).timed},
		{Name: "log", Group: group, Run: logTo[S],
			Help: "record what is typed as a script that replays; log off ends it",
			More: "What failed or was interrupted becomes a comment.",
			Args: []Argument{{Name: "file", Help: "to append to, or off; none: print which"}}},
		{Name: "write", Group: group, Help: "save the last table that was shown", Run: writeTable[S],
			Args: []Argument{{Name: "file", Help: "its end chooses the format: .tsv, .csv, .json or .html", Need: true}}},
		{Name: "html", Group: group, Help: "write what the session showed as one page", Run: writePage[S],
			More: "The page has commands, texts, tables, figures and notes, and needs no other file.",
			Args: []Argument{{Name: "file", Help: "of the page: session.html", Need: true}}},
		{Name: "format", Group: group, Run: format[S],
			Help: "choose how values are written, or print how",
			More: "Notes and progress go to standard error in all formats.",
			Args: []Argument{{Name: "format", Help: formatHelp()}}},
		{Name: "system", Group: group, Free: true, Help: "run a command of the system: !ls -l", Run: system[S],
			Args: []Argument{{Name: "command", Help: "all of the line behind !", Many: true}}},
		{Name: "history", Group: group, Help: "print the commands that ran", Run: history[S]},
		{Name: "clear", Group: group, Help: "clear the terminal", Run: clearScreen[S]},
		{Name: "quit", Group: group, Help: "leave the shell or the script",
			Run: func(c *Call[S]) (S, error) { return c.State, ErrQuit }},
	}
}

func help[S any](c *Call[S]) (S, error) {
	name := c.Values["word"]
	if name == "" {
		c.Show(Text(c.shell.usage()))
		return c.State, nil
	}
	v, err := c.shell.explain(c.State, name)
	if err != nil {
		return c.State, err
	}
	c.Show(v)
	return c.State, nil
}

// usage lists the commands.
func (sh *Shell[S]) usage() string {
	var b strings.Builder
	group := ""
	for _, c := range sh.commands {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "\n%s:\n", group)
		}
		fmt.Fprintf(&b, "  %-10s %s\n", c.Name, c.Help)
	}
	b.WriteString("\nhelp NAME, or NAME?, explains one. Names may be cut short; a semicolon ends a command, # begins a " +
		"comment.")
	return b.String()
}

// explain returns all that the table says of c.
func (c Command[S]) explain() Text {
	lines := []string{c.usage(), "  " + c.Help}
	for _, a := range c.Args {
		lines = append(lines, fmt.Sprintf("  %-18s %s", strings.ToUpper(a.Name), a.Help))
	}
	for _, o := range c.Options {
		lines = append(lines, o.explain())
	}
	if c.More != "" {
		lines = append(lines, "  "+strings.ReplaceAll(Wrap(c.More, 96), "\n", "\n  "))
	}
	return Text(strings.Join(lines, "\n"))
}

// explain is a line of help.
func (o Option) explain() string { return fmt.Sprintf("  %-18s %s", o.Name+"="+o.Value, o.Help) }

func undo[S any](c *Call[S]) (S, error) {
	sh, n := c.shell, 1
	if err := c.Values.Override("n", 1, UndoDepth, &n); err != nil {
		return c.State, err
	}
	at := len(sh.before) - n
	if at < 0 {
		return c.State, fmt.Errorf("repl: there are %d commands to undo, not %d", len(sh.before), n)
	}
	s := sh.before[at].state
	is := c.State
	for _, p := range slices.Backward(sh.before[at:]) {
		c.Print("undone: %s", p.line)
		sh.undone = append(sh.undone, past[S]{is, p.line})
		is = p.state
	}
	sh.before = sh.before[:at]
	return s, nil
}

func redo[S any](c *Call[S]) (S, error) {
	sh, n := c.shell, 1
	if err := c.Values.Override("n", 1, UndoDepth, &n); err != nil {
		return c.State, err
	}
	if n > len(sh.undone) {
		return c.State, fmt.Errorf("repl: there are %d undone commands to take up again, not %d", len(sh.undone), n)
	}
	is := c.State
	for range n {
		p := sh.undone[len(sh.undone)-1]
		sh.undone = sh.undone[:len(sh.undone)-1]
		sh.before = append(sh.before, past[S]{is, p.line})
		is = p.state
		c.Print("done again: %s", p.line)
	}
	return is, nil
}

// clearScreen clears a terminal, and leaves what scrolled off.
func clearScreen[S any](c *Call[S]) (S, error) {
	c.Display.Clear()
	return c.State, nil
}

func source[S any](c *Call[S]) (S, error) {
	const most = 16 // scripts that run one another
	sh, name := c.shell, c.Values["file"]
	if sh.depth == most {
		return c.State, fmt.Errorf("repl: scripts run one another %d deep; does %s run itself?", most, name)
	}
	f, err := os.Open(name)
	if err != nil {
		return c.State, fmt.Errorf("repl: %w", err)
	}
	defer f.Close()
	before, undone, pinned := slices.Clone(sh.before), slices.Clone(sh.undone), len(sh.pinned)
	sh.pinned = append(sh.pinned, c.State)
	for _, p := range slices.Concat(before, undone) {
		sh.pinned = append(sh.pinned, p.state)
	}
	sh.depth++
	err = sh.Script(c.Context, name, f)
	sh.depth--
	sh.pinned = sh.pinned[:pinned]
	s := sh.State
	if errors.Is(err, ErrQuit) {
		err = nil
	}
	// A script is one command: undo takes back the whole of it, and so does an error.
	sh.State, sh.before, sh.undone = c.State, before, undone
	return s, err
}

func logTo[S any](c *Call[S]) (S, error) {
	sh, name := c.shell, c.Values["file"]
	if name == "" {
		text := "no log; begin one: log FILE"
		if sh.log != nil {
			text = sh.log.Name()
		}
		c.Show(Text(text))
		return c.State, nil
	}
	var f *os.File
	if name != "off" {
		var err error
		if f, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return c.State, fmt.Errorf("repl: %w", err)
		}
	}
	if sh.log != nil {
		if err := sh.log.Close(); err != nil {
			return c.State, fmt.Errorf("repl: %w", err)
		}
	}
	sh.log = f
	return c.State, nil
}

func formatHelp() string {
	var texts []string
	for _, f := range Formats() {
		texts = append(texts, fmt.Sprintf("%s (%s)", f.Name, f.About))
	}
	return strings.Join(texts, ", ")
}

func format[S any](c *Call[S]) (S, error) {
	t, ok := c.Display.(*Terminal)
	if !ok {
		return c.State, errors.New("repl: this display chooses the format itself")
	}
	if c.Values["format"] == "" {
		c.Show(Text(t.Format.Name))
		return c.State, nil
	}
	f, err := FindFormat(c.Values["format"])
	if err == nil {
		t.Format = f
	}
	return c.State, err
}

func system[S any](c *Call[S]) (S, error) {
	text := strings.Join(c.Words, " ")
	if strings.TrimSpace(text) == "" {
		return c.State, errors.New("repl: run which command? !ls")
	}
	cmd := exec.CommandContext(c.Context, "sh", "-c", text)
	var one sync.Mutex // both are written to at once
	out, errs := &lines{one: &one, put: func(s string) { c.Show(Text(s)) }}, &lines{one: &one, put: func(s string) {
		c.shell.shown.add("note", Text(s))
		c.Display.Stderr(s)
	}}
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.WaitDelay = time.Second / 2 // what keeps running isn't waited for
	endAll(cmd)
	err := cmd.Run()
	out.flush()
	errs.flush()
	if c.Context.Err() != nil {
		return c.State, c.Context.Err()
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // what goes on in the background holds its output
		return c.State, fmt.Errorf("repl: %s: %w", text, err)
	}
	return c.State, nil
}

// lines puts what is written to it line by line.
type lines struct {
	one  *sync.Mutex // held while it puts
	put  func(line string)
	rest []byte
}

// Write puts the lines that end in data.
func (l *lines) Write(data []byte) (int, error) {
	l.one.Lock()
	defer l.one.Unlock()
	l.rest = append(l.rest, data...)
	if at := bytes.LastIndexByte(l.rest, '\n'); at >= 0 {
		l.put(string(l.rest[:at]))
		l.rest = l.rest[at+1:]
	}
	return len(data), nil
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.put(string(l.rest))
	}
}

func history[S any](c *Call[S]) (S, error) {
	if lines := c.shell.typed; len(lines) > 0 {
		c.Show(Text(strings.Join(lines, "\n")))
	}
	return c.State, nil
}
