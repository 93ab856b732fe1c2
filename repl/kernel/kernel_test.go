package kernel_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pdquant/pdquant/repl/kernel"
	"github.com/pdquant/pdquant/repl/shell"
)

// serve runs a kernel on a connection file until it ends.
func serve(file string) error {
	return kernel.Serve(file, func(d shell.Display) (kernel.Shell, error) { return toy(d), nil }, io.Discard)
}

// TestShutdown: the reply and idle arrive, also while a cell runs; then the kernel ends, and its ports are free.
func TestShutdown(t *testing.T) {
	for _, code := range []string{"sum", "wait"} {
		c := start(t)
		cell := c.send(c.shell, "execute_request", object{"code": code})
		c.until("stream")
		id := c.send(c.control, "shutdown_request", object{"restart": true})
		if r := c.reply(c.control, id); r.kind != "shutdown_reply" || r.content["restart"] != true {
			t.Errorf("%s: %v", r.kind, r.content)
		}
		if r := c.reply(c.shell, cell); r.kind != "execute_reply" {
			t.Errorf("the cell's reply: %s", r.kind)
		}
		idle := map[string]bool{}
		for !idle[id] || !idle[cell] {
			if m := c.receive(c.iopub); m.content["execution_state"] == "idle" {
				idle[m.parent] = true
			}
		}
		select {
		case err := <-c.done:
			if err != nil {
				t.Error(err)
			}
			c.done <- nil
		case <-time.After(within):
			t.Fatal("the kernel doesn't end")
		}
		again := make(chan error, 1)
		go func() { again <- serve(c.file) }() // as a restart does
		c.shell, c.control = c.connect("DEALER", "shell_port"), c.connect("DEALER", "control_port")
		if r := c.request(c.shell, "kernel_info_request", object{}); r["status"] != "ok" {
			t.Errorf("after a restart: %v", r)
		}
		c.request(c.control, "shutdown_request", object{"restart": false})
		if err := <-again; err != nil {
			t.Error(err)
		}
	}
}

// TestTerminate: a signal ends the kernel, and it saves the session.
func TestTerminate(t *testing.T) {
	c := start(t)
	c.send(c.shell, "execute_request", object{"code": "add 4; wait"})
	c.until("stream")
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-c.done:
		if err != nil {
			t.Error(err)
		}
		c.done <- nil
	case <-time.After(within):
		t.Fatal("the kernel doesn't end")
	}
	found, err := filepath.Glob("runs/*/sum")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	if got, err := os.ReadFile(found[0]); err != nil || string(got) != "5" {
		t.Errorf("saved: %s, %v", got, err)
	}
}

// TestConnectionFile: what is wrong with one is told in one line.
func TestConnectionFile(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for want, change := range map[string]object{
		"in use":                  {"shell_port": busy.Addr().(*net.TCPAddr).Port},
		"transport \"pgm\"":       {"transport": "pgm"},
		"hmac-md5":                {"signature_scheme": "hmac-md5"},
		"hb_port -1":              {"hb_port": -1},
		"iopub_port 70000":        {"iopub_port": 70000},
		"isn't a connection file": {"ip": 7},
		"no.such.host":            {"ip": "no.such.host.invalid"},
	} {
		about := connection(t)
		for k, v := range change {
			about[k] = v
		}
		err := serve(writeJSON(t, filepath.Join(t.TempDir(), "k.json"), about))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v", change, err)
		}
	}
	for file, text := range map[string]string{"missing": "", "empty": "", "list": "[1]", "cut": `{"ip": "127`} {
		path := filepath.Join(t.TempDir(), file)
		if file != "missing" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := serve(path)
		if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestIPC: sockets may be files, also where a kernel that was killed left its own.
func TestIPC(t *testing.T) {
	base := filepath.Join(t.TempDir(), "k")
	about := object{"transport": "ipc", "ip": base, "key": "", "signature_scheme": "hmac-sha256"}
	for i, name := range []string{"shell_port", "control_port", "iopub_port", "stdin_port", "hb_port"} {
		about[name] = i + 1
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("%s-%d", base, i+1), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		_ = l.Close()
	}
	file := writeJSON(t, filepath.Join(t.TempDir(), "k.json"), about)
	done := make(chan error, 1)
	go func() { done <- serve(file) }()
	control := (&client{t: t, ports: about}).connect("DEALER", "control_port")
	parts := [][]byte{[]byte("<IDS|MSG>"), nil, []byte(`{"msg_id":"1","msg_type":"shutdown_request"}`), []byte("{}"),
		[]byte("{}"), []byte("{}")}
	if err := control.Send(parts...); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestInstall: the specification is where Jupyter looks for it, and starts the program.
func TestInstall(t *testing.T) {
	prefix, data := t.TempDir(), t.TempDir()
	t.Setenv("JUPYTER_DATA_DIR", data)
	for dir, p := range map[string]kernel.Place{
		filepath.Join(prefix, "share", "jupyter", "kernels", "pdquant"): {Prefix: prefix, Name: "pdquant"},
		filepath.Join(data, "kernels", "my-2.x"):                        {User: true, Name: "my-2.x"},
	} {
		for range 2 { // again, over itself
			if got, err := kernel.Install(p, "/a/program"); err != nil || got != dir {
				t.Fatal(got, err)
			}
		}
		text, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
		if err != nil {
			t.Fatal(err)
		}
		var spec struct {
			Argv          []string
			Language      string
			DisplayName   string `json:"display_name"`
			InterruptMode string `json:"interrupt_mode"`
		}
		if err := json.Unmarshal(text, &spec); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(spec); got != "{[/a/program kernel {connection_file}] pdquant "+p.Name+" message}" {
			t.Error(got)
		}
		for _, logo := range []string{"logo-32x32.png", "logo-64x64.png", "logo-svg.svg"} {
			if info, err := os.Stat(filepath.Join(dir, logo)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", logo, err)
			}
		}
	}
	for _, p := range []kernel.Place{{User: true, Name: "../x"}, {User: true, Name: ""}, {User: true, Name: ".."},
		{User: true, Prefix: prefix, Name: "x"}, {Prefix: "/proc/none", Name: "x"}} {
		if dir, err := kernel.Install(p, "/a/program"); err == nil {
			t.Errorf("%+v is installed in %s", p, dir)
		}
	}
}
