//go:build unix

package experiment

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestIrregularFiles: links and pipes among a run's files are errors. A link's target stays as it is.
func TestIrregularFiles(t *testing.T) {
	f, target := Folder(t.TempDir()), filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "isn't a regular file") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if err := os.Symlink(target, f.Path(lockFile)); err != nil {
		t.Skip(err)
	}
	_, err := f.Lock()
	refused("a link as lock", err)
	if data, err := os.ReadFile(target); err != nil || !bytes.Equal(data, []byte("precious")) {
		t.Errorf("the link's target holds %q, error %v", data, err)
	}
	if err := os.Remove(f.Path(lockFile)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{lockFile, "x.state", "x.safetensors", "x.json", ResultsFile} {
		if err := syscall.Mkfifo(f.Path(name), 0o644); err != nil {
			t.Skip(err)
		}
	}
	q := tinyQuantizer(t)
	_, err = f.Lock()
	refused("a pipe as lock", err)
	_, err = f.LoadState(q, "x.state")
	refused("a pipe as state", err)
	_, err = f.LoadStudent(q, "x.safetensors")
	refused("a pipe as student", err)
	refused("a pipe as JSON", f.ReadJSON("x.json", new(Record)))
	_, err = f.table()
	refused("a pipe as results", err)
}
