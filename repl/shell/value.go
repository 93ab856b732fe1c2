package shell

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Value is what a command shows. It must have a JSON form, by encoding/json.
type Value interface {
	Kind() string          // "table"; names the JSON form
	Text(width int) string // for a terminal of that many columns; 0: unknown. No newline at the end
	HTML() string          // a fragment
	TSV() string           // for programs: lines of cells between tabs
}

// Picture is a Value that is drawn where that can be shown. Its Text draws it with characters.
type Picture interface {
	Value
	SVG() ([]byte, error)
	PNG() ([]byte, error)
}

// Text is a Value of one or more lines.
type Text string

// Kind returns "text".
func (Text) Kind() string { return "text" }

// Text returns the lines, wrapped between words where they are too long. What follows of a line is indented as the
// line, and a little more.
func (t Text) Text(width int) string {
	text := Visible(string(t))
	if width <= 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if utf8.RuneCountInString(line) <= width {
			continue
		}
		start := line[:len(line)-len(strings.TrimLeft(line, " "))]
		if at := strings.LastIndex(line, "  ") + 2; at > 2 && at < width/2 { // a second column
			start = strings.Repeat(" ", at)
		}
		lines[i] = line[:len(start)] + strings.ReplaceAll(Wrap(line[len(start):], width-len(start)), "\n", "\n"+start)
	}
	return strings.Join(lines, "\n")
}

// HTML returns the lines, preformatted.
func (t Text) HTML() string { return "<pre>" + html.EscapeString(string(t)) + "</pre>" }

// TSV returns the lines as comments.
func (t Text) TSV() string { return "# " + strings.ReplaceAll(Visible(string(t)), "\n", "\n# ") }

// Number is a cell that programs get as it is, and people in a format.
type Number struct {
	Value  float64
	Format string // of fmt, as "%.2f"
}

// String returns the number in its format.
func (n Number) String() string { return fmt.Sprintf(n.Format, n.Value) }

// MarshalJSON returns the number with all its digits; null if it isn't finite.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(n.Value) || math.IsInf(n.Value, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(n.Value)
}

// Table is a Value of rows under the names of columns. Cells are strings, integers, Numbers, or others that have a
// String method and a JSON form.
type Table struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

// Kind returns "table".
func (Table) Kind() string { return "table" }

// HTML returns a table element.
func (t Table) HTML() string {
	var b strings.Builder
	b.WriteString("<table>\n<tr>")
	for _, name := range t.Columns {
		fmt.Fprintf(&b, `<th style="text-align:left">%s</th>`, html.EscapeString(name))
	}
	b.WriteString("</tr>\n")
	for _, row := range t.Rows {
		b.WriteString("<tr>")
		for _, cell := range row {
			text, align := fmt.Sprint(cell), "left" // notebooks put all to the right
			if isNumber(text) {
				align = "right"
			}
			fmt.Fprintf(&b, `<td style="text-align:%s">%s</td>`, align, html.EscapeString(text))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</table>")
	return b.String()
}

// TSV returns a line of the columns' names, and one for each row. Numbers have all their digits.
func (t Table) TSV() string {
	lines := []string{Visible(strings.Join(t.Columns, "\t"))}
	for _, row := range t.Rows {
		lines = append(lines, strings.Join(tsvCells(row), "\t"))
	}
	return strings.Join(lines, "\n")
}

// tsvCells returns the cells of a row.
func tsvCells(row []any) []string {
	var cells []string
	for _, cell := range row {
		cells = append(cells, tsvCell(cell))
	}
	return cells
}

// tsvCell returns a cell in one line, without tabs, and a number with all its digits.
func tsvCell(cell any) string {
	text := fmt.Sprint(cell)
	switch n := cell.(type) {
	case Number:
		text = fmt.Sprint(n.Value)
	case Count:
		text = strconv.Itoa(int(n))
	}
	return Visible(strings.Join(strings.Fields(text), " "))
}

// Strings returns rows of strings as rows of a Table.
func Strings(rows [][]string) [][]any {
	out := make([][]any, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			out[i] = append(out[i], cell)
		}
	}
	return out
}

// isNumber says whether a cell holds a number, perhaps with an error or a unit.
func isNumber(cell string) bool {
	const mostWords = 4 // 1.5 ± 0.2 %
	return cell == "-" || cell != "" && strings.ContainsAny(cell[:1], "0123456789+-") &&
		!strings.ContainsAny(cell, "x:") && len(strings.Fields(cell)) <= mostWords
}

// Wrap breaks text between words into lines of at most width characters, where it can.
func Wrap(text string, width int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Split(text, " ") {
		n := len([]rune(word))
		switch {
		case i == 0:
		case at+1+n > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// Count is a cell of a whole number, which people get with commas between thousands.
type Count int

// String returns the number with commas.
func (n Count) String() string {
	s := strconv.Itoa(int(n))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Record is a Value of a line for people, and of the same numbers by name for programs.
type Record struct {
	Line   string
	Fields []Field
}

// Field is a named value of a Record, as a cell of a Table.
type Field struct {
	Name  string
	Value any
}

// Kind returns "record".
func (Record) Kind() string { return "record" }

// Text returns the line.
func (r Record) Text(width int) string { return Text(r.Line).Text(width) }

// HTML returns the line.
func (r Record) HTML() string { return Text(r.Line).HTML() }

// TSV returns a line for each field: its name and its value.
func (r Record) TSV() string {
	var lines []string
	for _, f := range r.Fields {
		lines = append(lines, tsvCell(f.Name)+"\t"+tsvCell(f.Value))
	}
	return strings.Join(lines, "\n")
}

// MarshalJSON returns an object of the fields, and the line as its "text".
func (r Record) MarshalJSON() ([]byte, error) {
	object := map[string]any{"text": r.Line}
	for _, f := range r.Fields {
		object[f.Name] = f.Value
	}
	return json.Marshal(object)
}
