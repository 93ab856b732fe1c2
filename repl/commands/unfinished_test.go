package commands

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// program is a demo of a few seconds as a process of its own.
func program(dir string) *exec.Cmd { return programKeeping(dir, "keep=2") }

// programKeeping is program with another number of steps between states.
func programKeeping(dir, keep string) *exec.Cmd {
	return exec.Command("pdq", "demo", "teacher=resnet8", "images=8", "test=40", "steps=8", "dc=2", "finetune=8",
		"backend="+ofTests(), keep, "out="+dir)
}

// undisturbed returns the outcome of a program that nothing disturbs, and how long it takes; run once for all tests.
func undisturbed(t *testing.T) (map[string]string, time.Duration) {
	t.Helper()
	undisturbedOnce.Do(func() {
		dir, start := filepath.Join(t.TempDir(), "whole"), time.Now()
		finish(t, program(dir))
		undisturbedTook = time.Since(start)
		undisturbedOutcome = outcome(t, dir)
	})
	if undisturbedOutcome == nil {
		t.Fatal("a program that nothing disturbs failed")
	}
	return undisturbedOutcome, undisturbedTook
}

var (
	undisturbedOnce    sync.Once
	undisturbedOutcome map[string]string
	undisturbedTook    time.Duration
)

// finish runs the program to its end and returns its report, and what it printed besides.
func finish(t *testing.T, c *exec.Cmd) (report, log string) {
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	if e := c.Run(); e != nil {
		t.Fatalf("%v: %v\n%s", c.Args, e, &err)
	}
	return out.String(), err.String()
}

// outcome is what of a folder's files must be the same, bit for bit, whatever happened on the way.
func outcome(t *testing.T, dir string) map[string]string {
	t.Helper()
	f := experiment.Folder(dir)
	results, err := f.Results()
	if err != nil || len(results) != 5 {
		t.Fatalf("%d results, error %v", len(results), err)
	}
	files := map[string]string{}
	for _, r := range results {
		r.Seconds, r.PeakMemory, r.Date = 0, 0, ""
		files[r.Method] = fmt.Sprintf("%#v", r)
		if r.Method == experiment.FullPrecision {
			continue
		}
		data, err := os.ReadFile(f.Path(r.StudentFile()))
		if err != nil {
			t.Fatal(err)
		}
		files[r.Method] += string(data)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.state"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, error %v", left, err)
	}
	return files
}

// wentOnText says whether a program took up results or a state.
func wentOnText(log string) bool {
	return strings.Contains(log, "going on") || strings.Contains(log, "goes on after")
}

func checkSame(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s is another than that of a run that nothing disturbed", what, name)
		}
	}
}

// TestKilled kills a process at random moments. Each time the same command goes on, and at the end all is as if
// nothing had happened.
func TestKilled(t *testing.T) {
	kills := 4
	switch {
	case soaked.Long():
		kills = 100
	case testing.Short():
		kills = 3
	}
	want, took := undisturbed(t)
	dir := filepath.Join(t.TempDir(), "killed")
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("undisturbed %v, seed %d", took, seed)
	wentOn, ended := 0, 0
	for k := range kills {
		c, log := program(dir), &bytes.Buffer{}
		c.Stderr = log
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rng.Float64() * float64(took))
		if k == 0 { // so that there is something to go on with
			waitFor(t, filepath.Join(dir, "*.state"))
			after = 0
		}
		timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
		err := c.Wait()
		timer.Stop()
		if wentOnText(log.String()) {
			wentOn++
		}
		if err == nil { // it came to its end before it was killed
			ended++
			checkSame(t, "ended between kills", outcome(t, dir), want)
			if err := experiment.Folder(dir).RemoveResults(); err != nil { // so that the next one has something to do
				t.Fatal(err)
			}
		}
	}
	_, log := finish(t, program(dir))
	checkSame(t, "after all kills", outcome(t, dir), want)
	t.Logf("of %d processes %d went on with the one before, and %d ended before they were killed", kills, wentOn, ended)
	if wentOn == 0 && !wentOnText(log) {
		t.Error("no process went on with a killed one's work")
	}
	if parts, err := filepath.Glob(filepath.Join(dir, "*.part")); err != nil || len(parts) > 0 {
		t.Errorf("left behind: %q, error %v", parts, err)
	}
}

// waitFor waits until there is a file that matches.
func waitFor(t *testing.T, pattern string) {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if found, err := filepath.Glob(pattern); err != nil {
			t.Fatal(err)
		} else if len(found) > 0 {
			return
		}
	}
	t.Fatalf("no %s after 5 minutes", pattern)
}

