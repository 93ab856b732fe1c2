package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq/backend/internal/pjrtlib"
)

// archive makes a zip of files with these names, each of which holds its name.
func archive(t *testing.T, names ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestExtract(t *testing.T) {
	whole := archive(t, "a/__init__.py", "a/plugin.so", "a-1.dist-info/LICENSE")
	for _, c := range []struct {
		name    string
		data    []byte
		names   []string
		wantErr string
	}{
		{"two of three", whole, []string{"LICENSE", "plugin.so"}, ""},
		{"missing", whole, []string{"plugin.so", "none"}, "no none"},
		{"cut short", whole[:len(whole)-30], []string{"plugin.so"}, "zip"},
		{"no archive", []byte("hello"), []string{"plugin.so"}, "zip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			work, dir := t.TempDir(), t.TempDir()
			err := extract(bytes.NewReader(c.data), int64(len(c.data)), work, dir, c.names...)
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("error %v, want one with %q", err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range c.names {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || filepath.Base(string(got)) != name {
					t.Errorf("%s: got %q, %v", name, got, err)
				}
			}
		})
	}
}

// TestRefuses: an error is one line that says what to do, and nothing is installed.
func TestRefuses(t *testing.T) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the package is for linux/amd64")
	}
	file := filepath.Join(t.TempDir(), wheel)
	if err := os.WriteFile(file, archive(t, pjrtlib.File), 0o644); err != nil {
		t.Fatal(err)
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	for _, c := range []struct {
		name, cache, path string
		args, want        []string
	}{
		{"another checksum", t.TempDir(), "", []string{file}, []string{file, "SHA-256", sum}},
		{"no pip", t.TempDir(), empty, nil, []string{pjrtlib.Package, pjrtlib.Version, wheel, sum, "make xla ARGS="}},
		{"no cache folder", blocked, "", []string{file}, []string{blocked, "XDG_CACHE_HOME"}},
		{"two files", t.TempDir(), "", []string{"a", "b"}, []string{"2 arguments"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("XDG_CACHE_HOME", c.cache)
			if c.path != "" {
				t.Setenv("PATH", c.path)
			}
			var out bytes.Buffer
			err := run(t.Context(), c.args, &out)
			if err == nil || out.Len() > 0 || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v and output %q, want an error of one line and no output", err, out.String())
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %v, want one with %q", err, w)
				}
			}
			found, err := filepath.Glob(filepath.Join(c.cache, "pdquant", pjrtlib.Folder, "*"))
			if err != nil || len(found) > 0 {
				t.Errorf("left behind: %v, %v", found, err)
			}
		})
	}
}
