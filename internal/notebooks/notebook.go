package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// notebook is a file in Jupyter's format 4, as far as this program reads it.
type notebook struct {
	fields map[string]json.RawMessage
	cells  []cell
	kernel string   // name of its kernel's specification
	needs  []string // paths in the repository without which it can't run, as data that aren't shipped
}

// cell is one of a notebook.
type cell struct {
	fields map[string]json.RawMessage
	kind   string // "code", "markdown" or "raw"
	source string
}

// readNotebook reads the file at path.
func readNotebook(path string) (*notebook, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("notebooks: %w", err)
	}
	n := &notebook{}
	var raw struct {
		Cells    []map[string]json.RawMessage
		Metadata struct {
			Kernel struct{ Name string }    `json:"kernelspec"`
			Ours   struct{ Needs []string } `json:"pdquant"`
		}
	}
	if err := json.Unmarshal(data, &n.fields); err != nil {
		return nil, fmt.Errorf("notebooks: %s: %w", path, err)
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("notebooks: %s: %w", path, err)
	}
	n.kernel, n.needs = raw.Metadata.Kernel.Name, raw.Metadata.Ours.Needs
	for i, fields := range raw.Cells {
		c := cell{fields: fields}
		if err := json.Unmarshal(fields["cell_type"], &c.kind); err != nil {
			return nil, fmt.Errorf("notebooks: %s: cell %d: %w", path, i+1, err)
		}
		if c.source, err = text(fields["source"]); err != nil {
			return nil, fmt.Errorf("notebooks: %s: cell %d: %w", path, i+1, err)
		}
		n.cells = append(n.cells, c)
	}
	return n, nil
}

// text reads what a notebook has as a string or as a list of its lines.
func text(data json.RawMessage) (string, error) {
	var lines []string
	if json.Unmarshal(data, &lines) == nil {
		return strings.Join(lines, ""), nil
	}
	var s string
	err := json.Unmarshal(data, &s)
	return s, err
}

// lacking returns the first path below root that n needs and that isn't there; "": none.
func (n *notebook) lacking(root string) string {
	for _, path := range n.needs {
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			return path
		}
	}
	return ""
}

// write writes n to the file at path.
func (n *notebook) write(path string) error {
	var cells []map[string]json.RawMessage
	for _, c := range n.cells {
		source, err := json.Marshal(c.source)
		if err != nil {
			return fmt.Errorf("notebooks: %w", err)
		}
		c.fields["source"] = source
		cells = append(cells, c.fields)
	}
	data, err := json.Marshal(cells)
	if err == nil {
		n.fields["cells"] = data
		data, err = json.MarshalIndent(n.fields, "", " ")
	}
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	return nil
}

// less is a pattern of a setting in cells, and what takes its place to compute little.
type less struct{ pattern, little string }

// little lists them: of commands, and of Go's constants.
func little() []less {
	return []less{
		{`\bcalib \d+`, "calib 16"}, {`\beval \d+`, "eval 100"},
		{`\bimages=\d+`, "images=16"}, {`\btest=\d+`, "test=100"}, {`\bseeds=\d+`, "seeds=1"},
		{`\bpoints=\d+`, "points=4"},
		{`\bRounding\.Steps=[1-9]\d*`, "Rounding.Steps=4"}, {`\bFineTune\.Steps=\d+`, "FineTune.Steps=4"},
		{`\bCorrection\.Steps=[1-9]\d*`, "Correction.Steps=4"},
		{`\bnetworks=([^\s,]+)\S*`, "networks=$1"}, {`\bbits=([\d/]+)[\d/,]*`, "bits=$1"},
		{`(const images, tests, steps = )\d+, \d+, \d+`, "${1}16, 100, 4"}, {`Seeds\(\d+\)`, "Seeds(1)"},
	}
}

// shorten lets n compute little: enough to see that all of it runs.
func (n *notebook) shorten() {
	for _, l := range little() {
		re := regexp.MustCompile(l.pattern)
		for i, c := range n.cells {
			if c.kind == "code" {
				n.cells[i].source = re.ReplaceAllString(c.source, l.little)
			}
		}
	}
}
