package pyenv

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPackages: the newest Python comes first, by number, in a folder whose name looks like a pattern.
func TestPackages(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "a*[b")
	var want []string
	for _, dir := range []string{"lib/python3.12/site-packages", "lib64/python3.9/site-packages",
		"lib/python3/dist-packages"} {
		path := filepath.Join(prefix, filepath.FromSlash(dir))
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		want = append(want, path)
	}
	if got := Packages(prefix); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Packages(t.TempDir()); len(got) > 0 {
		t.Errorf("an empty folder gives %q", got)
	}
}
