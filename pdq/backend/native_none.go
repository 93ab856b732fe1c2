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
