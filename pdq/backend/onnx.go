package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute-onnx/support/onnxruntime"

	"github.com/pdquant/pdquant/pdq/backend/internal/ortlib"
)

const (
	libraryEnv   = "ONNXRUNTIME_SHARED_LIBRARY_PATH"
	onnxRemedy   = `"make onnxruntime" installs it`
	loadRemedy   = `check the options, or install another library with "make onnxruntime"`
	maxGraphs    = 8 // computed at the same time: compute-onnx keeps this number of sessions
	nativeRemedy = "rebuild with CGO_ENABLED=1 and a C compiler, on Linux or macOS"
)

// onnxConfig is what follows "onnx:" in a name.
type onnxConfig struct {
	library string   // path of the shared library; "" if not given
	onCPU   bool     // whether no other execution provider was asked for
	options []string // the rest, with the defaults added
}

func parseONNX(options string) onnxConfig {
	c := onnxConfig{onCPU: true}
	threads := false
	for o := range strings.SplitSeq(options, ",") {
		key, _, isPair := strings.Cut(strings.ToLower(strings.TrimSpace(o)), "=")
		switch {
		case key == "" || key == "cpu":
			continue
		case !isPair && isLibrary(o):
			c.library = strings.TrimSpace(o)
			continue
		case slices.Contains([]string{"cuda", "gpu", "migraphx", "rocm", "amd"}, key):
			c.onCPU = false
		case strings.HasPrefix(key, "intra"):
			threads = true
		}
		c.options = append(c.options, strings.TrimSpace(o))
	}
	if c.onCPU {
		// Explicit, because compute-onnx would run nvidia-smi to decide.
		c.options = slices.Insert(c.options, 0, "cpu")
		if !threads {
			c.options = append(c.options, fmt.Sprintf("intra_threads=%d", defaultThreads()))
		}
	}
	return c
}

// defaultThreads returns one thread for each graph, so that graphs are computed at the same time; on more than
// maxGraphs processors, as many as maxGraphs graphs need to use them all.
func defaultThreads() int { return (runtime.GOMAXPROCS(0) + maxGraphs - 1) / maxGraphs }

func isLibrary(s string) bool {
	return strings.ContainsAny(s, `/\`) || strings.Contains(s, ".so") || strings.Contains(s, ".dylib")
}

func openONNX(options string) (compute.Backend, string, error) {
	if !native {
		return nil, "", &openError{"onnx", errors.New("built without cgo"), nativeRemedy}
	}
	c := parseONNX(options)
	var err error
	if c.library == "" && c.onCPU {
		c.library, err = findONNX()
	} else if c.library != "" {
		c.library, err = checkLibrary(c.library)
	}
	if err != nil {
		return nil, "", &openError{"onnx", err, onnxRemedy}
	}
	// Without a path, compute-onnx finds a library that has the execution provider.
	config := strings.Join(append([]string{c.library}, c.options...), ",")
	b, version, err := newONNX(strings.TrimPrefix(config, ","))
	if err != nil {
		return nil, "", &openError{"onnx", err, loadRemedy}
	}
	library := loadedLibrary()
	if library == "" {
		library = c.library
	}
	note := fmt.Sprintf("onnx: ONNX Runtime %s at %s, %s", version, library, strings.Join(c.options, ", "))
	if asked, err := filepath.EvalSymlinks(c.library); err == nil && asked != library {
		note += fmt.Sprintf("; not %s: a process loads ONNX Runtime once", c.library)
	}
	return b, note, nil
}

// findONNX returns the library for the name "onnx". If the environment variable is set, nothing else is tried.
func findONNX() (string, error) {
	if path := os.Getenv(libraryEnv); path != "" {
		path, err := checkLibrary(path)
		if err != nil {
			return "", fmt.Errorf("$%s: %w", libraryEnv, err)
		}
		return path, nil
	}
	var paths []string
	if program, err := os.Executable(); err == nil {
		paths = append(paths, ortlib.Beside(program)...)
	}
	if path, err := ortlib.Path(); err == nil {
		paths = append(paths, path)
	}
	dir, err := onnxruntime.GetInstallPath()
	if file, err2 := onnxruntime.GetLibFilename(); err == nil && err2 == nil {
		paths = append(paths, filepath.Join(dir, file))
	}
	for _, path := range paths {
		if path, err := checkLibrary(path); !errors.Is(err, fs.ErrNotExist) {
			return path, err
		}
	}
	return "", errors.New("ONNX Runtime is not installed")
}

// checkLibrary returns the absolute path of a library file that exists.
func checkLibrary(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("no library: %w", err)
	case info.IsDir():
		return "", fmt.Errorf("%s is a folder, not a library", path)
	case strings.ContainsAny(path, ",="):
		return "", fmt.Errorf("%s: GoMLX takes no path with a comma or an equals sign; rename it", path)
	}
	return path, nil
}

// loadedLibrary returns the path of the ONNX Runtime that this process has loaded, or "" if the system doesn't say.
func loadedLibrary() string {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(maps) {
		if i := bytes.IndexByte(line, '/'); i >= 0 {
			path := string(bytes.TrimSpace(line[i:]))
			if strings.HasPrefix(filepath.Base(path), "libonnxruntime.") {
				return path
			}
		}
	}
	return ""
}
