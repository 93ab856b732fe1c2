package commands

import (
	"math"
	"runtime/debug"
	"slices"
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

// TestHeapLimit: Go's heap is bounded while a grid is computed, and no longer.
func TestHeapLimit(t *testing.T) {
	for limit, want := range map[int64]int64{0: math.MaxInt64, 8 << 30: 6 << 30, 512 << 20: 1 << 30} {
		if got := heapLimit(limit); got != want {
			t.Errorf("limit %d: heap %d, want %d", limit, got, want)
		}
	}
	before := debug.SetMemoryLimit(-1)
	var out limitWriter
	line := "grid methods=nearest bits=2/2 images=8 test=40 backend=go preset=glance memory=2GiB out=" + t.TempDir()
	if err := runLine(t.Context(), line, &out, &out); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(out.limits, 3<<29) {
		t.Errorf("limits %v while the grid was computed, want 1.5 GiB among them", out.limits)
	}
	if after := debug.SetMemoryLimit(-1); after != before {
		t.Errorf("limit %d afterwards, %d before", after, before)
	}
	debug.SetMemoryLimit(1 << 30)
	defer debug.SetMemoryLimit(before)
	out.limits = nil
	if err := runLine(t.Context(), line+" anew=true", &out, &out); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(out.limits, func(l int64) bool { return l != 1<<30 }) || len(out.limits) == 0 {
		t.Errorf("limits %v, want the user's lower one, 1 GiB", out.limits)
	}
}

// limitWriter notes the limit of Go's heap at each write.
type limitWriter struct{ limits []int64 }

func (w *limitWriter) Write(p []byte) (int, error) {
	w.limits = append(w.limits, debug.SetMemoryLimit(-1))
	return len(p), nil
}
