package shell

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
	"github.com/charmbracelet/x/ansi"
)

const (
	widestCell   = 72 // characters of a cell on a terminal of unknown width
	narrowColumn = 16 // to which a column may shrink though words are longer: they are broken
)

// Text lays out the rows in a frame: text to the left, numbers to the right. Long texts wrap, so that the frame fits
// the terminal; where it can't, each row takes lines of a column's name and its cell.
func (t Table) Text(width int) string {
	var names []string
	for _, name := range t.Columns {
		names = append(names, Visible(name))
	}
	cells := [][]string{names}
	for _, row := range t.Rows {
		var line []string
		for _, cell := range row {
			line = append(line, Visible(fmt.Sprint(cell)))
		}
		cells = append(cells, line)
	}
	columns, ok := columnWidths(cells, len(t.Columns), width)
	if !ok {
		return vertical(cells, width)
	}
	for _, row := range cells {
		for i := range row {
			row[i] = ansi.Hardwrap(Wrap(row[i], columns[i]), columns[i], true)
		}
	}
	return frame(cells[0], cells[1:])
}

// columnWidths returns how many characters the cells of each column may have, so that the table fits width (0: any).
// ok is false if there is no room for it.
func columnWidths(cells [][]string, n, width int) (columns []int, ok bool) {
	columns, least := make([]int, n), make([]int, n)
	total := 1
	for i := range n {
		for _, row := range cells {
			if i >= len(row) {
				continue
			}
			columns[i] = max(columns[i], min(ansi.StringWidth(row[i]), widestCell))
			for word := range strings.FieldsSeq(row[i]) {
				least[i] = max(least[i], min(ansi.StringWidth(word), narrowColumn))
			}
			if isNumber(row[i]) {
				least[i] = max(least[i], min(ansi.StringWidth(row[i]), narrowColumn))
			}
		}
		total += columns[i] + 3
	}
	for width > 0 && total > width {
		widest := -1
		for i := range columns {
			if columns[i] > least[i] && (widest < 0 || columns[i] > columns[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return columns, false
		}
		columns[widest]--
		total--
	}
	return columns, true
}

func frame(columns []string, rows [][]string) string {
	return table.New().Border(lipgloss.NormalBorder()).Headers(columns...).Rows(rows...).
		StyleFunc(func(row, col int) lipgloss.Style {
			style := lipgloss.NewStyle().Padding(0, 1).Bold(row < 0)
			if row >= 0 && col > 0 && col < len(rows[row]) && isNumber(rows[row][col]) {
				style = style.Align(lipgloss.Right)
			}
			return style
		}).Render()
}

// vertical lays out rows one below the other.
func vertical(cells [][]string, width int) string {
	names := cells[0]
	widest := 0
	for _, name := range names {
		widest = max(widest, ansi.StringWidth(name))
	}
	var all []string
	for _, row := range cells[1:] {
		var lines []string
		for i, cell := range row {
			if cell != "" {
				lines = append(lines, fmt.Sprintf("%-*s  %s", widest, names[i], cell))
			}
		}
		all = append(all, strings.Join(lines, "\n"))
	}
	return Text(strings.Join(all, "\n\n")).Text(width)
}
