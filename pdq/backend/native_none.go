//go:build !cgo || !(linux || darwin)

package backend

import (
	"errors"

	"github.com/gomlx/compute"
)

// native says whether this binary can load ONNX Runtime and XLA.
const native = false

func newONNX(string) (compute.Backend, string, error) { return nil, "", errors.ErrUnsupported }

func intraThreads(compute.Backend) (int, bool) { return 0, false }

func newXLA(string, string) (compute.Backend, string, error) { return nil, "", errors.ErrUnsupported }

// Model is an ONNX model. This build can't run any.
type Model struct{}

// OpenModel returns an error: this build can't load ONNX Runtime.
func OpenModel([]byte, ModelOptions) (*Model, error) {
	return nil, &openError{"ONNX model", errors.New("built without cgo"), nativeRemedy}
}

// OpenModelFile returns an error, as OpenModel.
func OpenModelFile(string, ModelOptions) (*Model, error) { return OpenModel(nil, ModelOptions{}) }

func (*Model) batch(int) ([]int, error) { return nil, errors.ErrUnsupported }

// LoadRuntime returns an error, as OpenModel.
func LoadRuntime() error {
	_, err := OpenModel(nil, ModelOptions{})
	return err
}

// Run returns an error.
func (*Model) Run([]float32, ...int) ([]float32, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (*Model) Close() error { return nil }

// RuntimeVersion returns "".
func RuntimeVersion() string { return "" }
