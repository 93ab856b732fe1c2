package shell

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

	"github.com/chzyer/readline"
)

// interact reads and runs lines at a prompt on the terminal. With rc, the language's file of commands runs first.
func (sh *Shell[S]) interact(rc bool) (err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return fmt.Errorf("repl: no home folder for history and ~/%s: %w", sh.language.RC, err)
	}
	rl, err := readline.NewEx(&readline.Config{
		Prompt: sh.language.Prompt(sh.State), HistoryFile: filepath.Join(home, sh.language.History), HistoryLimit: 10000,
		HistorySearchFold: true, AutoComplete: completer[S]{sh}, InterruptPrompt: "^C", EOFPrompt: "quit",
	})
	if err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	defer func() { err = errors.Join(err, rl.Close()) }()
	ctx, stop := untilSignal(syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, func() { _ = rl.Close() }) // ends what waits for a line
	sh.show(sh.display, Text(sh.language.Welcome))
	if rc {
		if err := sh.runRC(ctx, filepath.Join(home, sh.language.RC)); errors.Is(err, ErrQuit) {
			return nil
		} else if err != nil {
			sh.display.Note(err.Error())
		}
	}
	err = sh.prompt(ctx, rl)
	if ctx.Err() != nil {
		return sh.rescue(context.Cause(ctx))
	}
	return err
}

// rescue keeps what a signal would end, and returns that with what keeping it failed by.
func (sh *Shell[S]) rescue(cause error) error {
	if sh.language.Rescue == nil {
		return cause
	}
	words := sh.language.Rescue(sh.State)
	if len(words) == 0 {
		return cause
	}
	return errors.Join(cause, sh.Run(context.Background(), words))
}

// prompt reads and runs lines until the end, or that of ctx.
func (sh *Shell[S]) prompt(ctx context.Context, rl *readline.Instance) error {
	last := ""
	for ctx.Err() == nil {
		rl.SetPrompt(sh.language.Prompt(sh.State))
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
		if errors.Is(err, ErrQuit) {
			return nil
		}
		if errors.Is(err, context.Canceled) {
			sh.display.Note("interrupted; what was finished is kept, undo takes it back")
		} else if err != nil {
			sh.display.Note(err.Error())
		}
		if last = ""; err == nil && sh.repeats(line) {
			last = line
		}
	}
	return nil
}

// repeats says whether an empty line after this one repeats it, as in gdb.
func (sh *Shell[S]) repeats(line string) bool {
	statements, err := Split(line)
	if err != nil || len(statements) != 1 {
		return false
	}
	c, _, err := sh.LookUp(statements[0])
	return err == nil && c.Name == sh.language.Repeats
}

// interruptible runs a line that Ctrl-C ends.
func (sh *Shell[S]) interruptible(ctx context.Context, line string) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return sh.Line(ctx, line)
}

// runRC runs the commands in the file at path, if it is there.
func (sh *Shell[S]) runRC(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	defer f.Close()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	return sh.Script(ctx, path, f)
}
