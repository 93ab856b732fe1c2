package fetched

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFolder: a folder is filled again only if that failed, or something else is wanted.
func TestFolder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	filled := 0
	for _, x := range []struct {
		what string
		fail error
		want int // times filled so far
	}{{"a==1", errors.New("no network"), 1}, {"a==1", nil, 2}, {"a==1", nil, 2}, {"a==2", nil, 3}, {"a==1", nil, 4}} {
		dir, err := Folder("tool", x.what, func(string) error { filled++; return x.fail })
		if !errors.Is(err, x.fail) || filled != x.want || err == nil && filepath.Base(dir) != "tool" {
			t.Errorf("%s: %s, filled %d times, error %v; want %d, %v", x.what, dir, filled, err, x.want, x.fail)
		}
	}
}

// TestPython: packages are installed by the environment's own pip, and not if there is no environment.
func TestPython(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	var ran []string
	missing := errors.New("no venv")
	for _, fail := range []error{missing, nil} {
		bin, err := Python("p", "a==1 b", func(words ...string) error {
			ran = append(ran, strings.Join(words[1:], " "))
			return fail
		})
		if !errors.Is(err, fail) || filepath.Base(bin) != "bin" {
			t.Errorf("%s, error %v, want %v", bin, err, fail)
		}
	}
	if len(ran) != 3 || ran[0] != ran[1] || !slices.Contains(strings.Fields(ran[0]), "venv") ||
		ran[2] != "-m pip install -q a==1 b" {
		t.Errorf("ran %q", ran)
	}
}
