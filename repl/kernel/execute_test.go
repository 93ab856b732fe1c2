package kernel_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestExecute gives cells, one after the other, and what is heard of them.
func TestExecute(t *testing.T) {
	c := start(t)
	silent := object{"silent": true}
	for _, x := range []struct {
		code string
		ask  object
		want []string // the first is the reply's status and count
	}{
		{"add 1; sum\n\n# a comment\nsum", nil, []string{"ok 1", "execute_input: 1", "stream: sum 1\nsum 1\n"}},
		{"", nil, []string{"ok 2", "execute_input: 2"}},
		{"table", nil, []string{"ok 3", "execute_input: 3", "execute_result: "}},
		{"draw; sum", nil, []string{"ok 4", "execute_input: 4", "display_data: ~~", "stream: sum 1\n"}},
		{"note\nsum", nil, []string{"ok 5", "execute_input: 5", "stream: a note\nsum 1\n"}},
		{"add 1\nsum\nñ; add 1", nil, []string{"error 6", "execute_input: 6", "stream: sum 2\n",
			`error: cell:3: repl: no command "ñ"; help lists all`}},
		{"add 1; sum", silent, []string{"ok 6"}},
		{"ñ", silent, []string{"error 6"}},
		{"sum", object{"store_history": false}, []string{"ok 6", "execute_input: 6", "stream: sum 3\n"}},
		{"add \\\n1; sum", nil, []string{"ok 7", "execute_input: 7", "stream: sum 4\n"}},
		{"\r\nsum\r\n", nil, []string{"ok 8", "execute_input: 8", "stream: sum 4\n"}},
		{"quit\nadd 1", nil, []string{"ok 9", "execute_input: 9"}},
		{"sum 'a\nb", nil, []string{"error 10", "execute_input: 10", "error: cell:1: repl: the quote 'a isn't closed"}},
		{"%%time\nsum\nñ", nil, []string{"error 11", "execute_input: 11", "stream: sum 4\n",
			"execute_result: ", `error: cell:3: repl: no command "ñ"; help lists all`}},
	} {
		if x.ask == nil {
			x.ask = object{}
		}
		reply, all := c.run(x.code, x.ask)
		got := append([]string{fmt.Sprint(reply["status"], " ", reply["execution_count"])}, text(all)...)
		same := func(got, want string) bool {
			return got == want || want == "execute_result: " && strings.HasPrefix(got, want)
		}
		if !slices.EqualFunc(got, x.want, same) {
			t.Errorf("%q: got %q,\nwant %q", x.code, got, x.want)
		}
		if lines, ok := reply["traceback"].([]any); reply["status"] == "error" && (!ok || len(lines) == 0) {
			t.Errorf("%q: %v", x.code, reply)
		}
	}
}

// TestForms: values come in the forms from which notebooks choose, of which JSON mustn't be one that they prefer.
func TestForms(t *testing.T) {
	c := start(t)
	for code, want := range map[string][]string{
		"table": {"application/vnd.pdquant+json", "text/html", "text/plain"},
		"draw":  {"image/png", "image/svg+xml", "text/plain"},
	} {
		_, all := c.run(code)
		data, _ := all[1].content["data"].(object)
		if got := slices.Sorted(maps.Keys(data)); !slices.Equal(got, want) {
			t.Errorf("%s has the forms %q, want %q", code, got, want)
		}
		for kind, form := range data {
			if text, ok := form.(string); ok && text == "" {
				t.Errorf("%s as %s is empty", code, kind)
			}
		}
		if o, ok := data[want[0]].(object); code == "table" && (!ok || o["kind"] != "table") {
			t.Errorf("%s as JSON: %v", code, data[want[0]])
		}
	}
}

// TestExpressions: what each shows is in the reply, and not in the cell.
func TestExpressions(t *testing.T) {
	c := start(t)
	reply, all := c.run("add 3", object{"user_expressions": object{"s": "sum", "t": "note; sum", "bad": "ñ"}})
	if got := text(all); len(got) != 1 {
		t.Errorf("heard of the cell: %q", got)
	}
	results, _ := reply["user_expressions"].(object)
	for name, want := range map[string]string{"s": "sum 3", "t": "a note\nsum 3"} {
		r, _ := results[name].(object)
		if data, _ := r["data"].(object); r["status"] != "ok" || data["text/plain"] != want {
			t.Errorf("%s: %v", name, r)
		}
	}
	if r, _ := results["bad"].(object); r["status"] != "error" || r["ename"] == "" {
		t.Errorf("bad: %v", r)
	}
	if reply, _ := c.run("ñ", object{"user_expressions": object{"s": "sum"}}); reply["user_expressions"] != nil {
		t.Errorf("after an error: %v", reply)
	}
}

// TestQueue: cells wait for each other, and an error aborts those that wait, unless it shall not.
func TestQueue(t *testing.T) {
	c := start(t)
	for stops, want := range map[bool]string{true: "ok error aborted aborted", false: "ok error ok ok"} {
		var ids, got []string
		for _, code := range []string{"steps 200", "ñ", "sum", "sum"} {
			ids = append(ids, c.send(c.shell, "execute_request", object{"code": code, "stop_on_error": stops}))
		}
		for _, id := range ids {
			c.output(id)
			got = append(got, fmt.Sprint(c.reply(c.shell, id).content["status"]))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("stop_on_error %v: %s, want %s", stops, s, want)
		}
		if reply, _ := c.run("sum"); reply["status"] != "ok" {
			t.Errorf("afterwards: %v", reply)
		}
	}
}

