// Package soaked tells tests which form to take: the usual one, or the long one that "make soak" runs. It is for tests
// only.
package soaked

import (
	"os"
	"testing"
)

// Long tells if tests take their long forms.
func Long() bool { return os.Getenv("PDQUANT_SOAK") != "" }

// Only skips t unless tests take their long forms, with the reason why it is one of them.
func Only(t testing.TB, reason string) {
	t.Helper()
	if !Long() {
		t.Skip(reason + "; make soak runs it")
	}
}
