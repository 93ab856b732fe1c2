package kernel_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestInfo: what notebooks are told of the kernel.
func TestInfo(t *testing.T) {
	c := start(t)
	info := c.request(c.control, "kernel_info_request", object{}) // on control, too
	language, _ := info["language_info"].(object)
	for _, x := range []struct{ got, want any }{
		{info["status"], "ok"}, {info["protocol_version"], "5.4"}, {info["implementation"], "pdquant"},
		{language["name"], "pdquant"}, {language["file_extension"], ".pdq"}, {info["debugger"], false},
	} {
		if x.got != x.want {
			t.Errorf("got %v, want %v", x.got, x.want)
		}
	}
	if banner, _ := info["banner"].(string); !strings.Contains(banner, "help") {
		t.Errorf("the banner is %q", banner)
	}
	if r := c.request(c.shell, "comm_info_request", object{}); fmt.Sprint(r["comms"]) != "map[]" {
		t.Errorf("comm_info: %v", r)
	}
}

// TestHeartbeat: it comes back as it was sent.
func TestHeartbeat(t *testing.T) {
	c := start(t)
	for _, want := range []string{"ping", ""} {
		if err := c.beat.Send(nil, []byte(want)); err != nil {
			t.Fatal(err)
		}
		parts, err := c.beat.Receive(within)
		if err != nil || len(parts) != 2 || string(parts[1]) != want {
			t.Errorf("%q comes back as %q, %v", want, parts, err)
		}
	}
}

// TestComplete: places are counted in code points, in the line of the cursor.
func TestComplete(t *testing.T) {
	c := start(t)
	for _, x := range []struct {
		code       string
		cursor     any // nil: none is given
		matches    string
		begin, end float64
	}{
		{"su", 2, "sum", 0, 2},
		{"su", nil, "sum", 0, 2},
		{"su rest", 2, "sum", 0, 2},
		{"", 0, "add sum table draw", 0, 0},
		{"add a", 5, "añb", 4, 5},
		{"add añ", 6, "añb", 4, 6},
		{"sum # ñ\nadd añ\nsum", 14, "añb", 12, 14},
		{"ñ; su", 99, "sum", 3, 5},
		{"su", -1, "add", 0, 0},
		{"nothing begins so", 17, "", 15, 17},
		{"sum # su", 8, "", 8, 8},
		{"add ñ'", 6, "", 6, 6},
		{"add \"a", 6, "añb", 4, 6},
		{"add n=\"a", 8, "añb", 6, 8},
		{"add sp", 6, `sp" "ace`, 4, 6},
		{"add 'sp a", 9, `sp" "ace`, 4, 9},
	} {
		r := c.request(c.shell, "complete_request", object{"code": x.code, "cursor_pos": x.cursor})
		var matches []string
		for _, m := range r["matches"].([]any) {
			matches = append(matches, m.(string))
		}
		if got := strings.Join(matches, " "); !strings.HasPrefix(got, x.matches) || got != "" && x.matches == "" {
			t.Errorf("%q: %q, want %q", x.code, got, x.matches)
		}
		if x.matches != "" && (r["cursor_start"] != x.begin || r["cursor_end"] != x.end) {
			t.Errorf("%q: from %v to %v, want %v to %v", x.code, r["cursor_start"], r["cursor_end"], x.begin, x.end)
		}
	}
}

// TestInspect: the command at the cursor is explained.
func TestInspect(t *testing.T) {
	c := start(t)
	for code, want := range map[string]string{"add": "add to the sum", "sum;  add 3": "add to the sum", "ñ": "", "": ""} {
		r := c.request(c.shell, "inspect_request", object{"code": code, "cursor_pos": len([]rune(code)), "detail_level": 0})
		data, _ := r["data"].(object)
		got, _ := data["text/plain"].(string)
		if r["status"] != "ok" || r["found"] != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%q: %v", code, r)
		}
	}
}

// TestIsComplete: a quote or a backslash asks for more.
func TestIsComplete(t *testing.T) {
	c := start(t)
	for code, want := range map[string]string{"": "complete", "add 1": "complete", "add 'x": "incomplete",
		"add 1 \\": "incomplete", "# it's": "complete", "sum\nadd \"x": "incomplete", "add 'x\ny'": "complete"} {
		r := c.request(c.shell, "is_complete_request", object{"code": code})
		if r["status"] != want {
			t.Errorf("%q is %v, want %s", code, r["status"], want)
		}
	}
}

