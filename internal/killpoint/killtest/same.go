package killtest

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Same fails the test if the files in dir aren't those in whole, but for times, memory and what was typed.
func Same(t *testing.T, dir, whole string) {
	t.Helper()
	got, want := contents(t, dir), contents(t, whole)
	for name, data := range want {
		if got[name] != data {
			t.Errorf("%s is another, or missing: %s", name, firstDifference(got[name], data))
		}
	}
	if len(got) != len(want) {
		t.Errorf("the files are %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// contents returns the files in dir by name, without what differs between any two runs: times, memory and what
// was typed, and the checksums of files that have these.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	measuredJSON := regexp.MustCompile(`"(?i:started|date|seconds|peakmemory|sha256|command)": [^\n]*`)
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == ".lock" {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = measuredJSON.ReplaceAllString(string(data), "")
		if filepath.Ext(path) == ".tsv" {
			files[path] = withoutColumns(string(data), "seconds", "peak_mib", "date")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// withoutColumns returns a table without the cells of the columns named.
func withoutColumns(table string, names ...string) string {
	var rows []string
	var head []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "\t")
		if head == nil {
			head = slices.Clone(cells)
		}
		for i := range cells {
			if i < len(head) && slices.Contains(names, head[i]) {
				cells[i] = ""
			}
		}
		rows = append(rows, strings.Join(cells, "\t"))
	}
	return strings.Join(rows, "")
}

// firstDifference returns the first lines that differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is %.300q, want %.300q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
