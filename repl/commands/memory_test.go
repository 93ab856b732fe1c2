package commands

import (
	"strings"
	"testing"

	"github.com/pdquant/pdquant/repl/shell"
)

// TestMemoryOption: numbers without a unit are MiB; what isn't a size is an error with the remedy.
func TestMemoryOption(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "512": 512 << 20, "512MiB": 512 << 20, "4GiB": 4 << 30,
		"1.5gib": 3 << 29, "2 GiB": 2 << 30, "1TiB": 1 << 40, "64KiB": 64 << 10} {
		if got, err := memoryLimit(shell.Values{"memory": text}); err != nil || got != want {
			t.Errorf("memory=%s: %d, error %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"GiB", "-1", "4G", "4GB", "nan", "1e30", "inf", "4 4"} {
		_, err := memoryLimit(shell.Values{"memory": text})
		if err == nil || !strings.Contains(err.Error(), "memory="+text+"; give a number of MiB, or") {
			t.Errorf("memory=%s: error %v", text, err)
		}
	}
}
