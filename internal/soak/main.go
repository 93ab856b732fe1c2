// Command soak runs the tests that take too long for every run of the tests, for an hour or two: fuzzing of every
// parser, and all tests in their long forms, among them a process that is killed a hundred times, and long loops that
// must leave no memory or goroutines. It writes a report:
//
//	go run ./internal/soak                     # 10 minutes of fuzzing for each parser, two at a time
//	go run ./internal/soak -fuzz=30s -out=     # a short run, without report
package main

import (
	"context"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// task is a run of go test.
type task struct {
	name string
	args []string
}

// outcome is a line of the report.
type outcome struct {
	task
	passed bool
	took   time.Duration
	detail string // from its output
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("soak", flag.ExitOnError)
	fuzz := f.Duration("fuzz", 10*time.Minute, "time to fuzz each parser")
	side := f.Int("side", 2, "number of tests at the same time")
	out := f.String("out", "testdata/soak.tsv", "file of the report; empty: only print it")
	_ = f.Parse(args) // exits on an error
	if *side < 1 {
		return fmt.Errorf("soak: -side=%d; give 1 or more", *side)
	}
	all, err := tasks(ctx, *fuzz)
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards outcomes and what is printed
	var outcomes []outcome
	var g errgroup.Group
	g.SetLimit(*side)
	for _, t := range all {
		g.Go(func() error {
			o := t.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			outcomes = append(outcomes, o)
			fmt.Printf("%s: passed %t, %.0f s, %s\n", o.name, o.passed, o.took.Seconds(), o.detail)
			return nil
		})
	}
	_ = g.Wait() // no error: failures are in outcomes
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(report(outcomes, *out), failures(outcomes))
}

// tasks returns the long tests, and each fuzz test.
func tasks(ctx context.Context, fuzz time.Duration) ([]task, error) {
	all := []task{
		{"TestKilled", []string{"-run=^TestKilled$", "-v", "-timeout=60m", "./repl/commands"}},
		{"TestLeaks", []string{"-run=^TestLeaks$", "-v", "-timeout=60m", "./pdq"}},
		{"long forms", []string{"-skip=^(TestKilled|TestLeaks)$", "-timeout=120m", "./..."}},
	}
	tested := `{{if .TestGoFiles}}{{.ImportPath}}{{end}}`
	listed, err := exec.CommandContext(ctx, "go", "list", "-f", tested, "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("soak: go list: %w", err)
	}
	for _, pkg := range strings.Fields(string(listed)) {
		names, err := exec.CommandContext(ctx, "go", "test", "-list=^Fuzz", pkg).Output()
		if err != nil {
			return nil, fmt.Errorf("soak: go test -list %s: %w", pkg, err)
		}
		for _, name := range strings.Fields(string(names)) {
			if strings.HasPrefix(name, "Fuzz") {
				all = append(all, task{name, []string{"-run=^$", "-fuzz=^" + name + "$", "-fuzztime=" + fuzz.String(),
					"-fuzzminimizetime=5s", "-parallel=1", pkg}})
			}
		}
	}
	return all, nil
}

// run runs t. The detail has the parts of its output that say how much it did.
func (t task) run(ctx context.Context) outcome {
	start := time.Now()
	c := exec.CommandContext(ctx, "go", append([]string{"test", "-count=1"}, t.args...)...)
	c.Env = append(os.Environ(), "PDQUANT_SOAK=1")
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // from a terminal, it has one already
	c.WaitDelay = 10 * time.Second
	text, err := c.CombinedOutput()
	o := outcome{task: t, passed: err == nil, took: time.Since(start)}
	var details []string
	for line := range strings.Lines(string(text)) {
		if m := regexp.MustCompile(`_test\.go:\d+: (.*(processes|MiB).*)`).FindStringSubmatch(line); m != nil {
			details = append(details, m[1])
		} else if m := regexp.MustCompile(`execs: \d+`).FindString(line); m != "" {
			details = []string{m}
		}
	}
	if !o.passed {
		details = append(details, strings.ReplaceAll(string(text), "\n", " | "))
	}
	o.detail = strings.Join(details, "; ")
	return o
}

// report writes the outcomes as a table to path, unless path is empty.
func report(outcomes []outcome, path string) error {
	if path == "" {
		return nil
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = '\t'
	_ = w.Write([]string{"test", "passed", "seconds", "detail", "go", "processors", "date"}) // w.Error has the error
	for _, o := range outcomes {
		_ = w.Write([]string{o.name, fmt.Sprint(o.passed), fmt.Sprintf("%.0f", o.took.Seconds()), o.detail,
			runtime.Version(), fmt.Sprint(runtime.NumCPU()), time.Now().UTC().Format(time.DateOnly)})
	}
	w.Flush()
	return errors.Join(w.Error(), atomicfile.WriteBytes(path, []byte(b.String())))
}

func failures(outcomes []outcome) error {
	var failed []string
	for _, o := range outcomes {
		if !o.passed {
			failed = append(failed, o.name)
		}
	}
	if failed == nil {
		return nil
	}
	return fmt.Errorf("soak: failed: %s", strings.Join(failed, ", "))
}
