//go:build unix

package checkpoint_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pdquant/pdquant/models/checkpoint"
)

// TestLoadPipe has paths of other things than files. Opening a pipe would wait for a writer.
func TestLoadPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	link := filepath.Join(t.TempDir(), "link.pth")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "not a file but a pipe", link: "not a file but a pipe",
		os.DevNull: "not a file but a device"} {
		if _, err := checkpoint.Load(path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	good := filepath.Join(t.TempDir(), "good.pth")
	target, err := filepath.Abs("testdata/zip.pth")
	if err == nil {
		err = os.Symlink(target, good)
	}
	if err == nil {
		_, err = checkpoint.Load(good, nil)
	}
	if err != nil {
		t.Errorf("a link to a file: %v", err)
	}
}