// TestSignals: a process that is asked to end keeps all its steps, says so, and exits as shells expect.
func TestSignals(t *testing.T) {
	if testing.Short() {
		t.Skip("slow under -short: TestKilled takes the same way")
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such signals")
	}
	want, _ := undisturbed(t)
	for _, s := range []struct {
		signal syscall.Signal
		status int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		dir := filepath.Join(t.TempDir(), s.signal.String())
		c, log := programKeeping(dir, "keep=1000000"), &bytes.Buffer{}
		c.Stderr = log
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		waitForUnit(t, dir)
		if err := c.Process.Signal(s.signal); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); c.ProcessState.ExitCode() != s.status ||
			!strings.Contains(log.String(), "the same command goes on from there") {
			t.Errorf("%v: status %d, error %v, printed\n%s", s.signal, c.ProcessState.ExitCode(), err, log)
		}
		if _, more := finish(t, programKeeping(dir, "keep=1000000")); !strings.Contains(more,
			"PD-Quant, seed 1 goes on after") {
			t.Errorf("%v: the next process printed\n%s", s.signal, more)
		}
		checkSame(t, s.signal.String(), outcome(t, dir), want)
	}
}

// TestDiskFull: a state that can't be written ends the run with one line, and what was written before serves.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("slow under -short: TestKilled takes the same way")
	}
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no ulimit")
	}
	want, _ := undisturbed(t)
	dir := filepath.Join(t.TempDir(), "full")
	c, log := exec.Command("sh", "-c", "ulimit -f 600; exec pdq "+strings.Join(program(dir).Args[1:], " ")),
		&bytes.Buffer{}
	c.Stderr = log
	if err := c.Run(); c.ProcessState.ExitCode() != 1 {
		t.Fatalf("error %v, printed\n%s", err, log)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "file too large") || !strings.Contains(last, dir) {
		t.Errorf("the last line is %q", last)
	}
	if _, more := finish(t, program(dir)); !wentOnText(more) {
		t.Errorf("the next process printed\n%s", more)
	}
	checkSame(t, "after a full disk", outcome(t, dir), want)
}

// waitForUnit waits until PD-Quant, which follows MSE only, has steps or a unit behind it.
func waitForUnit(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		table, _ := os.ReadFile(filepath.Join(dir, experiment.ResultsFile)) // not there yet
		states, err := filepath.Glob(filepath.Join(dir, "*.state"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), "MSE only") && len(states) > 0 {
			return
		}
	}
	t.Fatal("no state of PD-Quant after 5 minutes")
}

// TestUnfinished: a folder is one process's at a time, what is damaged is told, and results of other settings stay.
func TestUnfinished(t *testing.T) {
	f := experiment.Folder(t.TempDir())
	demo := func(more string) error {
		return runLine(t.Context(), "demo teacher=resnet8 images=8 test=40 steps=2 dc=0 finetune=0 out="+string(f)+
			" backend="+ofTests()+more, io.Discard, io.Discard)
	}
	unlock, err := f.Lock()
	if err != nil {
		t.Fatal(err)
	}
	for _, more := range []string{"", " anew=true"} {
		if err := demo(more); err == nil || !strings.Contains(err.Error(), "is being written to by another process (") {
			t.Errorf("a locked folder,%s: %v", more, err)
		}
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := demo(""); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(experiment.ResultsFile, []byte("[{")); err != nil {
		t.Fatal(err)
	}
	if err := demo(""); err == nil || !strings.Contains(err.Error(), "restore it, or choose another folder") {
		t.Errorf("a damaged table: %v", err)
	}
	if err := demo(" anew=true"); err != nil {
		t.Error(err)
	}
	var record experiment.Record
	if err := f.ReadJSON(experiment.RecordFile, &record); err != nil || !strings.Contains(record.Command, " anew=false ") {
		t.Errorf("to go on with a run, its command %q would begin it anew (error %v)", record.Command, err)
	}
	if err := demo(" seed=2"); err != nil {
		t.Error(err)
	}
	if results, err := f.Results(); err != nil || len(results) != 2*4 {
		t.Errorf("%d results of two seeds, error %v", len(results), err)
	}
	last, err := lastResults(f, record)
	if err != nil || len(last) != 2 || last[1].Method != "PD without DC" {
		t.Errorf("a finished run has the results %v, error %v", last, err)
	}
	record.Methods[2].Config.Loss.PD++
	if last, err := lastResults(f, record); err != nil || len(last) > 0 {
		t.Errorf("results of other settings are taken for the run's: %v, error %v", last, err)
	}
}

// TestDamagedState: a run goes on from the state before one that is damaged.
func TestDamagedState(t *testing.T) {
	if testing.Short() {
		t.Skip("slow under -short: TestKilled takes the same way")
	}
	want, _ := undisturbed(t)
	dir := filepath.Join(t.TempDir(), "damaged")
	c := program(dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waitForUnit(t, dir)
	waitFor(t, experiment.Previous(filepath.Join(dir, "*.state")))
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	states, err := filepath.Glob(filepath.Join(dir, "*.state"))
	if err != nil || len(states) != 1 {
		t.Fatalf("states %q, error %v", states, err)
	}
	// Not the file of the state before, should that be the same.
	err = errors.Join(os.Remove(states[0]), os.WriteFile(states[0], []byte("cut"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if _, log := finish(t, program(dir)); !strings.Contains(log, "the state") ||
		!strings.Contains(log, "PD-Quant, seed 1 goes on after") {
		t.Errorf("printed\n%s", log)
	}
	checkSame(t, "after damage", outcome(t, dir), want)
}
