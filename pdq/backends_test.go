package pdq

import (
	"os"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/pdq/backend"
)

// backendsEnv names the backends to test on, separated by spaces; unset, the Go backend and ONNX Runtime.
const backendsEnv = "PDQUANT_TEST_BACKENDS"

// onChosen runs f on the backends that $PDQUANT_TEST_BACKENDS names, and says whether there are any.
func onChosen(t *testing.T, f func(t *testing.T, b compute.Backend)) bool {
	chosen := strings.Fields(os.Getenv(backendsEnv))
	for _, name := range chosen {
		onBackend(t, name, f)
	}
	return len(chosen) > 0
}

// eachBackend runs f on the Go backend, and on ONNX Runtime where its library is; a short test, where it is, on that
// only. $PDQUANT_TEST_BACKENDS names others.
func eachBackend(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	if onChosen(t, f) {
		return
	}
	if testing.Short() {
		onBackend(t, "auto", f)
		return
	}
	onBackend(t, "go", f)
	onBackend(t, "onnx", f)
}

// oneBackend runs f on the fastest backend here, for long tests in which the backend isn't the point. Their long form
// takes each.
func oneBackend(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	if onChosen(t, f) {
		return
	}
	fast := "onnx"
	if _, _, err := backend.Open(fast); err != nil {
		fast = "go"
	}
	for _, name := range []string{"go", "onnx"} {
		if name != fast && !soaked.Long() {
			t.Run(name, func(t *testing.T) { soaked.Only(t, "slow, and the same on "+fast) })
			continue
		}
		onBackend(t, name, f)
	}
}

func onBackend(t *testing.T, name string, f func(t *testing.T, b compute.Backend)) {
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
