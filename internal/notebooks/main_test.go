package main

import (
	"encoding/json"
	"go/format"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCommitted: the committed notebooks hold outputs of a run without errors, no path of the machine
// that made them, and nothing to fetch.
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
		var n struct {
			Cells []struct {
				Type    string `json:"cell_type"`
				Source  source
				Outputs []json.RawMessage
			}
		}
		if err := json.Unmarshal(data, &n); err != nil {
			t.Fatal(err)
		}
		for i, c := range n.Cells {
			if c.Type != "code" {
				continue
			}
			if len(c.Outputs) == 0 {
				t.Errorf("%s, cell %d has no outputs: make notebooks UPDATE=-update", path, i+1)
			}
			checkFormat(t, path, i+1, string(c.Source))
		}
	}
}

// source is the text of a cell: a string or its lines.
type source string

// UnmarshalJSON takes either form.
func (s *source) UnmarshalJSON(data []byte) error {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		*s = source(strings.Join(lines, ""))
		return nil
	}
	return json.Unmarshal(data, (*string)(s))
}

// checkFormat compares the Go of a cell with gofmt's.
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
