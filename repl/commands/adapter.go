package commands

import (
	"context"
	"io"
	"strings"

	"github.com/pdquant/pdquant/repl/shell"
)

// writing adapts a function that writes.
func writing(f func(ctx context.Context, v shell.Values, stdout, stderr io.Writer) error) func(c *call) error {
	return func(c *call) error {
		c.Values["line"] = strings.Replace(c.Line(), "anew=true", "anew=false", 1)
		return f(c.Context, c.Values, shows{c}, notes{c.Display})
	}
}

type shows struct{ c *call }

func (s shows) Write(text []byte) (int, error) {
	s.c.Show(shell.Text(strings.TrimSuffix(string(text), "\n")))
	return len(text), nil
}

type notes struct{ shell.Display }

func (n notes) Write(text []byte) (int, error) {
	n.Note(strings.TrimSuffix(string(text), "\n"))
	return len(text), nil
}

func displayOf(w io.Writer) shell.Display {
	if n, ok := w.(notes); ok {
		return n.Display
	}
	return shell.NewTerminal(w, w)
}
