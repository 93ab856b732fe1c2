package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errInterrupted is the error of a program that ended because this one was asked to.
var errInterrupted = errors.New("interrupted")

// patience is how long a program that is asked to end may take.
const patience = 4 * time.Second

// program is a command in a process group of its own, so that Ctrl-C reaches this process alone. When ctx ends, it is
// asked to end by SIGTERM, and killed if it takes too long.
type program struct {
	*exec.Cmd
	started []int // what it has started when ctx ended
}

func newProgram(ctx context.Context, env []string, name string, args ...string) *program {
	p := &program{Cmd: exec.CommandContext(ctx, name, args...)}
	p.Env = append(os.Environ(), env...)
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.WaitDelay = patience
	p.Cancel = func() error {
		p.started = descendants(p.Process.Pid)
		return p.Process.Signal(syscall.SIGTERM)
	}
	return p
}

// killRest kills what an interrupted program leaves behind: Jupyter's kernels, which are in sessions of their own, and
// the programs of their cells.
func (p *program) killRest() {
	for _, pid := range p.started {
		_ = syscall.Kill(pid, syscall.SIGKILL) // those that have ended are no loss
	}
}

// descendants lists the processes that a process has started, and those that they have. It finds them on Linux only.
func descendants(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // elsewhere there are none
	children := map[int][]int{}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(data), ") ") // behind the program's name
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		children[parent] = append(children[parent], child)
	}
	for next := []int{pid}; len(next) > 0; {
		found := children[next[0]]
		next = append(next[1:], found...)
		all = append(all, found...)
	}
	return all
}

// command runs a program to its end. What it prints is in the error.
func command(ctx context.Context, env []string, name string, args ...string) error {
	p := newProgram(ctx, env, name, args...)
	text, err := p.CombinedOutput()
	p.killRest()
	if ctx.Err() != nil {
		return fmt.Errorf("notebooks: %w in %s", errInterrupted, filepath.Base(name))
	}
	if err != nil {
		return fmt.Errorf("notebooks: %s: %w\n%s", strings.Join(p.Args, " "), err, text)
	}
	return nil
}
