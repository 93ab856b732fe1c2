package shell

import (
	"context"
	"os"
	"path/filepath"
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

// Keep saves what would be lost in a folder, without showing anything. It does nothing if nothing would be.
func (sh *Shell[S]) Keep(ctx context.Context, folder string) error {
	words := sh.unsaved(folder)
	if len(words) == 0 {
		return nil
	}
	display, shown, table, depth := sh.display, sh.shown, sh.table, sh.depth
	sh.display, sh.shown, sh.depth = silent{}, transcript{}, depth+1 // so that it isn't part of the history
	defer func() { sh.display, sh.shown, sh.table, sh.depth = display, shown, table, depth }()
	return sh.Run(ctx, words)
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
