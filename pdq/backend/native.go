//go:build cgo && (linux || darwin)

package backend

import (
	"fmt"
	"strings"

	"github.com/gomlx/compute"
	onnxbackend "github.com/gomlx/compute-onnx"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"

	"github.com/pdquant/pdquant/pdq/backend/internal/pjrtlib"
)

// native says whether this binary can load ONNX Runtime and XLA.
const native = true

// telemetryEnv switches ONNX Runtime's telemetry off. It is on in npm's builds: it would call home, and leave files in
// the working folder and the temporary folder.
const telemetryEnv = "ORT_DISABLE_TELEMETRY"

func newONNX(config string) (b compute.Backend, version string, err error) {
	onnxbackend.EnableAutoInstall(false)
	if err := switchTelemetryOff(); err != nil {
		return nil, "", err
	}
	b, err = onnxbackend.New(config)
	if err != nil {
		return nil, "", err
	}
	return b, b.(*onnxbackend.Backend).Version(), nil
}

// intraThreads returns the number of threads for each graph of ONNX Runtime on the CPU. ok is false for other backends,
// and if ONNX Runtime decides.
func intraThreads(b compute.Backend) (n int, ok bool) {
	o, ok := b.(*onnxbackend.Backend)
	if !ok || o.ExecutionProvider().String() != "cpu" {
		return 0, false
	}
	n = o.SessionConfig().IntraOpNumThreads
	return n, n > 0
}

// newXLA opens the plugin in file path, and returns the version of its interface and its number of devices as words.
func newXLA(path, options string) (b compute.Backend, version string, err error) {
	xla.EnableAutoInstall(false)
	plugin, err := pjrt.GetPlugin(path)
	if err != nil {
		return nil, "", err
	}
	major, minor := plugin.Version()
	remark, err := pjrtlib.CheckVersion(major, minor)
	if err != nil {
		return nil, "", err
	}
	b, err = xla.New(strings.TrimSuffix(path+","+options, ","))
	if err != nil {
		return nil, "", err
	}
	return b, fmt.Sprintf("v%d.%d%s, %d devices", major, minor, remark, b.NumDevices()), nil
}
