package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/internal/fetched"
)

// open opens the notebooks in JupyterLab, which serves only this machine, until ctx ends.
func (j *jupyter) open(ctx context.Context) error {
	for _, kernel := range []string{pdquant, gonb} {
		fmt.Println("building the kernel", kernel)
		if err := j.install(ctx, kernel); err != nil {
			return err
		}
	}
	program, err := lab(ctx)
	if err != nil {
		return err
	}
	args := []string{"--ip=127.0.0.1"} // with a token, which Jupyter makes
	if os.Geteuid() == 0 {
		args = append(args, "--allow-root", "--no-browser")
	}
	p := newProgram(ctx, j.env, program, args...)
	p.Dir = "notebooks"
	p.Stdout, p.Stderr = os.Stdout, os.Stderr
	err = p.Run()
	p.killRest()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("notebooks: %s: %w", program, err)
	}
	return nil
}

// lab returns the path of a program that opens notebooks: the user's JupyterLab; else one in a virtual environment in
// the user's cache folder, which it makes; else Debian's notebook.
func lab(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("jupyter-lab"); err == nil {
		return path, nil
	}
	path, err := installLab(ctx)
	if err == nil {
		return path, nil
	}
	if ctx.Err() != nil {
		return "", err
	}
	if path, err := exec.LookPath("jupyter-notebook"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w; or install Debian's jupyter-notebook", err)
}

// installLab installs JupyterLab from PyPI in the user's cache folder, and returns its path.
func installLab(ctx context.Context) (string, error) {
	bin, err := fetched.Python("lab", "jupyterlab", func(words ...string) error {
		fmt.Println("installing JupyterLab:", strings.Join(words, " "))
		return command(ctx, nil, words[0], words[1:]...)
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(bin, "jupyter-lab"), nil
}
