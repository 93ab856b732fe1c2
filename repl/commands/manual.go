package commands

import (
	"fmt"
	"io"
	"strings"
)

// manual writes the manual page, MANUAL.md, from the table of commands.
func manual(w io.Writer) {
	fmt.Fprint(w, `# The shell's commands

This page is made from the table of commands (`+"`go test ./repl/commands -run TestManual -update`"+`).

    go run ./repl                    # a prompt; ~/.pdqrc runs first, but for -norc
    go run ./repl NAME ...           # one command
    go run ./repl -e 'NAME ...; NAME ...'
    go run ./repl -f FILE            # a script; also on standard input

Words are separated by blanks, commands by semicolons or lines; # begins a comment, and quotes hold a word together.
Arguments in brackets may be left out. An option is key=value, shown with its default; so may be an argument. Names of
commands may be cut short. The first error ends a script, with its line and status 1; at the prompt it changes nothing.
Ctrl-C ends a command and keeps what it had finished, Ctrl-R searches the history (~/.pdq_history), Tab completes.
`)
	group := ""
	for _, c := range commands() {
		if c.group != group {
			group = c.group
			fmt.Fprintf(w, "\n## %s\n", group)
		}
		fmt.Fprintf(w, "\n### %s\n\n", c.name)
		if len(c.args)+len(c.options) > 0 {
			fmt.Fprintf(w, "    %s\n\n", c.usage())
		}
		fmt.Fprintf(w, "%s.\n", strings.ToUpper(c.help[:1])+c.help[1:])
		if c.more != "" {
			fmt.Fprintf(w, "%s\n", c.more)
		}
		if len(c.args)+len(c.options) > 0 {
			fmt.Fprintln(w)
		}
		for _, a := range c.args {
			fmt.Fprintf(w, "- `%s`: %s\n", strings.ToUpper(a.name), a.help)
		}
		for _, o := range c.options {
			fmt.Fprintf(w, "- `%s=%s`: %s\n", o.name, o.value, o.help)
		}
	}
}
