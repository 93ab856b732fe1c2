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
