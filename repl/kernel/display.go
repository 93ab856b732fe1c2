package kernel

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"sync"
	"time"

	"github.com/pdquant/pdquant/repl/shell"
)

const (
	columns  = 100                    // of tables as text
	together = 50 * time.Millisecond  // text within this time goes out as one message
	between  = 500 * time.Millisecond // from one state of a step to the next
	mostText = 1 << 16                // bytes of text in a message
	mostCell = 1 << 20                // bytes that a cell may show; notebook servers drop what comes faster

	leastValue = 1 << 10 // bytes that a value counts for at least, as servers limit the number of messages, too
)

// display sends what a cell shows. Its methods may be called side by side.
type display struct {
	publish sender

	mu     sync.Mutex
	parent json.RawMessage // of the cell; nil: none runs, or a silent one
	text   strings.Builder // not yet sent
	stream string          // that it is of: "stdout" or "stderr"
	timer  *time.Timer     // that sends it
	last   map[string]any  // the last value, if nothing followed it: perhaps the cell's result; nil: none
	shown  int             // bytes of the cell so far
	capped bool            // more than mostCell

	step   shell.Step // the one under way
	stepID string     // of its display; "": none in this cell yet
	began  time.Time  // of the step
	sent   time.Time  // of its last state
}

// begin makes what follows a cell's output.
func (d *display) begin(parent json.RawMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parent, d.shown, d.capped, d.stepID, d.step = parent, 0, false, "", shell.Step{}
}

// end sends what is left of a cell's output. The last value is the result of the cell with that number.
func (d *display) end(count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil {
		d.last["execution_count"] = count
		d.send("execute_result", d.last)
		d.last = nil
	}
	d.flush()
	d.parent = nil
}

// capture returns what run shows as text, instead of sending it.
func (d *display) capture(run func() error) (text string, err error) {
	var shown []string
	real := d.redirect(func(_ string, _ json.RawMessage, content any) { shown = append(shown, plain(content)) })
	d.begin(json.RawMessage("{}"))
	err = run()
	d.end(0)
	d.redirect(real)
	return strings.TrimRight(strings.Join(shown, "\n"), "\n"), err
}

// sender is what sends a message of a type that answers the one with the header parent.
type sender func(kind string, parent json.RawMessage, content any)

// redirect makes d send by another function, and returns the one before.
func (d *display) redirect(to sender) sender {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.publish
	d.publish = to
	return was
}

// plain returns what a message shows as text.
func plain(content any) string {
	fields, _ := content.(map[string]any)
	if data, ok := fields["data"].(map[string]any); ok {
		fields = map[string]any{"text": data["text/plain"]}
	}
	text, _ := fields["text"].(string)
	return strings.TrimRight(text, "\n")
}

// Show sends a value: text as a stream, others as text, HTML, JSON and, if they are pictures, SVG and PNG.
func (d *display) Show(v shell.Value) error {
	if t, ok := v.(shell.Text); ok {
		d.write("stdout", t.Text(0))
		return nil
	}
	if d.full() {
		return nil
	}
	data, err := bundle(v)
	if err != nil {
		d.Note(fmt.Sprintf("a %s can't be shown: %v", v.Kind(), err))
		return err
	}
	size := 0
	for _, form := range data {
		if text, ok := form.(string); ok {
			size += len(text)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fits(max(size, leastValue)) {
		d.flush()
		d.last = map[string]any{"data": data, "metadata": map[string]any{}}
	}
	return nil
}

// full says whether the cell may show nothing more.
func (d *display) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.capped
}

// jsonType isn't application/json, which JupyterLab shows as a tree, in preference to HTML.
const jsonType = "application/vnd.pdquant+json"

// bundle returns the forms of a value by their MIME types.
func bundle(v shell.Value) (map[string]any, error) {
	data := map[string]any{"text/plain": v.Text(columns)}
	switch v := v.(type) {
	case shell.Text:
	case shell.Picture:
		svg, err := v.SVG()
		if err != nil {
			return nil, err
		}
		png, err := v.PNG()
		if err != nil {
			return nil, err
		}
		data["image/svg+xml"], data["image/png"] = string(svg), base64.StdEncoding.EncodeToString(png)
	default:
		object, err := json.Marshal(map[string]any{"kind": v.Kind(), "value": v})
		if err != nil {
			return nil, err
		}
		data["text/html"], data[jsonType] = v.HTML(), json.RawMessage(object)
	}
	return data, nil
}

// Note sends text as a stream.
func (d *display) Note(text string) { d.write("stdout", shell.Visible(text)) }

// Stderr sends text as a stream of errors, which notebooks show on red.
func (d *display) Stderr(text string) { d.write("stderr", shell.Visible(text)) }

// Fail does nothing: the error is in the reply.
func (d *display) Fail(error) {}

// Clear lets the notebook drop what the cell has shown.
func (d *display) Clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flush()
	d.stepID = ""
	d.send("clear_output", map[string]any{"wait": false})
}

func (d *display) write(stream, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.fits(len(line) + 1) {
		return
	}
	if stream != d.stream || d.last != nil {
		d.flush()
		d.stream = stream
	}
	d.text.WriteString(line + "\n")
	if d.text.Len() > mostText {
		d.flush()
	} else if d.timer == nil {
		d.timer = time.AfterFunc(together, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.flush()
		})
	}
}

// fits says whether the cell may show n more bytes. The first time that it may not, it says so.
func (d *display) fits(n int) bool {
	if d.shown += n; d.shown <= mostCell {
		return true
	}
	if !d.capped {
		d.capped = true
		d.flush()
		d.stream = "stderr"
		d.text.WriteString(fmt.Sprintf("More than %d KiB: the rest isn't shown. write FILE saves the last table, "+
			"html FILE all that the session showed.\n", mostCell>>10))
		d.flush()
	}
	return false
}

// flush sends what waits.
func (d *display) flush() {
	if d.last != nil {
		d.send("display_data", d.last)
		d.last = nil
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.text.Len() > 0 {
		d.send("stream", map[string]any{"name": d.stream, "text": d.text.String()})
		d.text.Reset()
	}
}

func (d *display) send(kind string, content any) {
	if d.parent != nil {
		d.publish(kind, d.parent, content)
	}
}

// Progress shows how far a step has come, in one place of the cell, at most twice a second.
func (d *display) Progress(s shell.Step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Name != d.step.Name {
		d.began = time.Now()
	}
	if d.step = s; time.Since(d.sent) >= between {
		d.showStep()
	}
}

// Done shows the last state of a step that was shown.
func (d *display) Done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stepID != "" && d.step.Name != "" {
		d.showStep()
	}
	d.step = shell.Step{}
}

func (d *display) showStep() {
	d.flush()
	d.sent = time.Now()
	text := fmt.Sprintf("%s: %d of %d, %s", d.step.Name, d.step.Done, d.step.Total,
		time.Since(d.began).Round(100*time.Millisecond))
	if more := strings.Trim(d.step.Text, " ;"); more != "" {
		text += ", " + more
	}
	kind := "update_display_data"
	if d.stepID == "" {
		d.stepID, kind = newID(), "display_data"
	}
	d.send(kind, map[string]any{
		"data": map[string]any{"text/plain": text, "text/html": fmt.Sprintf(
			`<progress value="%d" max="%d"></progress> <code>%s</code>`,
			d.step.Done, max(d.step.Total, 1), html.EscapeString(text))},
		"metadata": map[string]any{}, "transient": map[string]any{"display_id": d.stepID},
	})
}

// underWay returns the name of the step under way; "": none.
func (d *display) underWay() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.step.Name
}
