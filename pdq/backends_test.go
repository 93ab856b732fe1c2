package pdq

import (
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/pdq/backend"
)

// eachBackend runs f on the Go backend, and on ONNX Runtime where its library is.
func eachBackend(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	for _, name := range []string{"go", "onnx"} {
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
