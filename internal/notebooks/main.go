// Command notebooks executes the notebooks of this repository, but for those whose data aren't here. It fails if a cell
// fails, and writes executed copies, and HTML that needs no network:
//
//	go run ./internal/notebooks                       # all, with few images and steps
//	go run ./internal/notebooks -full paper_tables    # as it stands
//	go run ./internal/notebooks -open                 # in JupyterLab, to change and run them by hand
//
// It builds the kernels. To execute, it needs jupyter-nbconvert.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pdquant/pdquant/pdq/experiment"
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
	full := f.Bool("full", false, "run them as they stand, not with few images and steps; a grid goes on where it stopped")
	update := f.Bool("update", false, "run them as they stand, and replace the notebooks by the executed ones")
	out := f.String("out", "runs/notebooks", "folder for executed notebooks, HTML and, with -full, run folders")
	open := f.Bool("open", false, "open them in JupyterLab instead, until Ctrl-C")
	_ = f.Parse(args) // exits on an error
	jupyter, err := newJupyter()
	if err != nil {
		return err
	}
	if *open {
		return jupyter.open(ctx)
	}
	if _, err := exec.LookPath("jupyter-nbconvert"); err != nil {
		return fmt.Errorf("notebooks: %w; install Debian's jupyter-nbconvert and jupyter-client", err)
	}
	names := f.Args()
	if len(names) == 0 {
		if names, err = filepath.Glob("notebooks/*.ipynb"); err != nil || len(names) == 0 {
			return errors.Join(err, errors.New("notebooks: none in notebooks/; start in the repository's root"))
		}
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	w := worker{jupyter: jupyter, folder: *out, full: *full || *update, update: *update, installed: map[string]bool{}}
	if !w.full {
		dir, err := os.MkdirTemp("", "notebooks")
		if err != nil {
			return fmt.Errorf("notebooks: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
		w.folder = filepath.Join(dir, "notebooks")
	}
	if err := withFiles(w.folder); err != nil {
		return err
	}
	for _, name := range names {
		start := time.Now()
		name = strings.TrimSuffix(filepath.Base(name), ".ipynb")
		n, err := readNotebook(filepath.Join("notebooks", name+".ipynb"))
		if err != nil {
			return err
		}
		if path := n.lacking("."); path != "" {
			fmt.Printf("%s: not executed: there is no %s, which it needs\n", name, path)
			continue
		}
		if err := w.run(ctx, name, n); err != nil {
			return err
		}
		for _, end := range []string{".ipynb", ".html"} {
			if err := copyFile(filepath.Join(*out, name+end), filepath.Join(w.folder, name+end)); err != nil {
				return err
			}
		}
		fmt.Printf("%s: %.0f s\n", name, time.Since(start).Seconds())
	}
	return nil
}

// withFiles makes folder, and links the repository's testdata and data to where they are from the folder notebooks:
// ../testdata and ../data, of which the latter may be missing.
func withFiles(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	for _, name := range []string{"testdata", experiment.DefaultRoot} {
		from, err := filepath.Abs(name)
		if err == nil {
			err = os.Symlink(from, filepath.Join(filepath.Dir(folder), name))
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("notebooks: %w", err)
		}
	}
	return nil
}

// worker executes notebooks.
type worker struct {
	*jupyter
	folder       string // that they execute in, with their run folders: a new one, but if they run in full
	full, update bool
	installed    map[string]bool // kernels
}

// run executes the notebook n, called name.
func (w worker) run(ctx context.Context, name string, n *notebook) error {
	path, executed := filepath.Join("notebooks", name+".ipynb"), filepath.Join(w.folder, name+".ipynb")
	for _, kernel := range []string{pdquant, n.kernel} { // cells in Go call pdquant's program, too
		if w.installed[kernel] {
			continue
		}
		if err := w.install(ctx, kernel); err != nil {
			return err
		}
		w.installed[kernel] = true
	}
	if !w.full {
		n.shorten()
	}
	if err := n.write(executed); err != nil {
		return err
	}
	if err := w.execute(ctx, executed, n.kernel); err != nil {
		return err
	}
	if err := w.html(ctx, executed); err != nil {
		return err
	}
	if w.update {
		return replace(path, executed)
	}
	return nil
}

// copyFile copies a file, unless both are the same.
func copyFile(to, from string) error {
	if to == from {
		return nil
	}
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	return nil
}

// replace replaces the notebook at path by the executed one, in which the user's folder is called ~.
func replace(path, executed string) error {
	data, err := os.ReadFile(executed)
	if home, e := os.UserHomeDir(); e == nil {
		data = bytes.ReplaceAll(data, []byte(home+"/"), []byte("~/"))
	}
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	return nil
}
