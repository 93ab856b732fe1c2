package shell

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// TestVisible: no text from a file reaches a terminal with control characters.
func TestVisible(t *testing.T) {
	const evil, want = "a\x1b]0;title\a\x9b2J\u202eb\u009bc\rd", `a\u001b]0;title\u0007\x9b2J\u202eb\u009bc\u000dd`
	if got := Visible(evil); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if plain := "α ± 1 ⟂\tx\ny"; Visible(plain) != plain {
		t.Errorf("%q became %q", plain, Visible(plain))
	}
	table := Table{Columns: []string{evil, "n"}, Rows: [][]any{{evil, 1}, {"b", evil}}}
	for _, f := range Formats() {
		if f.Name == "html" {
			continue // not for a terminal
		}
		for _, width := range []int{0, 20, 200} {
			var out, errs bytes.Buffer
			d := NewTerminal(&out, &errs)
			d.Format, d.Width = f, width
			for _, v := range []Value{Text(evil), table, Record{Line: evil, Fields: []Field{{evil, evil}}}} {
				if err := d.Show(v); err != nil {
					t.Fatal(err)
				}
			}
			d.Note(evil)
			d.Fail(errors.New(evil))
			if all := out.String() + errs.String(); strings.ContainsAny(all, "\x1b\a\r\u202e\u009b") {
				t.Errorf("%s in %d columns has control characters: %q", f.Name, width, all)
			}
		}
	}
}
