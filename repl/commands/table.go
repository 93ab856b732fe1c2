package commands

import "github.com/pdquant/pdquant/repl/shell"

// grid lays out rows under their headers.
func grid(headers []string, rows [][]string) string {
	return shell.Table{Columns: headers, Rows: shell.Strings(rows)}.Text(0)
}
