package pdq

import (
	"os"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/pdq/backend"
)

// backendsEnv names the backends to test on, separated by spaces; unset, the Go backend and ONNX Runtime.
const backendsEnv = "PDQUANT_TEST_BACKENDS"

// eachBackend runs f on the Go backend, and on ONNX Runtime where its library is; a short test, where it is, on that
// only. $PDQUANT_TEST_BACKENDS names others.
func eachBackend(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	names := []string{"go", "onnx"}
	if chosen := strings.Fields(os.Getenv(backendsEnv)); len(chosen) > 0 {
		names = chosen
	} else if testing.Short() {
		names = []string{"auto"}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			b, note, err := backend.Open(name)
			if err != nil && name == "onnx" {
				t.Skipf("no ONNX Runtime: %v", err)
			} else if err != nil {
				t.Fatal(err)
			}
			t.Log(note)
			f(t, b)
		})
	}
}

// anyBackend is the fastest here, for tests for which it doesn't matter.
func anyBackend(t testing.TB) compute.Backend {
	t.Helper()
	b, note, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(note)
	return b
}
