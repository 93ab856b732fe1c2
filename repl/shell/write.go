package shell

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// tableFormat is a form in which write saves tables.
type tableFormat struct {
	suffix string
	write  func(t Table, w io.Writer) error
}

func tableFormats() []tableFormat {
	return []tableFormat{
		{".tsv", func(t Table, w io.Writer) error {
			_, err := io.WriteString(w, t.TSV()+"\n")
			return err
		}},
		{".csv", Table.csv},
		{".json", func(t Table, w io.Writer) error { return json.NewEncoder(w).Encode(t) }},
		{".html", func(t Table, w io.Writer) error {
			_, err := io.WriteString(w, Page("", t.HTML()))
			return err
		}},
	}
}

// csv is as TSV, with commas and quotes.
func (t Table) csv(to io.Writer) error {
	rows := [][]string{t.Columns}
	for _, row := range t.Rows {
		rows = append(rows, tsvCells(row))
	}
	return csv.NewWriter(to).WriteAll(rows)
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
		err := WriteFile(path, func(w io.Writer) error { return f.write(*c.shell.table, w) })
		if err == nil {
			c.Print("table of %d rows in %s", len(c.shell.table.Rows), path)
		}
		return c.State, err
	}
	return c.State, fmt.Errorf("repl: %s: the end of its name chooses the format; give one of %s", path,
		strings.Join(suffixes, ", "))
}
