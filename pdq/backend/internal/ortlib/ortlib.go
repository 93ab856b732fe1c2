// Package ortlib says where the shared library of ONNX Runtime is installed.
package ortlib

import (
	"os"
	"path/filepath"
	"runtime"
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

func name() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime.1.dylib"
	}
	return "libonnxruntime.so.1"
}
