package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/chzyer/readline"
)

// interact is the shell at a prompt, on the terminal. With rc, ~/.pdqrc runs first.
func interact(rc bool) (err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return fmt.Errorf("repl: no home folder for history and ~/.pdqrc: %w", err)
	}
	sh, err := newShell(os.Stdout, os.Stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sh.close()) }()
	rl, err := readline.NewEx(&readline.Config{
		Prompt: sh.state.prompt(), HistoryFile: filepath.Join(home, ".pdq_history"), HistoryLimit: 10000, HistorySearchFold: true,
		AutoComplete: completer{sh}, InterruptPrompt: "^C", EOFPrompt: "quit",
	})
	if err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	defer func() { err = errors.Join(err, rl.Close()) }()
	ctx, stop := untilSignal(syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, func() { _ = rl.Close() }) // ends what waits for a line
	fmt.Fprintln(sh.out, "pdquant: PD-Quant step by step. help lists the commands, Tab completes, Ctrl-D leaves.")
	if rc {
		if err := sh.rc(ctx, filepath.Join(home, ".pdqrc")); errors.Is(err, errQuit) {
			return nil
		} else if err != nil {
			fmt.Fprintln(sh.err, err)
		}
	}
	err = sh.prompt(ctx, rl)
	if ctx.Err() != nil {
		return sh.keepSession(context.Cause(ctx))
	}
	return err
}

// keepSession saves what a signal would end, and returns that with what saving failed by.
func (sh *shell) keepSession(cause error) error {
	if len(sh.state.student.Weights) == 0 {
		return cause
	}
	return errors.Join(cause, sh.run(context.Background(), []string{"save", time.Now().Format("runs/ended-20060102-150405")}))
}

// prompt reads and runs lines until the end, or that of ctx.
func (sh *shell) prompt(ctx context.Context, rl *readline.Instance) error {
	last := ""
	for ctx.Err() == nil {
		rl.SetPrompt(sh.state.prompt())
		line, err := rl.Readline()
		switch {
		case errors.Is(err, readline.ErrInterrupt):
			continue // the line is dropped
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("repl: %w", err)
		}
		if strings.TrimSpace(line) == "" {
			line = last
		}
		err = sh.interruptible(ctx, line)
		if errors.Is(err, errQuit) {
			return nil
		}
		if errors.Is(err, context.Canceled) {
			fmt.Fprintln(sh.err, "interrupted; what was finished is kept, undo takes it back")
		} else if err != nil {
			fmt.Fprintln(sh.err, err)
		}
		if last = ""; err == nil && isStep(line) {
			last = line
		}
	}
	return nil
}

// isStep says whether the line is a step, which an empty line repeats, as in gdb.
func isStep(line string) bool {
	statements, err := split(line)
	if err != nil || len(statements) != 1 {
		return false
	}
	c, _, err := lookUp(statements[0])
	return err == nil && c.name == "step"
}

// interruptible runs a line that Ctrl-C ends.
func (sh *shell) interruptible(ctx context.Context, line string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return sh.line(ctx, line)
}

// rc runs the commands in the file at path, if it is there.
func (sh *shell) rc(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	defer f.Close()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return sh.script(ctx, path, f)
}
