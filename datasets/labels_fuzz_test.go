package datasets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// FuzzLabels: a file of labels is read as the plain form of its rule says, lines of two words, or refused.
func FuzzLabels(f *testing.F) {
	for _, s := range []string{"", "a.JPEG n01\n", "a b\r\nc d", "a\n", "a b c\n", "\xef\xbb\xbfa b", "a b\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(t.TempDir(), "labels")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		fuzzed.Bounded(t, func() {
			names, err := readLabels(path)
			if err != nil {
				return
			}
			if lines := strings.Split(strings.TrimSuffix(string(file), "\n"), "\n"); len(lines) != len(names) {
				t.Fatalf("%d names of %d lines", len(names), len(lines))
			}
			for i, n := range names {
				if n.file == "" || n.class == "" {
					t.Errorf("line %d: %+v", i+1, n)
				}
			}
		})
	})
}
