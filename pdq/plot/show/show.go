// Package show puts charts, tables and progress into GoNB notebooks. In a terminal the same calls print:
// a chart's path, a table's text, a line of progress.
//
// A cell ends before its output has arrived unless it waits: each function does.
package show

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/janpfeifer/gonb/gonbui"

	"github.com/pdquant/pdquant/pdq"
)

// Chart shows what draw writes to the PNG whose path it is given: plot.Bars, Lines or Columns. A
// PNG brings its letters along; a browser would put others of another width into an SVG.
func Chart(draw func(path string) error) error {
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		return fmt.Errorf("show: %w", err)
	}
	path := filepath.Join(dir, "chart.png")
	if err := draw(path); err != nil {
		return err
	}
	if !gonbui.IsNotebook {
		fmt.Println(path)
		return nil
	}
	defer os.RemoveAll(dir) // only a copy remains to be lost
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("show: %w", err)
	}
	size, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("show: %w", err)
	}
	const pixels = 2 // of the file for one on the screen, as plot draws
	gonbui.DisplayHTMLF(`<img width="%d" alt="chart" src="data:image/png;base64,%s">`, size.Width/pixels,
		base64.StdEncoding.EncodeToString(data))
	gonbui.Sync()
	return gonbui.Error()
}

// Table shows rows under their headers, numbers to the right.
func Table(headers []string, rows [][]string) error {
	if !gonbui.IsNotebook {
		fmt.Println(strings.Join(headers, "\t"))
		for _, row := range rows {
			fmt.Println(strings.Join(row, "\t"))
		}
		return nil
	}
	gonbui.DisplayHTML(tableHTML(headers, rows))
	gonbui.Sync()
	return gonbui.Error()
}

func tableHTML(headers []string, rows [][]string) string {
	var b strings.Builder
	b.WriteString("<table><thead><tr>")
	for _, h := range headers {
		fmt.Fprintf(&b, "<th>%s</th>", html.EscapeString(h))
	}
	b.WriteString("</tr></thead><tbody>")
	for _, row := range rows {
		b.WriteString("<tr>")
		for _, cell := range row {
			align := "left"
			if cell != "" && strings.ContainsAny(cell[:1], "0123456789+-−") {
				align = "right"
			}
			fmt.Fprintf(&b, `<td style="text-align:%s">%s</td>`, align, html.EscapeString(cell))
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</tbody></table>")
	return b.String()
}

// Progress is a line that says how far a run has come, in place. Its zero value is ready.
type Progress struct {
	mu   sync.Mutex
	id   string
	last time.Time
}

// Event shows an event of a Quantizer, a few times a second: q.Progress = p.Event.
func (p *Progress) Event(e pdq.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Done < e.Total && time.Since(p.last) < time.Second/4 {
		return
	}
	p.last = time.Now()
	text := e.Step.String()
	if e.Unit != "" {
		text += " of " + e.Unit
	}
	p.print(fmt.Sprintf("%s: %d of %d", text, e.Done, e.Total))
}

// Done takes the line away.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.print("")
	gonbui.Sync()
}

func (p *Progress) print(text string) {
	if !gonbui.IsNotebook {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text) // to the line's start, and what was there away
		return
	}
	if p.id == "" {
		p.id = gonbui.UniqueId()
	}
	gonbui.UpdateHTML(p.id, "<tt>"+html.EscapeString(text)+"</tt>")
}