// until waits for a message of a kind.
func (c *client) until(kind string) {
	c.t.Helper()
	for c.receive(c.iopub).kind != kind {
	}
}

// TestInterrupt: a message and a signal end the cell, what it had is kept, and the rest of the queue is aborted. The
// kernel answers other requests meanwhile.
func TestInterrupt(t *testing.T) {
	c := start(t)
	for n, interrupt := range []func(){
		func() { c.request(c.control, "interrupt_request", object{}) },
		func() {
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				t.Error(err)
			}
		},
	} {
		id := c.send(c.shell, "execute_request", object{"code": "wait"})
		next := c.send(c.shell, "execute_request", object{"code": "add 100"})
		c.until("stream")
		began := time.Now()
		r := c.request(c.shell, "complete_request", object{"code": "add ", "cursor_pos": 4})
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("completion took %v while a cell ran", took)
		}
		if m := r["matches"].([]any); !slices.Contains(m, any(fmt.Sprint(n))) {
			t.Errorf("matches are %v", m)
		}
		began = time.Now()
		interrupt()
		reply := c.reply(c.shell, id).content
		if took := time.Since(began); took > time.Second {
			t.Errorf("the cell ended after %v", took)
		}
		if reply["status"] != "error" || reply["ename"] != "Interrupted" {
			t.Errorf("reply: %v", reply)
		}
		if reply := c.reply(c.shell, next).content; reply["status"] != "aborted" {
			t.Errorf("the next one: %v", reply)
		}
		c.output(next)
		if _, all := c.run("sum"); text(all)[1] != fmt.Sprintf("stream: sum %d\n", n+1) {
			t.Errorf("kept: %q", text(all))
		}
	}
	c.request(c.control, "interrupt_request", object{}) // nothing runs
	if reply, _ := c.run("sum"); reply["status"] != "ok" {
		t.Errorf("afterwards: %v", reply)
	}
}

// TestFlood: a cell that shows too much is cut short, and says so, without too many messages.
func TestFlood(t *testing.T) {
	c := start(t)
	for _, code := range []string{"lines 100000", "tables 100000"} {
		reply, all := c.run(code)
		size := 0
		for _, m := range all {
			size += m.size
		}
		if reply["status"] != "ok" || size > 2<<20 || len(all) > 1100 {
			t.Errorf("%s: %v, %d messages of %d bytes", code, reply["status"], len(all), size)
		}
		if s := text(all); !strings.Contains(strings.Join(s, ""), "the rest isn't shown") {
			t.Errorf("%s ends with %q", code, s[len(s)-1])
		}
	}
	if _, all := c.run("sum"); len(all) != 2 {
		t.Errorf("afterwards: %q", text(all))
	}
}

// TestProgress: a step has one place in the cell, which changes at most twice a second, and shows the end.
func TestProgress(t *testing.T) {
	c := start(t)
	began := time.Now()
	_, all := c.run("steps 1200")
	most := 3 + int(2*time.Since(began).Seconds())
	places := map[any]int{}
	for _, m := range all[1:] {
		transient, _ := m.content["transient"].(object)
		places[transient["display_id"]]++
	}
	if len(places) != 1 || all[1].kind != "display_data" || len(all)-1 > most {
		t.Errorf("%d messages in %d places, want at most %d in one", len(all)-1, len(places), most)
	}
	if s := text(all); !strings.Contains(s[len(s)-1], "stepping: 1200 of 1200") ||
		!strings.Contains(s[len(s)-1], "loss 1") {
		t.Errorf("the last is %q", s[len(s)-1])
	}
}

// TestSaved: the session is saved after each cell that changed it.
func TestSaved(t *testing.T) {
	c := start(t)
	c.run("sum")
	if found, _ := filepath.Glob("runs/*"); len(found) > 0 {
		t.Errorf("an empty session is saved in %v", found)
	}
	for _, want := range []string{"1", "3"} {
		c.run("add " + want + "\nadd 0\nadd -0")
		found, err := filepath.Glob("runs/*/sum")
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if got, err := os.ReadFile(found[0]); err != nil || string(got) != map[string]string{"1": "1", "3": "4"}[want] {
			t.Errorf("saved: %s, %v", got, err)
		}
	}
}

// TestMemory: cells leave nothing behind.
func TestMemory(t *testing.T) {
	c := start(t)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	began := time.Now()
	for i := range 1100 {
		if i == 100 {
			before, began = heap(), time.Now()
		}
		c.run("sum; table; draw")
	}
	each := time.Since(began) / 1000
	t.Logf("%v a cell, heap %d then %d KiB", each, before>>10, heap()>>10)
	if after := heap(); after > before+4<<20 {
		t.Errorf("the heap grew from %d to %d KiB in 1000 cells", before>>10, after>>10)
	}
	if each > 50*time.Millisecond {
		t.Errorf("a cell took %v", each)
	}
}

// TestUnsaved: a session that can't be saved is told of in the cell.
func TestUnsaved(t *testing.T) {
	c := start(t)
	if err := os.WriteFile("runs", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	reply, all := c.run("add 1")
	if s := text(all); reply["status"] != "ok" || len(s) != 2 || !strings.Contains(s[1], "can't be saved") {
		t.Errorf("%v, %q", reply, s)
	}
	if err := os.Remove("runs"); err != nil {
		t.Fatal(err)
	}
}
