package main

import (
	"fmt"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models/arch"
)

// TestCommitted: the committed notebooks have the outputs of a run without errors, no paths of the machine that made
// them, and no elements to fetch.
func TestCommitted(t *testing.T) {
	paths, err := filepath.Glob("../../notebooks/*.ipynb")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no notebooks, error %v", err)
	}
	foreign := regexp.MustCompile(`/(tmp|home|root|work)/[^"\\ ]*|(?i)src=\\?"(https?:)?//`)
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := failures(data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if found := foreign.Find(data); found != nil {
			t.Errorf("%s holds %s", path, found)
		}
		n, err := readNotebook(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range n.cells {
			if c.kind != "code" {
				continue
			}
			if outputs := string(c.fields["outputs"]); outputs == "[]" || outputs == "" {
				t.Errorf("%s, cell %d has no outputs: make notebooks ARGS=-update", path, i+1)
			}
			if n.kernel == gonb && !strings.HasPrefix(c.source, "!") {
				checkFormat(t, path, i+1, c.source)
			}
		}
	}
}

// checkFormat checks that a cell's Go is formatted by gofmt.
func checkFormat(t *testing.T, path string, cell int, text string) {
	t.Helper()
	text = strings.TrimPrefix(text, "%noautoget\n\n")
	head, body, found := strings.Cut(text, "%%\n")
	file := "package p\n\n" + head
	if found {
		file += "func main() {\n\t" + strings.ReplaceAll(strings.TrimRight(body, "\n"), "\n", "\n\t") + "\n}\n"
	}
	file = regexp.MustCompile(`(?m)^\t+$`).ReplaceAllString(strings.ReplaceAll(file, "\n\n\n", "\n\n"), "")
	out, err := format.Source([]byte(file))
	if err != nil || string(out) != file {
		t.Errorf("%s, cell %d isn't gofmt's form, error %v:\n%s", path, cell, err, out)
	}
}

func TestFailures(t *testing.T) {
	err := failures([]byte(`{"cells":[{},{"outputs":[
		{"output_type":"stream","name":"stderr","text":["x.go:3: undefined"]},
		{"output_type":"error","traceback":["exit 1"]}]}]}`))
	if err == nil || !strings.Contains(err.Error(), "cell 2: exit 1") || !strings.Contains(err.Error(), "undefined") {
		t.Errorf("error %v", err)
	}
	warning := `{"cells":[{"outputs":[{"output_type":"stream","name":"stderr","text":["a warning"]}]}]}`
	if err := failures([]byte(warning)); err != nil {
		t.Errorf("a warning: %v", err)
	}
}

func TestWithoutNetwork(t *testing.T) {
	page := []byte(`<script src="https://cdn.example/require.js" defer></script><script>let a</script>` +
		`<img src="data:image/png;base64,x"><svg xmlns="http://www.w3.org/2000/svg">`)
	got := withoutNetwork(page)
	if strings.Contains(string(got), "cdn") || !strings.Contains(string(got), "let a") || fromNetwork().Match(got) {
		t.Errorf("%s", got)
	}
	if !fromNetwork().Match([]byte(`<link rel="stylesheet" href="//cdn.example/x.css">`)) {
		t.Error("a stylesheet passes")
	}
}

// TestShorten: settings become small, and all else stays.
func TestShorten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ipynb")
	const before = `{"cells": [
		{"cell_type": "markdown", "metadata": {}, "source": ["calib 256\n", "of images"]},
		{"cell_type": "code", "metadata": {}, "outputs": [], "source": [
			"calib 256 seed=1\n", "set Rounding.Steps=0 Correction.Steps=50\n",
			"grid networks=a,b bits=4/4,2/2 seeds=3 images=128 all=\"Rounding.Steps=100\" out=runs/x"]}],
		"metadata": {"kernelspec": {"name": "pdquant"}}, "nbformat": 4, "nbformat_minor": 5}`
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := readNotebook(path)
	if err != nil || n.kernel != pdquant {
		t.Fatalf("kernel %q, error %v", n.kernel, err)
	}
	n.shorten()
	if err := n.write(path); err != nil {
		t.Fatal(err)
	}
	if n, err = readNotebook(path); err != nil || string(n.fields["nbformat_minor"]) != "5" {
		t.Fatalf("%v, error %v", n, err)
	}
	want := []string{"calib 256\nof images", `calib 16 seed=1
set Rounding.Steps=0 Correction.Steps=4
grid networks=a bits=4/4 seeds=1 images=16 all="Rounding.Steps=4" out=runs/x`}
	for i, c := range n.cells {
		if c.source != want[i] {
			t.Errorf("cell %d:\n%s\nwant\n%s", i+1, c.source, want[i])
		}
	}
}

// TestPublished: the table of published accuracies is that of the registry.
func TestPublished(t *testing.T) {
	data, err := os.ReadFile("../../notebooks/paper_tables.ipynb")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range arch.Registry() {
		if n.PDQuant == nil {
			continue
		}
		row := fmt.Sprintf("| %s | %.2f |", n.Name, n.Top1)
		for _, b := range []struct{ w, a int }{{4, 4}, {2, 4}, {4, 2}, {2, 2}} {
			row += fmt.Sprintf(" %.2f |", n.Published(b.w, b.a)[0].Top1)
		}
		if !strings.Contains(string(data), row) {
			t.Errorf("no row %s", row)
		}
	}
}

// TestLacking: a notebook says which files it needs.
func TestLacking(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "n.ipynb")
	text := `{"cells":[],"metadata":{"kernelspec":{"name":"pdquant"},"pdquant":{"needs":["n.ipynb","data/photos"]}}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := readNotebook(path)
	if err != nil || n.lacking(dir) != "data/photos" {
		t.Errorf("%+v lacks %q, error %v", n, n.lacking(dir), err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "data", "photos"), 0o755); err != nil {
		t.Fatal(err)
	}
	if lacking := n.lacking(dir); lacking != "" {
		t.Errorf("with all files it lacks %q", lacking)
	}
}
