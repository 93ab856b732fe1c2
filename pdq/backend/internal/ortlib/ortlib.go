// Package ortlib says where the shared library of ONNX Runtime is installed.
package ortlib

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Version is the release of ONNX Runtime that the project installs.
const Version = "1.30.0"

// Path returns the path of the library of this Version in the user's cache folder, whether it is there or not.
func Path() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "pdquant", "onnxruntime-"+Version, name()), nil
}

// Beside returns the libraries of PyPI's package onnxruntime in the Python environment that a program lies in, the
// newest Python's first: PREFIX/lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.1.32.0 of
// PREFIX/bin/pdquant.
func Beside(program string) []string {
	prefix := filepath.Dir(filepath.Dir(program))
	if filepath.Dir(prefix) == prefix {
		return nil // all of the system
	}
	pattern := []string{"lib", "python3*", "*-packages", "onnxruntime", "capi", "libonnxruntime.so.*"}
	if runtime.GOOS == "darwin" {
		pattern[len(pattern)-1] = "libonnxruntime.*.dylib"
	}
	// The prefix isn't part of the pattern: it may hold a *.
	paths, _ := fs.Glob(os.DirFS(prefix), filepath.ToSlash(filepath.Join(pattern...))) // the pattern is right
	slices.SortStableFunc(paths, func(a, b string) int { return minor(b) - minor(a) })
	for i, path := range paths {
		paths[i] = filepath.Join(prefix, filepath.FromSlash(path))
	}
	return paths
}

// minor returns the 12 of lib/python3.12/...
func minor(path string) (n int) {
	_, rest, _ := strings.Cut(path, "python3.")
	number, _, _ := strings.Cut(rest, "/")
	n, _ = strconv.Atoi(number) // 0: not so
	return n
}

func name() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime.1.dylib"
	}
	return "libonnxruntime.so.1"
}
