package commands

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/repl/shell"
)

// TestKeepWithinRun: a shell that saves by itself rounds to the same bits, and so does one that resumes what it saved
// before it was killed.
func TestKeepWithinRun(t *testing.T) {
	const set = "set rounding.steps=50 correction.steps=1; scales weights"
	plain, _ := testShell(t, set, "run conv1")
	sh, out := testShell(t, set)
	folder := filepath.Join(t.TempDir(), "kept")
	sh.KeepIn(folder, 0)
	before := out.Len()
	display := sh.engine.progress.display
	sh.engine.progress.display = killer{display}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the run isn't killed")
			}
		}()
		_ = sh.Line(t.Context(), "run conv1")
	}()
	sh.engine.progress.display = display
	if s := out.String()[before:]; strings.Contains(s, "saved") {
		t.Errorf("shown: %s", s)
	}
	again, _ := testShell(t, "resume "+folder)
	if unit, steps := again.State.underWay(); unit != "conv1" || steps != 40 {
		t.Errorf("resumed at step %d of %q", steps, unit)
	}
	if err := again.Line(t.Context(), "run conv1"); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.State.student, plain.State.student) {
		t.Error("a shell that saves by itself and is killed gives another student")
	}
}

// killer ends a run at step 45 of a rounding.
type killer struct{ shell.Display }

func (k killer) Progress(s shell.Step) {
	if strings.Contains(s.Name, "rounding") && s.Done == 45 {
		panic("killed")
	}
	k.Display.Progress(s)
}
