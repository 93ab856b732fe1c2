package commands

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/repl/shell"
	"golang.org/x/tools/txtar"
)

// TestManual: the manual page is what the table of commands says.
func TestManual(t *testing.T) {
	var want bytes.Buffer
	sh, err := New(shell.NewTerminal(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.Manual(&want, Introduction); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../MANUAL.md", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("../MANUAL.md")
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("MANUAL.md is stale: go test ./repl/commands -run TestManual -update (%v)", err)
	}
}

// TestReadme: the tour shows the script and the output that the tests run.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../docs/tour.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := txtar.ParseFile("../testdata/script/readme.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range script.Files {
		shown := strings.TrimRight(string(f.Data), "\n")
		if shown == "" || !strings.Contains(string(readme), "\n"+shown+"\n") {
			t.Errorf("docs/tour.md doesn't show %s of testdata/script/readme.txtar:\n%s", f.Name, shown)
		}
	}
}
