package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// TestLabels: blank lines, a byte-order mark, commas and a header are read; line numbers are the file's.
func TestLabels(t *testing.T) {
	plain := []labelled{{"a.png", "n01", 1}, {"b.png", "n02", 2}}
	for text, want := range map[string][]labelled{
		"a.png n01\nb.png n02\n":                plain,
		"a.png\tn01\r\nb.png\tn02\r\n":          plain,
		"\ufeffa.png n01\nb.png n02":            plain,
		"a.png,n01\nb.png,n02\n":                plain,
		"\n a.png n01\n \n\nb.png  n02\n\n":     {{"a.png", "n01", 2}, {"b.png", "n02", 5}},
		"image,class\na.png,n01\n\nb.png,n02\n": {{"a.png", "n01", 2}, {"b.png", "n02", 4}},
		"\ufefffile class\na.png n01\n":         {{"a.png", "n01", 2}},
		"\"a, 1.png\", n01 \n \n":               {{"a, 1.png", "n01", 1}},
		"a n01\nb n02\n":                        {{"a", "n01", 1}, {"b", "n02", 2}},
	} {
		got, err := readLabels(writeFile(t, "labels", []byte(text)))
		if err != nil || !slices.Equal(got.lines, want) || got.classes != nil {
			t.Errorf("%q: %v, error %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"a.png n01\n\nb.png\n":                       `:3: "b.png" is not a file's name and a class`,
		"a.png,n01\n\nb.png,n02,1\n":                 `:3: "b.png,n02,1" is not`,
		"a.png,n01\nb.png,\n":                        `:2: "b.png," is not`,
		"a.png,n01\nb.png,n0\"2\n":                   `line 2`,
		"\n\n":                                       "has no lines",
		"a.png n01\n" + strings.Repeat("x", 100<<10): ":2: bufio.Scanner: token too long",
	} {
		if _, err := readLabels(writeFile(t, "labels", []byte(text))); lacks(err, want) {
			t.Errorf("%.40q: error %v, want %q", text, err, want)
		}
	}
}

// FuzzLabels: each line of a file of labels is read once, as a name and a class, or the file is refused.
func FuzzLabels(f *testing.F) {
	for _, s := range []string{
		"", "a.JPEG n01\n", "a b\r\nc d", "a\n", "a b c\n", "\xef\xbb\xbfa b", "a b\n\n", "x,y\na.png,b\n",
		"\"a\nb\",c\n", "2\n1\n", "1\n\n2\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(t.TempDir(), "labels")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), "synsets.txt"), []byte("1 b\n2 a\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		fuzzed.Bounded(t, func() {
			l, err := readLabels(path)
			if err != nil {
				return
			}
			lines, before := strings.Count(string(file), "\n")+1, 0
			for _, n := range l.lines {
				if n.file == "" || n.class == "" || n.line <= before || n.line > lines {
					t.Errorf("%+v after line %d of %d", n, before, lines)
				}
				before = n.line
			}
		})
	})
}
