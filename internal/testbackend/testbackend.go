// Package testbackend runs tests on the installed backends.
package testbackend

import (
	"os"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/pdq/backend"
)

// envVar is a variable with the backends to test on, separated by spaces. If unset: the Go backend and ONNX Runtime.
const envVar = "PDQUANT_TEST_BACKENDS"

func chosenNames() []string { return strings.Fields(os.Getenv(envVar)) }

// chosen runs f on the backends in $PDQUANT_TEST_BACKENDS, and says whether there are any.
func chosen(t *testing.T, f func(t *testing.T, b compute.Backend)) bool {
	names := chosenNames()
	for _, name := range names {
		on(t, name, f)
	}
	return len(names) > 0
}

// Each runs f on the Go backend and, if installed, on ONNX Runtime; with -short, on the fastest installed one only.
// $PDQUANT_TEST_BACKENDS names others.
func Each(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	if chosen(t, f) {
		return
	}
	if testing.Short() {
		on(t, "auto", f)
		return
	}
	on(t, "go", f)
	on(t, "onnx", f)
}

// One runs f on the faster installed one of these backends, for long tests in which the backend matters little. The
// long form of the tests takes each.
func One(t *testing.T, f func(t *testing.T, b compute.Backend)) {
	if chosen(t, f) {
		return
	}
	fast := "onnx"
	if _, _, err := backend.Open(fast); err != nil {
		fast = "go"
	}
	for _, name := range []string{"go", "onnx"} {
		if name != fast && !soaked.Long() {
			t.Run(name, func(t *testing.T) { soaked.Only(t, "slow; runs on "+fast) })
			continue
		}
		on(t, name, f)
	}
}

func on(t *testing.T, name string, f func(t *testing.T, b compute.Backend)) {
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

// All returns the Go backend and, if installed, ONNX Runtime by their names, for tests that compute the same on both.
// $PDQUANT_TEST_BACKENDS names others.
func All(t testing.TB) map[string]compute.Backend {
	t.Helper()
	names := chosenNames()
	if len(names) == 0 {
		names = []string{"go", "onnx"}
	}
	all := map[string]compute.Backend{}
	for _, name := range names {
		b, note, err := backend.Open(name)
		if err != nil && name == "onnx" {
			t.Logf("no ONNX Runtime: %v", err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		t.Log(note)
		all[name] = b
	}
	return all
}

// Any returns the fastest installed backend, for tests in which the backend doesn't matter.
func Any(t testing.TB) compute.Backend {
	t.Helper()
	b, note, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(note)
	return b
}
