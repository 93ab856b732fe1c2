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

// errInterrupted is the error of a program that ended because this one was asked to end.
var errInterrupted = errors.New("interrupted")

// patience is the time that a program may take to end when it is asked to.
const patience = 4 * time.Second

// program is a command in its own process group, so that Ctrl-C reaches only this process. When ctx ends, the command
// gets SIGTERM, and is killed if it doesn't end in time.
type program struct {
	*exec.Cmd
	started []int // the processes that it had started when ctx ended
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

// killRest kills the processes that an interrupted program leaves: Jupyter's kernels, which have their own sessions,
// and the programs of their cells.
func (p *program) killRest() {
	for _, pid := range p.started {
		_ = syscall.Kill(pid, syscall.SIGKILL) // fails if it has ended
	}
}

// descendants lists the processes that a process has started, directly or through others. It finds them only on Linux.
func descendants(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // none on other systems
	children := map[int][]int{}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		_, rest, ok := strings.Cut(string(data), ") ") // after the program's name
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

// command runs a program to its end. Its output is in the error.
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
