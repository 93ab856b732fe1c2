package pdq

import (
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/pdq/backend"
)

// eachBackend runs f on the Go backend, and on ONNX Runtime where its library is; a short test, where it is, on that only.
func eachBackend(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	names := []string{"go", "onnx"}
	if testing.Short() {
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
