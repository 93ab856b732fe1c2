package shell

import (
	"fmt"
	"io"
	"strings"
)

// Manual writes a page on the commands, in Markdown, after an introduction.
func (sh *Shell[S]) Manual(w io.Writer, introduction string) error {
	var b strings.Builder
	b.WriteString(introduction)
	group := ""
	for _, c := range sh.commands {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s\n\n", c.Name)
		if len(c.Keys()) > 0 {
			fmt.Fprintf(&b, "    %s\n\n", c.usage())
		}
		fmt.Fprintf(&b, "%s.\n", strings.ToUpper(c.Help[:1])+c.Help[1:])
		if c.More != "" {
			fmt.Fprintf(&b, "%s\n", c.More)
		}
		if len(c.Keys()) > 0 {
			fmt.Fprintln(&b)
		}
		for _, a := range c.Args {
			fmt.Fprintf(&b, "- `%s`: %s\n", strings.ToUpper(a.Name), a.Help)
		}
		for _, o := range c.Options {
			fmt.Fprintf(&b, "- `%s=%s`: %s\n", o.Name, o.Value, o.Help)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
