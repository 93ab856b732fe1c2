package shell

import (
	"bufio"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

// part is something that the session showed: a command, a value, a note or an error.
type part struct {
	class string // of its HTML element
	value Value
	size  int // bytes, about
}

// transcript is what the session showed. The oldest parts go where there are too many.
type transcript struct {
	parts []part
	size  int // bytes, about
	left  int // how many parts are left out
}

// mostKept is how many bytes of a session are kept for html, about.
const mostKept = 16 << 20

func (t *transcript) add(class string, v Value) {
	p := part{class, v, len(v.TSV()) + 64}
	t.parts, t.size = append(t.parts, p), t.size+p.size
	if t.size <= mostKept {
		return
	}
	n := 0
	for ; t.size > mostKept/2 && n < len(t.parts)-1; n++ { // many at once, as each time moves all
		t.size -= t.parts[n].size
	}
	t.parts, t.left = slices.Delete(t.parts, 0, n), t.left+n
}

// html is a page of all parts.
func (t *transcript) html(title string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<h1>%s</h1>\n<p>%s</p>\n", html.EscapeString(title), time.Now().Format(time.DateTime))
	if t.left > 0 {
		fmt.Fprintf(&b, "<p>The first %d of %d parts are left out.</p>\n", t.left, t.left+len(t.parts))
	}
	for _, p := range t.parts {
		fmt.Fprintf(&b, "<div class=%q>%s</div>\n", p.class, p.value.HTML())
	}
	return Page(title, b.String())
}

// Page returns a page of HTML that needs no other file, around the elements of its body.
func Page(title, body string) string {
	const style = `body { font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 64em; margin: 2em auto;
  padding: 0 1em }
pre { font: 13px/1.4 ui-monospace, monospace; margin: .4em 0; white-space: pre-wrap }
table { border-collapse: collapse; margin: .6em 0; font-size: 13px }
th, td { border-bottom: 1px solid #ddd; padding: .2em .7em; text-align: left; vertical-align: top }
th { border-bottom-color: #888 }
img, svg { max-width: 100%; height: auto }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(22em, 1fr)); gap: 1em }
.command pre { background: #f2f2f2; padding: .4em .7em; margin-top: 1.2em }
.note { color: #666 }
.error { color: #b00020 }`
	return "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>" + html.EscapeString(title) +
		"</title>\n<style>" + style + "</style></head>\n<body>\n" + body + "\n</body>\n</html>\n"
}

func writePage[S any](c *Call[S]) (S, error) {
	path := c.Values["file"]
	if len(c.shell.shown.parts) == 0 {
		return c.State, errors.New("repl: the session has shown nothing yet")
	}
	title := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	err := WriteFile(path, func(w io.Writer) error {
		_, err := io.WriteString(w, c.shell.shown.html(title))
		return err
	})
	if err == nil {
		c.Print("page in %s", path)
	}
	return c.State, err
}

// WriteFile writes a file, whole or not at all, with what fill writes.
func WriteFile(path string, fill func(w io.Writer) error) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("repl: %s is a folder; name a file in it", path)
	}
	err := atomicfile.Write(path, func(f *os.File) error {
		w := bufio.NewWriter(f)
		if err := fill(w); err != nil {
			return err
		}
		return w.Flush()
	})
	if err != nil {
		return fmt.Errorf("repl: %s can't be written: %w; choose another place", path, err)
	}
	return nil
}

// CanWrite is an error if WriteFile couldn't write to path as things are. It leaves nothing behind.
func CanWrite(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("repl: %s is a folder; name a file in it", path)
	}
	if err := atomicfile.Try(path); err != nil {
		return fmt.Errorf("repl: %s can't be written: %w; choose another place", path, err)
	}
	return nil
}
