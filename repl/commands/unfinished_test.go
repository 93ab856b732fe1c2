package commands

import (
	"bytes"
	"errors"
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
	return exec.Command("pdq", "demo", "teacher=resnet8", "images=8", "test=40", "steps=8", "dc=2", "finetune=8", "backend="+ofTests(), keep, "out="+dir)
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
	files := map[string]string{}
	for _, name := range []string{"nearest-rounding.safetensors", "mse-only.safetensors", "pd-quant.safetensors", "results.tsv"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(data)
	}
	var rows []string
	for line := range strings.Lines(files["results.tsv"]) {
		fields := strings.Split(line, "\t")
		rows = append(rows, strings.Join(fields[:len(fields)-2], " ")) // without seconds and bytes
	}
	files["results.tsv"] = strings.Join(rows, "\n")
	left, err := filepath.Glob(filepath.Join(dir, "*.state"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, error %v", left, err)
	}
	return files
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
		if strings.Contains(log.String(), "going on") {
			wentOn++
		}
		if err == nil { // it came to its end before it was killed
			ended++
			checkSame(t, "ended between kills", outcome(t, dir), want)
		}
	}
	_, log := finish(t, program(dir))
	checkSame(t, "after all kills", outcome(t, dir), want)
	t.Logf("of %d processes %d went on with the one before, and %d ended before they were killed", kills, wentOn, ended)
	if wentOn == 0 && !strings.Contains(log, "going on") {
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
		waitFor(t, filepath.Join(dir, "pd-quant.state")) // PD-Quant has a unit behind it
		if err := c.Process.Signal(s.signal); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); c.ProcessState.ExitCode() != s.status || !strings.Contains(log.String(), "the same command goes on from there") {
			t.Errorf("%v: status %d, error %v, printed\n%s", s.signal, c.ProcessState.ExitCode(), err, log)
		}
		if _, more := finish(t, programKeeping(dir, "keep=1000000")); !strings.Contains(more, "PD-Quant goes on after") {
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
	c, log := exec.Command("sh", "-c", "ulimit -f 600; exec pdq "+strings.Join(program(dir).Args[1:], " ")), &bytes.Buffer{}
	c.Stderr = log
	if err := c.Run(); c.ProcessState.ExitCode() != 1 {
		t.Fatalf("error %v, printed\n%s", err, log)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "file too large") || !strings.Contains(last, dir) {
		t.Errorf("the last line is %q", last)
	}
	if _, more := finish(t, program(dir)); !strings.Contains(more, "going on") {
		t.Errorf("the next process printed\n%s", more)
	}
	checkSame(t, "after a full disk", outcome(t, dir), want)
}

// TestUnfinished: a folder is one process's at a time, and an unfinished run isn't mixed with another, nor lost to it.
func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	demo := func(more string) error {
		return runLine(t.Context(), "demo teacher=resnet8 images=8 test=40 steps=2 dc=0 finetune=2 out="+dir+" backend="+ofTests()+more, io.Discard, io.Discard)
	}
	unlock, err := experiment.Folder(dir).Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo(""); err == nil || !strings.Contains(err.Error(), "is being written to by another process (") {
		t.Errorf("a locked folder: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	v := valuesOf((&engine{}).demoCommand(), "teacher=resnet8", "images=8", "test=40", "steps=2", "dc=0", "finetune=2", "backend="+ofTests(), "out="+dir)
	j, err := newDemo(v)
	if err != nil {
		t.Fatal(err)
	}
	j.methods[2].Config.Rounding.BatchSize = -1
	if err := j.do(t.Context(), "the first command", io.Discard, io.Discard); err == nil {
		t.Fatal("a batch of -1 images")
	}
	for more, want := range map[string]string{
		" seed=2": "in the calibration images: ",
		"":        "in the configuration of PD-Quant: Rounding.BatchSize=-1, now 32; finish it with: the first command",
	} {
		if err := demo(more); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("demo%s: %v, want %q", more, err, want)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "finished.json"), []byte("[{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := demo(""); err == nil || !strings.Contains(err.Error(), "anew=true") {
		t.Errorf("a damaged file: %v", err)
	}
	if err := demo(" anew=true"); err != nil {
		t.Error(err)
	}
	var record experiment.Record
	if err := experiment.Folder(dir).ReadJSON(recordFile, &record); err != nil || !strings.Contains(record.Command, " anew=false ") {
		t.Errorf("to go on with a run, its command %q would begin it anew (error %v)", record.Command, err)
	}
	if top1, ok := lastResult(experiment.Folder(dir), record); !ok {
		t.Error("a finished run has no result")
	} else if err := os.WriteFile(filepath.Join(dir, resultsFile), []byte("method\nMSE only\t0.5\t0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	} else if other, ok := lastResult(experiment.Folder(dir), record); ok {
		t.Errorf("MSE only's %s is taken for PD-Quant's, which was %s", other, top1)
	}
	if err := demo(" seed=2"); err != nil {
		t.Errorf("a finished run is replaced: %v", err)
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
	state := filepath.Join(dir, "pd-quant.state")
	waitFor(t, experiment.Previous(state))
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()                                                                    // it was killed
	err := errors.Join(os.Remove(state), os.WriteFile(state, []byte("cut"), 0o600)) // not the file of the state before, should that be the same
	if err != nil {
		t.Fatal(err)
	}
	if _, log := finish(t, program(dir)); !strings.Contains(log, "warning") || !strings.Contains(log, "PD-Quant goes on after") {
		t.Errorf("printed\n%s", log)
	}
	checkSame(t, "after damage", outcome(t, dir), want)
}
