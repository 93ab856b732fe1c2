// Package tsv appends rows to, and finds them in, tables of text in which tabs separate the cells.
package tsv

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Fits is an error if the table at path has other columns than names. A table that isn't there, or is empty, fits.
func Fits(path string, names []string) error {
	_, err := begun(path, names)
	return err
}

// begun says whether the table at path has its first line, which must be names.
func begun(path string, names []string) (bool, error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return false, err
	}
	if first, _, _ := strings.Cut(string(text), "\n"); len(text) > 0 && first != strings.Join(names, "\t") {
		return true, fmt.Errorf("%s has other columns; give another table by -out", path)
	}
	return len(text) > 0, nil
}

// Append adds a row to the table at path, which begins with the line of names, and must fit.
func Append(path string, names, cells []string) error {
	old, err := begun(path, names)
	if err != nil {
		return err
	}
	text := strings.Join(cells, "\t") + "\n"
	if !old {
		text = strings.Join(names, "\t") + "\n" + text
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Keys returns the first n cells of each line of the table at path, with spaces between them. A table that isn't there
// has none.
func Keys(path string, n int) (map[string]bool, error) {
	keys := map[string]bool{}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return keys, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if cells := strings.Split(lines.Text(), "\t"); len(cells) >= n {
			keys[strings.Join(cells[:n], " ")] = true
		}
	}
	return keys, lines.Err()
}
