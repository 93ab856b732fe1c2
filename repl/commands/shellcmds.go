package commands

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func shellCommands() []command {
	return []command{
		{name: "help", group: groupShell, help: "list the commands, or explain one; NAME? does too", run: help,
			args: []argument{{name: "command", help: "name of a command"}}},
		{name: "source", group: groupShell, changes: true, help: "run the commands in a file; the first error ends it, and takes back what came before", run: source,
			args: []argument{{name: "file", help: "a script", need: true}}},
		{name: "log", group: groupShell, help: "record what is typed as a script that replays; log off ends it", run: logTo,
			more: "What failed or was interrupted becomes a comment.",
			args: []argument{{name: "file", help: "to append to, or off; none: print which"}}},
		{name: "system", group: groupShell, free: true, help: "run a command of the system: !ls -l", run: system,
			args: []argument{{name: "command", help: "all of the line behind !", many: true}}},
		{name: "history", group: groupShell, help: "print the commands that ran", run: history},
		{name: "quit", group: groupShell, help: "leave the shell or the script", run: func(c *call) (session, error) { return c.s, errQuit }},
	}
}

func source(c *call) (session, error) {
	const most = 16 // scripts that run one another
	if c.sh.depth == most {
		return c.s, fmt.Errorf("repl: scripts run one another %d deep; does %s run itself?", most, c.values["file"])
	}
	f, err := os.Open(c.values["file"])
	if err != nil {
		return c.s, fmt.Errorf("repl: %w", err)
	}
	defer f.Close()
	sh, undo := c.sh, slices.Clone(c.sh.before)
	sh.pinned = append(sh.pinned, c.s)
	sh.pinned = append(sh.pinned, sessions(undo)...)
	sh.depth++
	err = sh.script(c.ctx, c.values["file"], f)
	sh.depth--
	sh.pinned = sh.pinned[:len(sh.pinned)-1-len(undo)]
	s := sh.state
	if errors.Is(err, errQuit) {
		err = nil
	}
	// A script is one command: undo takes back the whole of it, and so does an error.
	sh.state, sh.before = c.s, undo
	return s, err
}

func logTo(c *call) (session, error) {
	sh, name := c.sh, c.values["file"]
	if name == "" {
		if sh.log == nil {
			fmt.Fprintln(c.out, "no log; begin one: log FILE")
			return c.s, nil
		}
		fmt.Fprintln(c.out, sh.log.Name())
		return c.s, nil
	}
	var f *os.File
	if name != "off" {
		var err error
		if f, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
			return c.s, fmt.Errorf("repl: %w", err)
		}
	}
	if sh.log != nil {
		if err := sh.log.Close(); err != nil {
			return c.s, fmt.Errorf("repl: %w", err)
		}
	}
	sh.log = f
	return c.s, nil
}

func system(c *call) (session, error) {
	text := strings.Join(c.words, " ")
	if strings.TrimSpace(text) == "" {
		return c.s, errors.New("repl: run which command? !ls")
	}
	cmd := exec.CommandContext(c.ctx, "sh", "-c", text)
	cmd.Stdout, cmd.Stderr = c.out, c.sh.err
	err := cmd.Run()
	if c.ctx.Err() != nil {
		return c.s, c.ctx.Err()
	}
	if err != nil {
		return c.s, fmt.Errorf("repl: %s: %w", text, err)
	}
	return c.s, nil
}

func history(c *call) (session, error) {
	for _, line := range c.sh.typed {
		fmt.Fprintln(c.out, line)
	}
	return c.s, nil
}

func help(c *call) (session, error) {
	name := c.values["command"]
	if name == "" {
		usage(c.out)
		return c.s, nil
	}
	cmd, _, err := lookUp([]string{name})
	if err != nil {
		return c.s, err
	}
	cmd.explain(c.out)
	return c.s, nil
}

// usage lists the commands.
func usage(w io.Writer) {
	group := ""
	for _, c := range commands() {
		if c.group != group {
			group = c.group
			fmt.Fprintf(w, "\n%s:\n", group)
		}
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.help)
	}
	fmt.Fprint(w, "\nhelp NAME, or NAME?, explains one. Names may be cut short; a semicolon ends a command, # begins a comment.\n")
}

// explain prints all that the table says of c.
func (c command) explain(w io.Writer) {
	fmt.Fprintf(w, "%s\n  %s\n", c.usage(), c.help)
	for _, a := range c.args {
		fmt.Fprintf(w, "  %-18s %s\n", strings.ToUpper(a.name), a.help)
	}
	for _, o := range c.options {
		fmt.Fprintf(w, "  %-18s %s\n", o.name+"="+o.value, o.help)
	}
	if c.more != "" {
		fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(wrapText(c.more, 96), "\n", "\n  "))
	}
}
