package commands

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/repl/shell"
)

// TestGridCommand: a table of each method, which the same command shows again from what is kept.
func TestGridCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "grid")
	line := "grid methods='nearest; nearest Scales.Power=2' bits=2/2,4/8 seeds=2 images=8 test=40 " +
		"all='Scales.Candidates=10' out=" + out
	var first string
	for _, backend := range []string{" backend=go", ""} { // "": that of the first time
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), shell.Invocation{Given: true, Line: line + backend}, strings.NewReader(""), &stdout,
			&stderr); err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		for _, want := range []string{"full precision", "W2A2", "W4A8", "nearest rounding Scales.Power=2", "results.tsv",
			"standard error"} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("no %q in\n%s", want, stdout.String())
			}
		}
		if first == "" {
			first = stdout.String()
		} else if first != stdout.String() {
			t.Errorf("again another table:\n%s\n%s", first, stdout.String())
		}
	}
}