// TestHistory: cells are remembered, and found by number, from the end and by pattern.
func TestHistory(t *testing.T) {
	c := start(t)
	for _, code := range []string{"add 1", "sum", "add 2\nsum", "sum"} {
		c.run(code)
	}
	c.run("table", object{"store_history": false})
	c.run("table", object{"silent": true})
	for _, x := range []struct {
		ask  object
		want string
	}{
		{object{"hist_access_type": "tail", "n": 2}, "[1 3 add 2\nsum] [1 4 sum]"},
		{object{"hist_access_type": "tail", "n": 0}, ""},
		{object{"hist_access_type": "tail", "n": -1}, ""},
		{object{"hist_access_type": "tail", "n": 1, "output": true}, "[1 4 [sum <nil>]]"},
		{object{"hist_access_type": "range", "session": 0, "start": 1, "stop": 3}, "[1 1 add 1] [1 2 sum]"},
		{object{"hist_access_type": "range", "session": 1, "start": 4}, "[1 4 sum]"},
		{object{"hist_access_type": "range", "session": 7, "start": 0}, ""},
		{object{"hist_access_type": "search", "pattern": "add*", "n": 10}, "[1 1 add 1] [1 3 add 2\nsum]"},
		{object{"hist_access_type": "search", "pattern": "s?m", "unique": true}, "[1 4 sum]"},
		{object{"hist_access_type": "search", "pattern": "["}, ""},
	} {
		r := c.request(c.shell, "history_request", x.ask)
		var got []string
		for _, e := range r["history"].([]any) {
			if s := fmt.Sprint(e); !strings.HasPrefix(s, "[0") { // lines typed at a prompt before
				got = append(got, s)
			}
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%v: %q, want %q", x.ask, got, x.want)
		}
	}
}

// TestMalformed: what can't be read is dropped or refused, with a line in the log, and the kernel goes on.
func TestMalformed(t *testing.T) {
	c := start(t)
	head := []byte(`{"msg_id":"x","msg_type":"execute_request"}`)
	e := []byte("{}")
	raw := func(parts ...[]byte) [][]byte { return parts }
	for _, frames := range [][][]byte{
		raw(e), raw([]byte("<IDS|MSG>")), raw([]byte("<IDS|MSG>"), []byte("0"), head, e, e, e),
		raw([]byte("<IDS|MSG>"), nil, head, e, e, e), raw([]byte("<IDS|MSG>"), []byte(sign(e, e, e)), e, e, e),
		raw([]byte("<IDS|MSG>"), []byte(sign(e, e, e, []byte("{"))), e, e, e, []byte("{")),
		raw([]byte("<IDS|MSG>"), []byte(sign([]byte("["), e, e, e)), []byte("["), e, e, e),
		raw([]byte("<IDS|MSG>"), []byte(sign(e, e, e, e)), e, e, e, e), // of no type
	} {
		if err := c.shell.Send(frames...); err != nil {
			t.Fatal(err)
		}
	}
	for _, content := range []any{"text", []int{1}, object{"code": 7}, object{"code": nil, "cursor_pos": "x"}} {
		for _, kind := range []string{"execute_request", "complete_request", "inspect_request", "is_complete_request",
			"history_request"} {
			if r := c.request(c.shell, kind, content); r["status"] == nil {
				t.Errorf("%s of %v: %v", kind, content, r)
			}
		}
	}
	c.send(c.shell, "unknown_request", object{})
	if r := c.request(c.shell, "kernel_info_request", object{}); r["status"] != "ok" {
		t.Errorf("kernel_info: %v", r)
	}
	if n := strings.Count(c.log.String(), "dropped"); n != 9 {
		t.Errorf("%d messages are logged as dropped, want 9:\n%s", n, c.log)
	}
}

// TestWelcome: a client hears that it has subscribed.
func TestWelcome(t *testing.T) {
	c := start(t) // waits for one
	if err := c.iopub.Command("SUBSCRIBE", "kernel."); err != nil {
		t.Fatal(err)
	}
	if m := c.receive(c.iopub); m.kind != "iopub_welcome" || m.content["subscription"] != "kernel." {
		t.Errorf("%s: %v", m.kind, m.content)
	}
}

// TestComm: a comm is closed at once, so that nobody waits for it.
func TestComm(t *testing.T) {
	c := start(t)
	id := c.send(c.shell, "comm_open", object{"comm_id": "7", "target_name": "jupyter.widget", "data": object{}})
	all := c.output(id)
	if len(all) != 1 || all[0].kind != "comm_close" || all[0].content["comm_id"] != "7" {
		t.Errorf("%v", all)
	}
}
