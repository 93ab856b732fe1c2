package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq/backend/internal/ortlib"
)

// archive makes a .tgz of these names, each file holding its name.
func archive(t *testing.T, names ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(name)), Mode: 0o644,
			Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestExtract(t *testing.T) {
	tgz := archive(t, "package/a/lib.so", "package/b/lib.so", "package/package.json", "package/last")
	for _, c := range []struct {
		name    string
		data    []byte
		members []string
		wantErr string
	}{
		{"two of four", tgz, []string{"package/b/lib.so", "package/package.json"}, ""},
		{"missing", tgz, []string{"package/b/lib.so", "package/none"}, "package/none"},
		{"cut short", tgz[:len(tgz)-30], []string{"package/none"}, "EOF"},
		{"no archive", []byte("hello"), []string{"package/none"}, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			err := extract(bytes.NewReader(c.data), dir, c.members...)
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("error %v, want one with %q", err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.members {
				if got, err := os.ReadFile(filepath.Join(dir, filepath.Base(m))); err != nil || string(got) != m {
					t.Errorf("%s: got %q, %v", m, got, err)
				}
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(c.members) {
				t.Errorf("%d files, %v; want %d", len(entries), err, len(c.members))
			}
		})
	}
}

// TestVerify: the sum is that of the empty input, FIPS 180-4, from "sha512sum </dev/null".
func TestVerify(t *testing.T) {
	const empty = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
	if err := verify(strings.NewReader(""), empty); err != nil {
		t.Error(err)
	}
	if err := verify(strings.NewReader("x"), empty); err == nil || !strings.Contains(err.Error(), empty) {
		t.Errorf("a wrong checksum gives %v, want an error with the right one", err)
	}
}

// TestRunRefuses: an archive with another checksum installs nothing and leaves
// nothing behind.
func TestRunRefuses(t *testing.T) {
	cacheIn(t)
	file := filepath.Join(t.TempDir(), "package.tgz")
	if err := os.WriteFile(file, archive(t, memberPaths()["linux/amd64"], "package/package.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{file}, &out)
	if err == nil || !strings.Contains(err.Error(), "checksum") || out.Len() > 0 {
		t.Errorf("error %v and output %q, want one about the checksum and none", err, out.String())
	}
	library, err := ortlib.Path()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Dir(library))
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestRunTwice(t *testing.T) {
	cacheIn(t)
	library, err := ortlib.Path()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(library), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(library, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, library) {
		t.Errorf("an installed library gives %q, want one line with %s", got, library)
	}
}

// TestMemberPaths: place moves the library under the name that package backend looks for.
func TestMemberPaths(t *testing.T) {
	library, err := ortlib.Path()
	if err != nil {
		t.Skip(err)
	}
	member, ok := memberPaths()[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		t.Skipf("the package has no library for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	if filepath.Base(member) != filepath.Base(library) {
		t.Errorf("the package's library is %s, package backend looks for %s", member, library)
	}
}

// cacheIn moves the user's cache folder to a temporary one.
func cacheIn(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
}
