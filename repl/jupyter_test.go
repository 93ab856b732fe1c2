package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"
)

// clients are the packages of PyPI that the kernel is tested with.
const clients = "jupyter_client==8.9.1 jupyter_kernel_test==0.7.0 jupyter_console==6.6.3"

// jupyter returns the bin folder of a virtual environment with clients, in the user's cache, and the environment of a
// process that finds the kernel.
func jupyter(t *testing.T) (bin string, env []string) {
	t.Helper()
	if testing.Short() {
		t.Skip("makes a virtual environment; run without -short")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	venv := filepath.Join(cache, "pdquant", "jupyter-clients")
	bin = filepath.Join(venv, "bin")
	done := filepath.Join(venv, "installed")
	if has, err := os.ReadFile(done); err != nil || string(has) != clients {
		for _, command := range []string{"python3 -m venv " + venv, bin + "/pip install -q " + clients} {
			words := strings.Fields(command)
			if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
				t.Skipf("there are no Jupyter clients to test with: %s: %v\n%s", command, err, out)
			}
		}
		if err := os.WriteFile(done, []byte(clients), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "pdquant")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data := filepath.Join(t.TempDir(), "jupyter")
	env = append(os.Environ(), "JUPYTER_DATA_DIR="+data, "JUPYTER_RUNTIME_DIR="+t.TempDir(), "GOMLX_BACKEND=go")
	install := exec.Command(program, "kernel", "install", "--user")
	install.Env = env
	if out, err := install.CombinedOutput(); err != nil || !strings.Contains(string(out), data) {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin, env
}

// TestJupyter runs testdata/jupyter/kernel_test.py.
func TestJupyter(t *testing.T) {
	bin, env := jupyter(t)
	script, err := filepath.Abs(filepath.Join("testdata", "jupyter", "kernel_test.py"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "python"), "-W", "ignore", script)
	cmd.Env, cmd.Dir = env, t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// TestJupyterConsole: jupyter console at a terminal runs cells, completes, interrupts, and leaves.
func TestJupyterConsole(t *testing.T) {
	bin, env := jupyter(t)
	cmd := exec.Command(filepath.Join(bin, "jupyter-console"), "--kernel=pdquant")
	cmd.Env, cmd.Dir = append(env, "TERM=xterm", "HOME="+t.TempDir()), t.TempDir()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	defer func() { _ = tty.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var mu sync.Mutex
	var seen bytes.Buffer
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := tty.Read(part)
			mu.Lock()
			seen.Write(part[:n])
			mu.Unlock()
			if bytes.Contains(part[:n], []byte("\x1b[6n")) { // where is the cursor?
				_, _ = io.WriteString(tty, "\x1b[1;1R")
			}
			if err != nil {
				return
			}
		}
	}()
	from := 0
	wait := func(pattern string) {
		t.Helper()
		re := regexp.MustCompile(pattern)
		for range 600 {
			mu.Lock()
			text := ansi.Strip(seen.String())
			mu.Unlock()
			if from = min(from, len(text)); re.MatchString(text[from:]) {
				from += re.FindStringIndex(text[from:])[1]
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("never saw %s in\n%s", pattern, seen.String())
	}
	send := func(keys string) {
		t.Helper()
		if _, err := io.WriteString(tty, keys); err != nil {
			t.Fatal(err)
		}
	}
	wait(`In \[1\]:`)
	send("teach\t")
	wait("teach")
	wait("er") // all of the word, or what was added
	send(" resnet8; calib 8 seed=1; units\r")
	wait("layer1.0")
	wait(`In \[2\]:`)
	send("set scales.images=8 rounding.steps=100000; run conv1\r")
	wait("activation scales by") // the console doesn't show what is updated, such as progress
	time.Sleep(2 * time.Second)
	send("\x03")
	wait("(?i)interrupted")
	wait(`In \[3\]:`)
	send("nonsense\r")
	wait("no command")
	wait(`In \[4\]:`)
	send("quit\r")
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the console ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("the console didn't end after quit:\n%s", seen.String())
	}
}
