// Command notebooks executes the notebooks of this repository, fails if a cell does, and writes the executed
// copies and HTML that needs no network:
//
//	go run ./internal/notebooks                 # all, with few images and steps
//	go run ./internal/notebooks -setting=desk -minutes=60 paper_tables
//	go run ./internal/notebooks -open           # in Jupyter, to change and run them by hand
//
// It needs Debian's jupyter-nbconvert and jupyter-client; the kernel it builds itself.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("notebooks", flag.ExitOnError)
	setting := f.String("setting", "quick", "how much is computed: quick checks that all of it runs, desk takes two "+
		"cores a few hours, full is the paper's, for days")
	minutes := f.Float64("minutes", 0, "when to begin no further computation of a notebook that compares methods; 0: "+
		"no limit. What was computed is kept")
	out := f.String("out", "runs/notebooks", "folder for the executed notebooks and HTML")
	open := f.Bool("open", false, "open them in Jupyter instead, with Debian's jupyter-notebook")
	update := f.Bool("update", false, "also replace the notebooks by the executed ones")
	_ = f.Parse(args) // it exits
	names := f.Args()
	if len(names) == 0 {
		var err error
		if names, err = filepath.Glob("notebooks/*.ipynb"); err != nil || len(names) == 0 {
			return errors.Join(err, errors.New("notebooks: none in notebooks/; start in the repository's root"))
		}
	}
	jupyter, err := newJupyter(ctx, *setting, *minutes)
	if err != nil {
		return err
	}
	if *open {
		return jupyter.open(ctx)
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	for _, name := range names {
		path := filepath.Join("notebooks", strings.TrimSuffix(filepath.Base(name), ".ipynb")+".ipynb")
		start := time.Now()
		executed, err := jupyter.execute(ctx, path, *out)
		if err != nil {
			return err
		}
		if err := jupyter.html(ctx, executed); err != nil {
			return err
		}
		if *update {
			if err := replace(path, executed); err != nil {
				return err
			}
		}
		fmt.Printf("%s: %.0f s\n", executed, time.Since(start).Seconds())
	}
	return nil
}

// replace writes the executed notebook in the place of the one at path.
func replace(path, executed string) error {
	data, err := os.ReadFile(executed)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	return nil
}
