// Package ortlib says where the shared library of ONNX Runtime is installed.
package ortlib

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pdquant/pdquant/pdq/backend/internal/pyenv"
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
func Beside(program string) (paths []string) {
	prefix, ok := pyenv.Prefix(program)
	if !ok {
		return nil
	}
	library := "libonnxruntime.so.*"
	if runtime.GOOS == "darwin" {
		library = "libonnxruntime.*.dylib"
	}
	for _, dir := range pyenv.Packages(prefix) {
		names, _ := fs.Glob(os.DirFS(dir), "onnxruntime/capi/"+library) // the pattern is right
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, filepath.FromSlash(name)))
		}
	}
	return paths
}

func name() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime.1.dylib"
	}
	return "libonnxruntime.so.1"
}
