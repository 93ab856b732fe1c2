// Package killtest starts test processes that are killed, or find the disk full, at each of their file operations.
package killtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pdquant/pdquant/internal/soaked"
)

// Folder is the environment variable with the folder that the test process writes to; unset in other processes.
const Folder = "PDQUANT_TEST_KILL_FOLDER"

// Anywhere runs the test called process, of the package in the working folder, once undisturbed, and then for draw of
// its file operations, all with soaked.Long: once killed before the operation, once with an error of a full disk there.
// seed draws the operations; 0: the time does. before prepares a folder; check gets a folder after each disturbed
// process and the one that nothing disturbed, and must go on there. Two processes run side by side.
func Anywhere(t *testing.T, process string, seed uint64, draw int, before func(t *testing.T, dir string),
	check func(t *testing.T, dir, whole string)) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("kills processes by a signal")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	p := program{filepath.Join(t.TempDir(), "killed.test"), process}
	out, err := exec.Command("go", "test", "-tags=killpoint", "-c", "-o", p.path, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("the test that is killed can't be built: %v\n%s", err, out)
	}
	whole := t.TempDir()
	before(t, whole)
	operations, err := p.start(t, whole, 0, "")
	if err != nil {
		t.Fatal(err)
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if draw = min(draw, operations); soaked.Long() {
		draw = operations
	}
	t.Logf("%d of %d file operations, seed %d", draw, operations, seed)
	side := make(chan struct{}, 2)
	t.Run("at", func(t *testing.T) { // ends once all operations have
		for _, k := range rand.New(rand.NewPCG(seed, 0)).Perm(operations)[:draw] {
			for full, want := range map[string]string{"": "killed", "1": "no space left"} {
				t.Run(fmt.Sprintf("%d %s", k+1, want), func(t *testing.T) {
					t.Parallel()
					side <- struct{}{}
					defer func() { <-side }()
					dir := t.TempDir()
					before(t, dir)
					n, err := p.start(t, dir, k+1, full)
					if err == nil || !strings.Contains(err.Error(), want) || full == "" && n != k+1 {
						t.Fatalf("%d operations, error %v", n, err)
					}
					check(t, dir, whole)
				})
			}
		}
	})
}

// program is a test binary with kill points, and the name of the test to run.
type program struct{ path, test string }

// start runs the program to its end. at is the operation to disturb, 0 none; full says that the disk is full then.
func (p program) start(t *testing.T, dir string, at int, full string) (operations int, err error) {
	t.Helper()
	count := filepath.Join(t.TempDir(), "count")
	c := exec.CommandContext(t.Context(), p.path, "-test.run=^"+p.test+"$")
	c.Env = append(slices.Clone(os.Environ()), Folder+"="+dir, "PDQUANT_KILL_COUNT="+count,
		fmt.Sprint("PDQUANT_KILL_AT=", at), "PDQUANT_KILL_FULL="+full)
	out, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	passed, readErr := os.ReadFile(count)
	if readErr != nil {
		t.Fatal(readErr, err)
	}
	return len(passed), err
}
