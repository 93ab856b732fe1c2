package commands

import (
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/pdquant/pdquant/internal/killpoint/killtest"
)

// killSeed draws the file operations of TestKillSave.
var killSeed = flag.Uint64("kill.seed", 0, "seed that draws the file operations to kill at; 0: the time")

// killSession is a session whose rounding of a unit is under way.
func killSession(t *testing.T) *rig {
	t.Helper()
	sh, _ := testShell(t, "set seed=2", "logits; scales weights; name b; scales acts conv1; step conv1 n=1")
	return sh
}

// TestKillSaveProcess is a process that TestKillSave kills.
func TestKillSaveProcess(t *testing.T) {
	dir := os.Getenv(killtest.Folder)
	if dir == "" {
		t.Skip("for TestKillSave alone")
	}
	if err := killSession(t).Line(t.Context(), "save "+dir); err != nil {
		t.Fatal(err)
	}
}

// TestKillSave: where save was killed before any one of its file operations, or the disk was full there, the folder has
// the older session or the newer one, whole, and after another save the files of one that nothing disturbed.
func TestKillSave(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a test of its own and runs it 10 times; run without -short")
	}
	older := t.TempDir()
	testShell(t, "logits; scales weights; name a; eval n=20; save "+older)
	before := func(t *testing.T, dir string) {
		t.Helper()
		if err := os.CopyFS(dir, os.DirFS(older)); err != nil && !strings.Contains(err.Error(), "exists") {
			t.Fatal(err)
		}
	}
	newer := killSession(t)
	var mu sync.Mutex // guards newer
	killtest.Anywhere(t, "TestKillSaveProcess", *killSeed, 5, before, func(t *testing.T, dir, whole string) {
		sh, _ := testShell(t, "resume "+dir)
		if score := sh.State.score; (score != nil) == (sh.State.config.Seed == 2) {
			t.Errorf("seed %d with the other session's score", sh.State.config.Seed)
		}
		mu.Lock()
		defer mu.Unlock()
		if err := newer.Line(t.Context(), "save "+dir); err != nil {
			t.Fatal(err)
		}
		killtest.Same(t, dir, whole)
	})
}
