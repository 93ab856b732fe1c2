//go:build cgo && (linux || darwin)

package backend

import (
	"errors"
	"fmt"
	"os"
	"slices"

	ort "github.com/yalue/onnxruntime_go"
)

// Model is an ONNX model that ONNX Runtime has loaded on the CPU. It isn't for concurrent use.
type Model struct{ session *ort.DynamicAdvancedSession }

// OpenModel loads the content of an ONNX file into ONNX Runtime: into the library that a backend has loaded, else into
// that of the backend "onnx". input and output name the model's tensors. The caller closes the model.
func OpenModel(onnx []byte, input, output string) (*Model, error) {
	return openModel(func() (*ort.DynamicAdvancedSession, error) {
		return ort.NewDynamicAdvancedSessionWithONNXData(onnx, []string{input}, []string{output}, nil)
	})
}

// OpenModelFile is OpenModel for the file at path, which may have external data in its folder.
func OpenModelFile(path, input, output string) (*Model, error) {
	return openModel(func() (*ort.DynamicAdvancedSession, error) {
		return ort.NewDynamicAdvancedSession(path, []string{input}, []string{output}, nil)
	})
}

func openModel(open func() (*ort.DynamicAdvancedSession, error)) (*Model, error) {
	err := startRuntime()
	if err == nil {
		var s *ort.DynamicAdvancedSession
		if s, err = open(); err == nil {
			return &Model{s}, nil
		}
	}
	return nil, fmt.Errorf("backend: ONNX model: %w", err)
}

// startRuntime loads the library, unless the process has.
func startRuntime() error {
	if ort.IsInitialized() {
		return nil
	}
	path := loadedLibrary()
	if path == "" {
		var err error
		if path, err = findONNX(); err != nil {
			return fmt.Errorf("%w; %s", err, onnxRemedy)
		}
	}
	if err := switchTelemetryOff(); err != nil {
		return err
	}
	ort.SetSharedLibraryPath(path)
	return ort.InitializeEnvironment(ort.WithLogLevelError())
}

// Run computes the output for an input of shape dims.
func (m *Model) Run(x []float32, dims ...int) (y []float32, err error) {
	y, err = m.run(x, dims)
	if err != nil {
		return nil, fmt.Errorf("backend: ONNX model: %w", err)
	}
	return y, nil
}

func (m *Model) run(x []float32, dims []int) (y []float32, err error) {
	shape := make(ort.Shape, len(dims))
	for i, d := range dims {
		shape[i] = int64(d)
	}
	in, err := ort.NewTensor(shape, x)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	defer func() { err = errors.Join(err, in.Destroy()) }()
	outs := []ort.Value{nil}
	if err := m.session.Run([]ort.Value{in}, outs); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, outs[0].Destroy()) }()
	out, ok := outs[0].(*ort.Tensor[float32])
	if !ok {
		return nil, errors.New("the output isn't a tensor of float32")
	}
	return slices.Clone(out.GetData()), nil
}

// Close frees what the model holds in ONNX Runtime.
func (m *Model) Close() error { return m.session.Destroy() }

// RuntimeVersion returns the version of ONNX Runtime that models are loaded into, or "" before the first.
func RuntimeVersion() string {
	if !ort.IsInitialized() {
		return ""
	}
	return ort.GetVersion()
}

func switchTelemetryOff() error {
	if _, set := os.LookupEnv(telemetryEnv); set {
		return nil
	}
	return os.Setenv(telemetryEnv, "1")
}
