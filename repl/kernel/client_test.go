package kernel_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pdquant/pdquant/repl/kernel"
	"github.com/pdquant/pdquant/repl/kernel/zmtp/zmtptest"
	"github.com/pdquant/pdquant/repl/shell"
)

const (
	key    = "a secret"
	within = 20 * time.Second // for what comes at once
)

type object = map[string]any

// message is a message that the kernel sent.
type message struct {
	kind    string
	parent  string // the identifier of the message that it answers; "": none
	content object
	size    int // bytes of the content
}

// client is a kernel, and its only client.
type client struct {
	t                                  *testing.T
	file                               string
	ports                              object // the connection file's content
	log                                *buffer
	done                               chan error // what Serve returned
	shell, control, iopub, stdin, beat *zmtptest.Client
	sent                               int
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// connection returns the content of a connection file with free ports.
func connection(t testing.TB) object {
	t.Helper()
	c := object{"transport": "tcp", "ip": "127.0.0.1", "key": key, "signature_scheme": "hmac-sha256"}
	for _, name := range []string{"shell_port", "control_port", "iopub_port", "stdin_port", "hb_port"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c[name] = l.Addr().(*net.TCPAddr).Port
	}
	return c
}

func writeJSON(t testing.TB, path string, x any) string {
	t.Helper()
	data, err := json.Marshal(x)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts a kernel in a folder of its own, and connects to it. It is shut down with the test.
func start(t *testing.T) *client {
	t.Helper()
	t.Chdir(t.TempDir())
	about := connection(t)
	c := &client{t: t, ports: about, log: &buffer{}, done: make(chan error, 1)}
	c.file = writeJSON(t, filepath.Join(t.TempDir(), "kernel.json"), about)
	go func() {
		c.done <- kernel.Serve(c.file, func(d shell.Display) (kernel.Shell, error) { return toy(d), nil }, c.log)
	}()
	for _, s := range []struct {
		to         **zmtptest.Client
		kind, port string
	}{{&c.iopub, "SUB", "iopub_port"}, {&c.shell, "DEALER", "shell_port"}, {&c.control, "DEALER", "control_port"},
		{&c.stdin, "DEALER", "stdin_port"}, {&c.beat, "REQ", "hb_port"}} {
		*s.to = c.connect(s.kind, s.port)
	}
	if err := c.iopub.Command("SUBSCRIBE", ""); err != nil {
		t.Fatal(err)
	}
	for c.receive(c.iopub).kind != "iopub_welcome" { // from then on nothing is missed
	}
	t.Cleanup(func() { c.shutdown() })
	return c
}

// connect connects to the kernel's socket of a name, once it is bound.
func (c *client) connect(kind, name string) *zmtptest.Client {
	c.t.Helper()
	network, address := "tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(c.ports[name]))
	if c.ports["transport"] == "ipc" {
		network, address = "unix", fmt.Sprintf("%v-%v", c.ports["ip"], c.ports[name])
	}
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		s, err := zmtptest.Dial(kind, network, address, 1)
		if err == nil {
			c.t.Cleanup(func() { _ = s.Conn.Close() })
			return s
		}
		if time.Since(began) > within {
			c.t.Fatal(err)
		}
	}
}

// shutdown ends the kernel, if it still runs.
func (c *client) shutdown() {
	c.t.Helper()
	select {
	case <-c.done:
		return
	default:
	}
	if c.t.Failed() {
		c.t.Logf("the kernel's log: %s", c.log)
	}
	c.send(c.control, "shutdown_request", object{"restart": false})
	select {
	case err := <-c.done:
		if err != nil {
			c.t.Error(err)
		}
	case <-time.After(within):
		c.t.Error("the kernel doesn't end")
	}
}

func sign(parts ...[]byte) string {
	h := hmac.New(sha256.New, []byte(key))
	for _, p := range parts {
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// send sends a request, and returns its identifier.
func (c *client) send(to *zmtptest.Client, kind string, content any) string {
	c.t.Helper()
	c.sent++
	id := strconv.Itoa(c.sent)
	head, err := json.Marshal(object{"msg_id": id, "session": "test", "username": "u", "date": "2025-01-01T00:00:00Z",
		"msg_type": kind, "version": "5.4"})
	body, err2 := json.Marshal(content)
	if err != nil || err2 != nil {
		c.t.Fatal(err, err2)
	}
	parts := [][]byte{head, []byte("{}"), []byte("{}"), body}
	if err := to.Send(append([][]byte{[]byte("<IDS|MSG>"), []byte(sign(parts...))}, parts...)...); err != nil {
		c.t.Fatal(err)
	}
	return id
}

// receive returns the next message of a socket.
func (c *client) receive(from *zmtptest.Client) message {
	c.t.Helper()
	frames, err := from.Receive(within)
	if err != nil {
		c.t.Fatal(err)
	}
	for len(frames) > 0 && string(frames[0]) != "<IDS|MSG>" {
		frames = frames[1:]
	}
	if len(frames) != 6 || string(frames[1]) != sign(frames[2:]...) {
		c.t.Fatalf("a message of ours is signed wrongly: %q", frames)
	}
	var head, parent struct {
		ID   string `json:"msg_id"`
		Type string `json:"msg_type"`
		Date time.Time
	}
	m := message{size: len(frames[5])}
	for i, to := range []any{&head, &parent, &object{}, &m.content} {
		if err := json.Unmarshal(frames[2+i], to); err != nil {
			c.t.Fatalf("%q: %v", frames[2+i], err)
		}
	}
	if head.ID == "" || head.Date.IsZero() {
		c.t.Errorf("the header %s", frames[2])
	}
	m.kind, m.parent = head.Type, parent.ID
	return m
}

// request sends a request and returns the content of its reply.
func (c *client) request(to *zmtptest.Client, kind string, content any) object {
	c.t.Helper()
	id := c.send(to, kind, content)
	return c.reply(to, id).content
}

// reply returns the next message of a socket, which must answer the request given.
func (c *client) reply(from *zmtptest.Client, id string) message {
	c.t.Helper()
	m := c.receive(from)
	if m.parent != id {
		c.t.Fatalf("%s answers %q instead of %q: %v", m.kind, m.parent, id, m.content)
	}
	return m
}

// output returns what is heard of a request between busy and idle.
func (c *client) output(id string) (all []message) {
	c.t.Helper()
	busy := false
	for {
		m := c.receive(c.iopub)
		switch {
		case m.parent != id:
			if busy && m.kind != "status" { // other channels have theirs
				c.t.Errorf("%s of %q is heard while %q runs: %v", m.kind, m.parent, id, m.content)
			}
		case m.kind == "status" && m.content["execution_state"] == "busy":
			busy = true
		case !busy:
			c.t.Errorf("%s is heard before busy", m.kind)
		case m.kind == "status" && m.content["execution_state"] == "idle":
			return all
		default:
			all = append(all, m)
		}
	}
}

// run runs a cell, and returns the content of its reply and what is heard.
func (c *client) run(code string, more ...object) (object, []message) {
	c.t.Helper()
	content := object{"code": code}
	for _, m := range more {
		for k, v := range m {
			content[k] = v
		}
	}
	id := c.send(c.shell, "execute_request", content)
	all := c.output(id)
	return c.reply(c.shell, id).content, all
}

// text returns what messages show as text, each behind its kind.
func text(all []message) (lines []string) {
	for _, m := range all {
		shown := m.content["text"]
		if data, ok := m.content["data"].(object); ok {
			shown = data["text/plain"]
		}
		if m.kind == "execute_input" {
			shown = m.content["execution_count"]
		}
		if m.kind == "error" {
			shown = m.content["evalue"]
		}
		lines = append(lines, fmt.Sprintf("%s: %v", m.kind, shown))
	}
	return lines
}

// toy is a shell over a sum.
func toy(d shell.Display) *shell.Shell[int] {
	type call = shell.Call[int]
	n := []shell.Argument{{Name: "n", Help: "how many"}}
	say := func(run func(c *call)) func(c *call) (int, error) {
		return func(c *call) (int, error) { run(c); return c.State, nil }
	}
	number := func(c *call) int { i, _ := strconv.Atoi(c.Values["n"]); return i }
	return shell.New(shell.Language[int]{
		Commands: []shell.Command[int]{
			{Name: "add", Help: "add to the sum", Changes: true, Args: n,
				Run: func(c *call) (int, error) { return c.State + number(c), nil }},
			{Name: "sum", Help: "print the sum", Run: say(func(c *call) { c.Print("sum %d", c.State) })},
			{Name: "table", Help: "show the sum", Run: say(func(c *call) {
				c.Show(shell.Table{Columns: []string{"sum"}, Rows: [][]any{{c.State}}})
			})},
			{Name: "draw", Help: "show a picture", Run: say(func(c *call) { c.Show(picture{}) })},
			{Name: "note", Help: "tell a note", Run: say(func(c *call) { c.Note("a note") })},
			{Name: "lines", Help: "print n lines", Args: n, Run: say(func(c *call) {
				for i := range number(c) {
					c.Print("line %d", i)
				}
			})},
			{Name: "tables", Help: "show n tables", Args: n, Run: say(func(c *call) {
				for i := range number(c) {
					c.Show(shell.Table{Columns: []string{"n"}, Rows: [][]any{{i}}})
				}
			})},
			{Name: "steps", Help: "take n steps, one a millisecond", Args: n, Run: say(func(c *call) {
				for i := range number(c) {
					c.Display.Progress(shell.Step{Name: "stepping", Done: i + 1, Total: number(c), Text: "loss 1"})
					time.Sleep(time.Millisecond)
				}
			})},
			{Name: "wait", Help: "add 1, and wait until interrupted", Changes: true, Run: func(c *call) (int, error) {
				c.Print("waiting")
				<-c.Context.Done()
				return c.State + 1, c.Context.Err()
			}},
			{Name: "save", Help: "save the sum", Args: n, Saves: true, Run: func(c *call) (int, error) {
				err := os.MkdirAll(c.Values["n"], 0o755)
				if err == nil {
					err = os.WriteFile(filepath.Join(c.Values["n"], "sum"), []byte(strconv.Itoa(c.State)), 0o644)
				}
				return c.State, err
			}},
		},
		Same: func(a, b int) bool { return a == b }, Prompt: func(int) string { return "> " },
		Rescue: func(s int, folder string) []string { return []string{"save", folder} },
		Choices: func(s int, _, key, _ string) []string {
			return map[string][]string{"n": {"añb", "sp ace", strconv.Itoa(s)}}[key]
		},
	}, d, 0)
}

// picture is drawn in all forms.
type picture struct{}

func (picture) Kind() string         { return "picture" }
func (picture) Text(int) string      { return "~~" }
func (picture) HTML() string         { return "<svg/>" }
func (picture) TSV() string          { return "1" }
func (picture) SVG() ([]byte, error) { return []byte("<svg/>"), nil }
func (picture) PNG() ([]byte, error) { return []byte("PNG"), nil }
