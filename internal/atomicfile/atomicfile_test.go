package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := WriteBytes(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Write(path, func(f *os.File) error {
		if _, err := f.WriteString("second"); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Errorf("after a failed write the file holds %q (error %v)", got, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v (error %v)", entries, err)
	}
	if err := WriteBytes(filepath.Join(dir, "none", "file"), nil); err == nil {
		t.Error("writing to a folder that doesn't exist succeeds")
	}
}

// TestReplace: when a file is replaced, the older one keeps another name.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path, earlier := filepath.Join(dir, "file"), filepath.Join(dir, "file.previous")
	for i, content := range []string{"first", "second", "third"} {
		err := Replace(path, earlier, func(f *os.File) error {
			_, err := f.WriteString(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"", "first", "second"}[i]
		if got, err := os.ReadFile(earlier); string(got) != want || (err != nil) != (i == 0) {
			t.Errorf("after %s the other name has %q, error %v", content, got, err)
		}
	}
	broken := errors.New("broken")
	if err := Replace(path, earlier, func(*os.File) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	if got, err := os.ReadFile(earlier); err != nil || string(got) != "second" {
		t.Errorf("after a failed write the other name has %q, error %v", got, err)
	}
	others := []string{"download.iso.part", "part", "x.12.parts", "7.5.part.txt"} // of other programs
	for _, name := range append(others, filepath.Base(path)+".123.part") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "train.1.part", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := RemoveParts(dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2+len(others)+1 {
		t.Errorf("the folder holds %v (error %v)", entries, err)
	}
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: error %v", err)
	}
	if err := WriteBytes(path, []byte("content")); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || string(got) != "content" {
		t.Errorf("%q, error %v", got, err)
	}
	if _, err := Read(filepath.Dir(path)); err == nil {
		t.Error("a folder was read")
	}
}
