// Package commands has the commands of the shell and the shell around them: a prompt, scripts, or one command. Each
// command is one or two calls of pdq and what they print. Steps of the method don't belong here, nor flags.
package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

// Invocation is how the program was started.
type Invocation struct {
	Line, Script string   // commands, and a file of commands; -: standard input
	Given        bool     // Line is given, be it empty
	Words        []string // one command
	RC           bool     // read ~/.pdqrc at a prompt
}

// interactive says whether nothing was given to run.
func (o Invocation) interactive() bool { return !o.Given && o.Script == "" && len(o.Words) == 0 }

// Main runs the program, at a prompt where nothing is given to run, and returns its exit status.
func Main(o Invocation) int {
	var err error
	if o.interactive() && term.IsTerminal(int(os.Stdin.Fd())) {
		err = interact(o.RC)
	} else {
		ctx, stop := untilSignal(os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err = run(ctx, o, os.Stdin, os.Stdout, os.Stderr); errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
	var s signalled
	switch {
	case errors.As(err, &s):
		fmt.Fprintln(os.Stderr, err)
		return s.status()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// signalled is why a context ended.
type signalled struct{ os.Signal }

func (s signalled) Error() string { return s.String() }

// status is what shells expect of a program that a signal ended.
func (s signalled) status() int {
	if n, ok := s.Signal.(syscall.Signal); ok {
		return 128 + int(n)
	}
	return 1
}

// untilSignal returns a context that one of these signals ends. A second one ends the process.
func untilSignal(which ...os.Signal) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, which...)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalled{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// run runs what was given to run, without a prompt.
func run(ctx context.Context, o Invocation, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	out := &output{w: stdout}
	sh, err := newShell(out, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sh.close(), out.err) }()
	switch {
	case len(o.Words) > 0:
		err = sh.run(ctx, o.Words)
	case o.Given:
		err = sh.script(ctx, "-e", strings.NewReader(o.Line))
	case o.Script == "" || o.Script == "-":
		err = sh.script(ctx, "stdin", stdin)
	default:
		var f *os.File
		if f, err = os.Open(o.Script); err != nil {
			return fmt.Errorf("repl: %w", err)
		}
		defer f.Close()
		err = sh.script(ctx, o.Script, f)
	}
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}

// output is standard output: the first write that fails is an error of the program, whoever wrote.
type output struct {
	w   io.Writer
	err error
}

// Write writes data, and keeps the first error.
func (o *output) Write(data []byte) (int, error) {
	n, err := o.w.Write(data)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("repl: what the command printed can't be written: %w", err)
	}
	return n, err
}
