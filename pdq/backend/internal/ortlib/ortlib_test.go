package ortlib

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// TestBeside: of an environment's Pythons the newest comes first, by number.
func TestBeside(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("names of Linux")
	}
	prefix := filepath.Join(t.TempDir(), "a*[b") // no pattern
	var want []string
	for _, python := range []string{"python3.12", "python3.9"} {
		path := filepath.Join(prefix, "lib", python, "site-packages", "onnxruntime", "capi", "libonnxruntime.so.1.32.0")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		want = append(want, path)
	}
	if got := Beside(filepath.Join(prefix, "bin", "pdquant")); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, program := range []string{"/bin/pdquant", filepath.Join(t.TempDir(), "bin", "pdquant")} {
		if got := Beside(program); len(got) > 0 {
			t.Errorf("%s: %q", program, got)
		}
	}
}
