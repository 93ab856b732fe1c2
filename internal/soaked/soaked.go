// Package soaked tells tests whether to take their usual form, or the long one that "make soak" runs. It is for tests
// only.
package soaked

import (
	"os"
	"testing"
)

// Long says whether tests take their long forms.
func Long() bool { return os.Getenv("PDQUANT_SOAK") != "" }

// Only skips t unless tests take their long forms. reason says why t is only for these.
func Only(t testing.TB, reason string) {
	t.Helper()
	if !Long() {
		t.Skip(reason + "; make soak runs it")
	}
}
