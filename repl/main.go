// Command repl is the shell of pdquant: PD-Quant step by step at a prompt, from scripts, or one
// command at a time:
//
//	go run ./repl                                  # a prompt; help lists the commands
//	go run ./repl demo teacher=resnet8 w=2 a=2     # one command
//	go run ./repl -e 'teacher resnet8; calib 64; run; eval'
//	go run ./repl -f script                        # or < script
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"
)

func main() { os.Exit(mainStatus(os.Args[1:])) }

// mainStatus runs the program and returns its exit status.
func mainStatus(args []string) int {
	o, err := readFlags(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	if o.interactive() && term.IsTerminal(int(os.Stdin.Fd())) {
		err = interact(o.rc)
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

// invocation is how the program was started.
type invocation struct {
	line, script string   // of -e and -f
	given        bool     // -e, be it empty
	words        []string // of one command
	rc           bool     // read ~/.pdqrc
}

// interactive says whether nothing was given to run.
func (o invocation) interactive() bool { return !o.given && o.script == "" && len(o.words) == 0 }

func readFlags(args []string, stderr io.Writer) (invocation, error) {
	var o invocation
	f := flag.NewFlagSet("repl", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.line, "e", "", "run these commands, which semicolons separate")
	f.StringVar(&o.script, "f", "", "run the commands in a file; -: standard input")
	bare := f.Bool("norc", false, "at a prompt, don't run ~/.pdqrc first")
	f.Usage = func() {
		fmt.Fprintln(stderr, "repl [flags] [command]: a shell, or one command; repl help lists them")
		f.PrintDefaults()
	}
	err := f.Parse(args)
	o.words, o.rc = f.Args(), !*bare
	f.Visit(func(x *flag.Flag) { o.given = o.given || x.Name == "e" })
	given := 0
	for _, one := range []bool{o.given, o.script != "", len(o.words) > 0} {
		if one {
			given++
		}
	}
	if err == nil && given > 1 {
		err = errors.New("repl: give commands by -e, by -f or as arguments, in one of these ways")
		fmt.Fprintln(stderr, err)
	}
	return o, err
}

// run runs what was given to run, without a prompt.
func run(ctx context.Context, o invocation, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	sh, err := newShell(stdout, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sh.close()) }()
	switch {
	case len(o.words) > 0:
		err = sh.run(ctx, o.words)
	case o.given:
		err = sh.script(ctx, "-e", strings.NewReader(o.line))
	case o.script == "" || o.script == "-":
		err = sh.script(ctx, "stdin", stdin)
	default:
		var f *os.File
		if f, err = os.Open(o.script); err != nil {
			return fmt.Errorf("repl: %w", err)
		}
		defer f.Close()
		err = sh.script(ctx, o.script, f)
	}
	if errors.Is(err, errQuit) {
		return nil
	}
	return err
}
