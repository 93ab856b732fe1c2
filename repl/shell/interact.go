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
	"time"

	"github.com/chzyer/readline"
)

// interact reads and runs lines at a prompt on the terminal. With rc, the language's file of commands runs first.
func (sh *Shell[S]) interact(rc bool) (err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return fmt.Errorf("repl: no home folder for history and ~/%s: %w", sh.language.RC, err)
	}
	// Before anything that can wait or fail: a terminal that goes away sends SIGHUP, and writing to it may send SIGPIPE.
	ctx, stop := untilSignal(syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a failed write is an error, not the end
	rl, err := sh.readline(home)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rl.Close()) }()
	context.AfterFunc(ctx, func() { _ = rl.Close() }) // ends what waits for a line
	sh.show(sh.display, Text(sh.language.Welcome))
	if rc {
		if err := sh.runRC(ctx, filepath.Join(home, sh.language.RC)); errors.Is(err, ErrQuit) {
			return nil
		} else if err != nil {
			sh.tell(err)
		}
	}
	err = sh.prompt(ctx, rl)
	if errors.Is(err, errGone) || ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return sh.rescue(err)
	}
	return err
}

func (sh *Shell[S]) readline(home string) (*readline.Instance, error) {
	var rl *readline.Instance
	config := &readline.Config{
		Prompt: sh.language.Prompt(sh.State), HistoryFile: filepath.Join(home, sh.language.History), HistoryLimit: 10000,
		HistorySearchFold: true, AutoComplete: completer[S]{sh}, InterruptPrompt: "^C", EOFPrompt: "quit",
		FuncFilterInputRune: func(r rune) (rune, bool) {
			if sh.asking.Load() { // here, because this goroutine writes the history
				rl.HistoryDisable()
			} else {
				rl.HistoryEnable()
			}
			if r == readline.CharInterrupt && rl.Operation.IsInCompleteMode() {
				rl.Operation.ExitCompleteMode(true) // so that Ctrl-C drops the line, and not only the list below it
			}
			return r, true
		},
	}
	var err error
	if rl, err = readline.NewEx(config); err != nil {
		return nil, fmt.Errorf("repl: %w", err)
	}
	return rl, nil
}

// errGone says that the terminal went away.
var errGone = errors.New("the terminal went away")

// rescue keeps what would be lost, and returns the cause with what keeping it failed by.
func (sh *Shell[S]) rescue(cause error) error {
	words := sh.unsaved("")
	if len(words) == 0 {
		return cause
	}
	return errors.Join(cause, sh.Run(context.Background(), words))
}

// unsaved returns the command that keeps what would be lost in a folder; nil: nothing would be.
func (sh *Shell[S]) unsaved(folder string) []string {
	if sh.language.Rescue == nil || sh.language.Same(sh.saved, sh.State) {
		return nil
	}
	return sh.language.Rescue(sh.State, folder)
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
		case err != nil:
			if gone(ctx) {
				return errGone
			}
			if !errors.Is(err, io.EOF) {
				return errors.Join(errGone, fmt.Errorf("repl: %w", err))
			}
			line = "quit"
		}
		if strings.TrimSpace(line) == "" {
			line = last
		}
		err = sh.interruptible(ctx, line)
		if errors.Is(err, ErrQuit) {
			leave, err := sh.mayLeave(ctx, rl)
			if leave || err != nil {
				return err
			}
			continue
		}
		if err != nil {
			sh.tell(err)
		}
		if last = ""; err == nil && sh.repeats(line) {
			last = line
		}
	}
	return nil
}

// gone says whether the terminal went away, of which the signal may come later than the end of its input.
func gone(ctx context.Context) bool {
	if columns, _ := screen(os.Stdin); columns == 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return true
	case <-time.After(200 * time.Millisecond):
		return false
	}
}

// mayLeave asks what to do with work that isn't saved. It is errGone if nobody can answer.
func (sh *Shell[S]) mayLeave(ctx context.Context, rl *readline.Instance) (bool, error) {
	words := sh.unsaved("")
	if len(words) == 0 {
		return true, nil
	}
	rl.SetPrompt("There is unsaved work. Save it? [y]es, [n]o, [c]ancel: ")
	sh.asking.Store(true)
	defer sh.asking.Store(false)
	for ctx.Err() == nil {
		answer, err := rl.Readline()
		if errors.Is(err, readline.ErrInterrupt) {
			return false, nil
		}
		if err != nil && gone(ctx) {
			return false, errGone
		}
		if err != nil { // Ctrl-D again
			answer = "yes"
		}
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			if err := sh.rescue(nil); err != nil {
				sh.tell(err)
				return false, nil // as long as it isn't saved
			}
			return true, nil
		case "n", "no":
			return true, nil
		case "c", "cancel":
			return false, nil
		}
	}
	return false, errGone
}

// tell notes why a line ended.
func (sh *Shell[S]) tell(err error) {
	if errors.Is(err, context.Canceled) {
		sh.display.Note(sh.Interrupted())
	} else {
		sh.display.Fail(err)
	}
}

// Interrupted says what an interruption of the last command left.
func (sh *Shell[S]) Interrupted() string {
	if sh.kept {
		return "interrupted; what was finished is kept, undo takes it back"
	}
	return "interrupted"
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
