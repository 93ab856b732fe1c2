package shell

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
	RC           bool     // a prompt runs the language's file of commands first
	Format       Format   // of what is written to standard output
}

// interactive says whether nothing was given to run.
func (o Invocation) interactive() bool { return !o.Given && o.Script == "" && len(o.Words) == 0 }

// Main runs the program, at a prompt where nothing is given to run, and returns its exit status.
func Main[S any](o Invocation, start func(d Display) (*Shell[S], error)) int {
	display := NewTerminal(os.Stdout, os.Stderr)
	display.Format = o.Format
	var err error
	if o.interactive() && term.IsTerminal(int(os.Stdin.Fd())) {
		display.Pager = true
		err = session(display, start, func(sh *Shell[S]) error { return sh.interact(o.RC) })
	} else {
		ctx, stop := untilSignal(os.Interrupt, syscall.SIGTERM)
		defer stop()
		err = session(display, start, func(sh *Shell[S]) error { return sh.Invoke(ctx, o, os.Stdin) })
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}
	var s signalled
	switch {
	case errors.As(err, &s):
		fmt.Fprintln(os.Stderr, Visible(err.Error()))
		return s.status()
	case err != nil:
		fmt.Fprintln(os.Stderr, Visible(err.Error()))
		return 1
	}
	return 0
}

// session is a shell from its start to its end.
func session[S any](d Display, start func(d Display) (*Shell[S], error), run func(*Shell[S]) error) (err error) {
	sh, err := start(d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sh.Close(), sh.Failed()) }()
	return run(sh)
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

// Invoke runs what was given to run, without a prompt.
func (sh *Shell[S]) Invoke(ctx context.Context, o Invocation, stdin io.Reader) error {
	var err error
	switch {
	case len(o.Words) > 0:
		if _, _, err := sh.LookUp(o.Words); err != nil && isFile(o.Words[0]) {
			return fmt.Errorf("repl: %s is no command but a file; -f %[1]s runs the commands in it", o.Words[0])
		}
		err = sh.Run(ctx, o.Words)
	case o.Given:
		err = sh.Script(ctx, "-e", strings.NewReader(o.Line))
	case o.Script == "" || o.Script == "-":
		err = sh.Script(ctx, "stdin", stdin)
	default:
		var f *os.File
		if f, err = os.Open(o.Script); err != nil {
			return fmt.Errorf("repl: %w", err)
		}
		defer f.Close()
		err = sh.Script(ctx, o.Script, f)
	}
	if errors.Is(err, ErrQuit) {
		return nil
	}
	return err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
