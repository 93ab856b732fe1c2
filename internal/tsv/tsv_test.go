package tsv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAppend: a table gets its columns once, and refuses rows of others.
func TestAppend(t *testing.T) {
	path, names := filepath.Join(t.TempDir(), "a.tsv"), []string{"case", "ms"}
	for _, ms := range []string{"1", "2"} {
		if err := Append(path, names, []string{"first", ms}); err != nil {
			t.Fatal(err)
		}
	}
	const want = "case\tms\nfirst\t1\nfirst\t2\n"
	for _, err := range []error{Fits(path, []string{"case"}), Append(path, []string{"case"}, []string{"x"})} {
		if err == nil || !strings.Contains(err.Error(), "a.tsv has other columns; give another table by -out") {
			t.Errorf("other columns: error %v", err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want || Fits(path, names) != nil {
		t.Errorf("table %q, error %v, want %q", got, err, want)
	}
}

// TestKeys: rows are known by their first cells; a table that isn't there has none.
func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.tsv")
	if keys, err := Keys(path, 2); err != nil || len(keys) > 0 {
		t.Errorf("of no table: %v, error %v", keys, err)
	}
	if err := Append(path, []string{"case", "bits", "ms"}, []string{"first", "W2A2", "1"}); err != nil {
		t.Fatal(err)
	}
	if keys, err := Keys(path, 2); err != nil || len(keys) != 2 || !keys["case bits"] || !keys["first W2A2"] {
		t.Errorf("keys %v, error %v", keys, err)
	}
}
