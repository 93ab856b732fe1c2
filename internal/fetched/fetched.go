// Package fetched keeps programs of others, such as PyPI's packages, in the user's cache folder.
package fetched

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Folder returns the folder called name in pdquant's cache. fill puts what into it, unless that is there already.
func Folder(name, what string, fill func(dir string) error) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("fetched: %w", err)
	}
	dir := filepath.Join(cache, "pdquant", name)
	mark := filepath.Join(dir, "fetched") // written last
	if has, err := os.ReadFile(mark); err == nil && string(has) == what {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("fetched: %w; let XDG_CACHE_HOME name a folder that can be written", err)
	}
	if err := fill(dir); err != nil {
		return "", err
	}
	if err := os.WriteFile(mark, []byte(what), 0o644); err != nil {
		return "", fmt.Errorf("fetched: %w", err)
	}
	return dir, nil
}

// Python returns the folder of programs of a virtual environment called name that has packages of PyPI, which blanks
// separate. run runs the commands that make it, unless it is there already.
func Python(name, packages string, run func(words ...string) error) (string, error) {
	dir, err := Folder(name, packages, func(dir string) error {
		pip := []string{filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "-q"}
		if err := run("python3", "-m", "venv", dir); err != nil {
			return err
		}
		return run(append(pip, strings.Fields(packages)...)...)
	})
	return filepath.Join(dir, "bin"), err
}

// Write writes r to a new file, to the disk itself: a library that a crash cut off would load, and fail later.
func Write(path string, r io.Reader) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	return f.Sync()
}
