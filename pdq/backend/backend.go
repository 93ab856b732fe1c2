package backend

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/gobackend"

	"github.com/pdquant/pdquant/pdq/backend/internal/pjrtlib"
)

const names = "auto, go, onnx, onnx:/path/libonnxruntime.so.1, xla, xla:cpu, xla:cuda, xla:/path/plugin.so"

// Marks begin, in a note, why the backend was taken.
const (
	autoMark = " (auto: "
	envMark  = " ($" + compute.ConfigEnvVar + ")"
)

// openError says why a backend didn't open.
type openError struct {
	kind   string // "go", "onnx" or "xla"
	cause  error
	remedy string // what the user can do; "" if the cause says so
}

func (e *openError) Error() string {
	if e.remedy == "" {
		return fmt.Sprintf("backend: %s: %v", e.kind, e.cause)
	}
	return fmt.Sprintf("backend: %s: %v; %s", e.kind, e.cause, e.remedy)
}

func (e *openError) Unwrap() error { return e.cause }

// Open opens the backend called name; the package's comment lists the names. The note is a line for the user and the
// run's log: which backend it is, and why.
func Open(name string) (b compute.Backend, note string, err error) {
	if name = strings.TrimSpace(name); !isAuto(name) {
		return open(name)
	}
	if env := strings.TrimSpace(os.Getenv(compute.ConfigEnvVar)); !isAuto(env) {
		if b, note, err = open(env); err != nil {
			return nil, "", fmt.Errorf("%w ($%s)", err, compute.ConfigEnvVar)
		}
		return b, note + envMark, nil
	}
	return openFastest()
}

func isAuto(name string) bool { return name == "" || name == "auto" }

// Reopen is Open for a run that goes on. For "auto" it opens the backend that was opened with this note when the run
// began; "" is none.
func Reopen(name, note string) (compute.Backend, string, error) {
	before, _, ok := strings.Cut(note, ": ")
	if !ok || !isAuto(name) || !isAuto(os.Getenv(compute.ConfigEnvVar)) {
		return Open(name)
	}
	b, note, err := Open(before)
	if err != nil {
		return nil, "", fmt.Errorf("%w; the run was begun with it: give backend= for another", err)
	}
	return b, note, nil
}

// openFastest opens the backend that is expected to be the fastest one of those installed. The note says why.
func openFastest() (compute.Backend, string, error) {
	var reasons []string
	kinds, whose := byTime()
	if pjrtlib.This().HasNVIDIA() {
		kinds = slices.Insert(kinds, 0, "xla:cuda")
	} else {
		reasons = append(reasons, "no NVIDIA driver")
	}
	remedy := ""
	for _, kind := range kinds {
		b, note, err := open(kind)
		if err == nil {
			reasons = append(reasons, "the fastest installed")
			if whose != "" {
				reasons = append(reasons, whose)
			}
			if kind == "go" && remedy != "" {
				reasons = append(reasons, remedy)
			}
			return b, note + autoMark + strings.Join(reasons, "; ") + ")", nil
		}
		e, ok := errors.AsType[*openError](err)
		if !ok {
			return nil, "", err
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", kind, e.cause))
		remedy = cmp.Or(remedy, e.remedy)
	}
	return nil, "", fmt.Errorf("backend: auto: %s", strings.Join(reasons, "; "))
}

// WithoutPath returns a note of Open without the path of a library and the reasons of the choice, for records that
// leave the machine, and to compare backends.
func WithoutPath(note string) string {
	for _, mark := range []string{autoMark, envMark, " (xla: "} { // the last is that of older records
		note, _, _ = strings.Cut(note, mark)
	}
	short, rest, found := strings.Cut(note, " at ")
	if _, options, ok := strings.Cut(rest, ", "); found && ok {
		short += ", " + options
	}
	return short
}

// Workers returns the best number of graphs to compute at the same time on b, for pdq.MachineConfig: GOMAXPROCS on the
// Go backend; GOMAXPROCS divided by the threads of a graph on ONNX Runtime on the CPU, if their number is set; else 1.
func Workers(b compute.Backend) int {
	if b.String() == gobackend.BackendName {
		return runtime.GOMAXPROCS(0)
	}
	threads, ok := intraThreads(b)
	if !ok {
		return 1
	}
	return max(1, runtime.GOMAXPROCS(0)/threads)
}

// Devices returns the best number of b's devices, for pdq.MachineConfig: all GPUs; 1 on processors, whose devices in
// XLA share them.
func Devices(b compute.Backend) int {
	if !strings.Contains(b.Description(), "cuda") {
		return 1
	}
	return max(1, b.NumDevices())
}

// PartLimit returns the best size of a graph for a part of a batch on b, in bytes, for pdq.MachineConfig: 256 MiB on
// the Go backend and on ONNX Runtime on the CPU; else 0, none. A larger graph is slower there, since more of its data
// leaves the processor's caches.
func PartLimit(b compute.Backend) int64 {
	if _, ok := intraThreads(b); ok || b.String() == gobackend.BackendName {
		return 256 << 20
	}
	return 0
}

// Available lists the names of the backends that are installed and that this machine has the hardware for.
func Available() []string {
	list := []string{"go"}
	if !native {
		return list
	}
	if _, err := findONNX(); err == nil {
		list = append(list, "onnx")
	}
	machine := pjrtlib.This()
	plugins, _ := machine.Plugins() // an error: the variable names no plugin
	for _, p := range plugins {
		if pjrtlib.Check(p.Path) == nil && (p.Kind() != "cuda" || machine.HasNVIDIA()) {
			list = append(list, "xla:"+p.Name)
		}
	}
	return list
}

// open opens the backend called name, which isn't "auto".
func open(name string) (b compute.Backend, note string, err error) {
	kind, options, _ := strings.Cut(name, ":")
	defer func() {
		if e := panicError(recover()); e != nil {
			b, note, err = nil, "", &openError{kind, e, ""}
		}
	}()
	switch kind {
	case "go":
		return openGo(options)
	case "onnx", "onnxruntime":
		return openONNX(options)
	case "xla", "stablehlo", "hlo", "shlo":
		return openXLA(options)
	}
	return nil, "", fmt.Errorf("backend: no backend is called %q; choose one of %s", name, names)
}

// panicError makes an error of a recovered panic r, and nil of nil. Constructors of backends panic: go-xla's, for
// instance, with a nil pointer if a plugin doesn't load.
func panicError(r any) error {
	if r == nil {
		return nil
	}
	return fmt.Errorf("the backend panicked: %v", r)
}

func openGo(options string) (compute.Backend, string, error) {
	if !strings.Contains(options, "ops_") {
		options = strings.TrimPrefix(options+",ops_sequential", ",")
	}
	b, err := gobackend.New(options)
	if err != nil {
		return nil, "", &openError{"go", err, ""}
	}
	note := fmt.Sprintf("go: GoMLX's Go backend, %d threads, %s", runtime.GOMAXPROCS(0), options)
	if !simd && runtime.GOARCH == "amd64" {
		note += "; 2 to 5 times slower than if built with GOEXPERIMENT=simd"
	}
	return b, note, nil
}
