// Package pyenv finds the folders of Python's packages without running Python.
package pyenv

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Packages returns the folders of packages of the Python environment in folder prefix, the newest Python's first:
// PREFIX/lib/python3.12/site-packages. Debian's own are called dist-packages.
func Packages(prefix string) []string {
	// The prefix isn't part of the pattern: it may hold a *.
	dirs, _ := fs.Glob(os.DirFS(prefix), "lib*/python3*/*-packages") // the pattern is right
	slices.SortStableFunc(dirs, func(a, b string) int { return minor(b) - minor(a) })
	for i, dir := range dirs {
		dirs[i] = filepath.Join(prefix, filepath.FromSlash(dir))
	}
	return dirs
}

// minor returns the 12 of lib/python3.12/...
func minor(path string) (n int) {
	_, rest, _ := strings.Cut(path, "python3.")
	number, _, _ := strings.Cut(rest, "/")
	n, _ = strconv.Atoi(number) // 0: not so
	return n
}

// Prefix returns the folder of the environment that a program lies in: PREFIX of PREFIX/bin/pdquant. ok is false for
// the system's own programs in /bin.
func Prefix(program string) (prefix string, ok bool) {
	prefix = filepath.Dir(filepath.Dir(program))
	return prefix, filepath.Dir(prefix) != prefix
}
