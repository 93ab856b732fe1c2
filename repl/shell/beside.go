package shell

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// Look is what a shell may be asked while it runs a command. It knows the state from before that command.
type Look struct {
	Complete func(text string) (start int, candidates []string) // see Shell.Insertions
	Inspect  func(code string, cursor int) Value                // see Shell.Inspect
}

// Look returns a look at the shell. Other goroutines may call it.
func (sh *Shell[S]) Look() Look { return *sh.looks.Load() }

// look makes Look know the state as it is.
func (sh *Shell[S]) look() {
	is := &Shell[S]{State: sh.State, language: sh.language, commands: sh.commands}
	sh.looks.Store(&Look{is.Insertions, is.Inspect})
}

// keeping is how a shell saves by itself.
type keeping struct {
	folder string        // "": it doesn't
	every  time.Duration // from one time to the next within a command
	last   time.Time
}

// KeepIn chooses the folder in which Keep and Call.Keep save, and the time between two calls of the latter that do.
func (sh *Shell[S]) KeepIn(folder string, every time.Duration) {
	sh.keeping = keeping{folder, every, time.Now()}
}

// Keep saves what would be lost, without showing anything. It does nothing if nothing would be.
func (sh *Shell[S]) Keep(ctx context.Context) error {
	words := sh.unsaved(sh.keeping.folder)
	if len(words) == 0 {
		return nil
	}
	return sh.silently(func() error { return sh.Run(ctx, words) })
}

// Keep saves the state that a command which goes on has come to, where the shell saves by itself, and it is time.
func (c *Call[S]) Keep(s S) {
	sh := c.shell
	if !sh.keeping.on() || time.Since(sh.keeping.last) < sh.keeping.every || sh.language.Rescue == nil {
		return
	}
	words := sh.language.Rescue(s, sh.keeping.folder)
	if len(words) == 0 {
		return
	}
	err := sh.silently(func() error {
		save, rest, err := sh.LookUp(words)
		if err == nil {
			_, err = sh.evaluate(c.Context, save, rest, s)
		}
		return err
	})
	if err != nil && c.Context.Err() == nil {
		c.Note("what was done until now can't be saved: %v", err)
	}
	sh.keeping.last = time.Now()
}

// Keeps says whether the shell saves by itself, so that a long command should call Keep now and then.
func (c *Call[S]) Keeps() bool { return c.shell.keeping.on() }

func (k keeping) on() bool { return k.folder != "" }

// silently runs commands that show nothing, and aren't part of the history.
func (sh *Shell[S]) silently(run func() error) error {
	display, shown, table, depth := sh.display, sh.shown, sh.table, sh.depth
	sh.display, sh.shown, sh.depth = silent{}, transcript{}, depth+1
	defer func() { sh.display, sh.shown, sh.table, sh.depth = display, shown, table, depth }()
	return run()
}

// silent is a Display that shows nothing.
type silent struct{}

func (silent) Show(Value) error { return nil }
func (silent) Note(string)      {}
func (silent) Stderr(string)    {}
func (silent) Fail(error)       {}
func (silent) Progress(Step)    {}
func (silent) Done()            {}
func (silent) Clear()           {}

// HistoryFile returns the file that keeps the lines typed at a prompt; "": none.
func (sh *Shell[S]) HistoryFile() string {
	home, err := os.UserHomeDir()
	if err != nil || sh.language.History == "" {
		return ""
	}
	return filepath.Join(home, sh.language.History)
}
