package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteTable(t *testing.T) {
	sh, _ := toy(t)
	dir := t.TempDir()
	if err := sh.Line(t.Context(), "write "+dir+"/a.tsv"); err == nil || !strings.Contains(err.Error(), "no table was") {
		t.Errorf("without a table: error %v", err)
	}
	if err := sh.Line(t.Context(), "add 1; table; print"); err != nil {
		t.Fatal(err)
	}
	for end, want := range map[string]string{
		".tsv":  "sum\ttext\n0.3333333333333333\ta, \"b\" c\n",
		".csv":  "sum,text\n0.3333333333333333,\"a, \"\"b\"\" c\"\n",
		".JSON": `{"columns":["sum","text"],"rows":[[0.3333333333333333,"a, \"b\"\tc"]]}` + "\n",
	} {
		path := filepath.Join(dir, "a"+end)
		if err := sh.Line(t.Context(), "write "+path); err != nil {
			t.Errorf("%s: %v", end, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: wrote %s (%v), want %s", end, got, err, want)
		}
	}
	if err := sh.Line(t.Context(), "write "+dir+"/a.html"); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{
		dir + "/a.txt":        "give one of .tsv, .csv, .json, .html",
		dir + "/a":            "give one of",
		dir + "/none/a.tsv":   "can't be written",
		dir + "/a.tsv/b.json": "can't be written",
	} {
		if err := sh.Line(t.Context(), "write "+path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", path, err, want)
		}
	}
	if err := os.Mkdir(dir+"/b.tsv", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := sh.Line(t.Context(), "write "+dir+"/b.tsv"); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: error %v", err)
	}
	if left, err := filepath.Glob(dir + "/*.part"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

func TestPage(t *testing.T) {
	sh, _ := toy(t)
	path := filepath.Join(t.TempDir(), "a <b>.html")
	line := Join([]string{"html", path})
	if err := sh.Line(t.Context(), "add 1; table; system 'echo \"<x>\"; sleep 0.1; echo noted >&2'"); err != nil {
		t.Fatal(err)
	}
	if err := sh.Line(t.Context(), "add x"); err == nil {
		t.Fatal("add x succeeds")
	}
	if err := sh.Line(t.Context(), line); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	page := string(data)
	if err != nil || !strings.Contains(page, "<h1>a &lt;b&gt;</h1>") {
		t.Errorf("error %v, page %s", err, page)
	}
	at := 0
	for _, want := range []string{`<div class="command"><pre>add 1</pre>`, `<pre>table</pre>`, ">sum</th>",
		`<div class="command"><pre>system `, `<pre>&lt;x&gt;</pre>`, `<div class="note"><pre>noted</pre>`,
		`<div class="command"><pre>add x</pre>`, `<div class="error"><pre>repl: n=x; give`, "</html>"} {
		i := strings.Index(page[at:], want)
		if i < 0 {
			t.Fatalf("no %s behind the %d-th byte of %s", want, at, page)
		}
		at += i
	}
}

// TestTranscriptIsBounded: the oldest parts go.
func TestTranscriptIsBounded(t *testing.T) {
	var all transcript
	for range 40 {
		all.add("value", Text(strings.Repeat("x", 1<<20)))
	}
	if all.size > mostKept || len(all.parts)+all.left != 40 ||
		!strings.Contains(all.html(""), "of 40 parts are left out") {
		t.Errorf("%d parts of %d bytes, %d left out", len(all.parts), all.size, all.left)
	}
	all.add("value", Text(strings.Repeat("x", 2*mostKept)))
	if len(all.parts) != 1 {
		t.Errorf("%d parts beside one that is larger than all may be", len(all.parts))
	}
}

// TestKeepShowsNothing: what is saved on the side isn't part of the page, nor the last table.
func TestKeepShowsNothing(t *testing.T) {
	sh, out := toy(t)
	sh.language.Rescue = func(int, string) []string { return []string{"table"} }
	if err := sh.Line(t.Context(), "add 1"); err != nil {
		t.Fatal(err)
	}
	if err := sh.Keep(t.Context()); err != nil || out.Len() > 0 || len(sh.shown.parts) != 1 || sh.table != nil {
		t.Errorf("error %v, printed %q, %d parts, table %v", err, out, len(sh.shown.parts), sh.table)
	}
}
