//go:build unix

package datasets

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestNotFiles: a pipe that nobody writes to doesn't keep anybody waiting, and neither does a link to one.
func TestNotFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, link := filepath.Join(dir, "data_batch_1.bin"), filepath.Join(dir, "a.png")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink(pipe, link)); err != nil {
		t.Skip(err)
	}
	_, idx := ReadIDXFile(pipe)
	_, cifar := CIFAR10(pipe)
	_, image := decodeFile(link, false)
	_, labels := readLabels(pipe)
	_, folder := CIFAR10(dir)
	for what, err := range map[string]error{"idx": idx, "cifar": cifar, "image": image, "labels": labels} {
		if lacks(err, "is a pipe, not a file") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if lacks(folder, "is a folder, not a file") {
		t.Errorf("folder: %v", folder)
	}
}
