package shell

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// tableFormat is a form in which write saves tables.
type tableFormat struct {
	suffix string
	encode func(t Table) ([]byte, error)
}

func tableFormats() []tableFormat {
	return []tableFormat{
		{".tsv", func(t Table) ([]byte, error) { return []byte(t.TSV() + "\n"), nil }},
		{".csv", Table.csv},
		{".json", func(t Table) ([]byte, error) {
			data, err := json.Marshal(t)
			return append(data, '\n'), err
		}},
		{".html", func(t Table) ([]byte, error) { return []byte(Page("", t.HTML())), nil }},
	}
}

// csv is as TSV, with commas and quotes.
func (t Table) csv() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{t.Columns}
	for _, row := range t.Rows {
		var cells []string
		for _, cell := range row {
			cells = append(cells, tsvCell(cell))
		}
		rows = append(rows, cells)
	}
	err := w.WriteAll(rows)
	return b.Bytes(), err
}

func writeTable[S any](c *Call[S]) (S, error) {
	path := c.Values["file"]
	if c.shell.table == nil {
		return c.State, errors.New("repl: no table was shown yet; write saves the last one")
	}
	var suffixes []string
	for _, f := range tableFormats() {
		suffixes = append(suffixes, f.suffix)
		if f.suffix != strings.ToLower(filepath.Ext(path)) {
			continue
		}
		data, err := f.encode(*c.shell.table)
		if err == nil {
			err = WriteFile(path, data)
		}
		if err == nil {
			c.Print("table of %d rows in %s", len(c.shell.table.Rows), path)
		}
		return c.State, err
	}
	return c.State, fmt.Errorf("repl: %s: the end of its name chooses the format; give one of %s", path,
		strings.Join(suffixes, ", "))
}
