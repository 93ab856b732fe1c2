package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
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

	"github.com/pdquant/pdquant/internal/fetched"
	"github.com/pdquant/pdquant/internal/soaked"
)

// What the kernel is tested with, from PyPI and npm.
const (
	clients = "jupyter_client==8.9.1 jupyter_kernel_test==0.7.0 jupyter_console==6.6.3"
	lab     = "jupyterlab==4.4.10"
	browser = "playwright-core@1.65.1"
)

// ran runs a program in a folder, "" this one.
func ran(t *testing.T, dir string, words ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, out)
	}
	return nil
}

// python returns the bin folder of a virtual environment with packages of PyPI. The test is skipped if there can't be
// one.
func python(t *testing.T, name, packages string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("fetches programs to test with; run without -short")
	}
	bin, err := fetched.Python(name, packages, func(words ...string) error { return ran(t, "", words...) })
	if err != nil {
		t.Skipf("no %s to test with: %v", packages, err)
	}
	return bin
}

// jupyter returns the environment of a process that finds the kernel.
func jupyter(t *testing.T) (env []string) {
	t.Helper()
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
	return env
}

// TestJupyter runs testdata/jupyter/kernel_test.py.
func TestJupyter(t *testing.T) {
	bin := python(t, "jupyter-clients", clients)
	env := jupyter(t)
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
	bin := python(t, "jupyter-clients", clients)
	env := jupyter(t)
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

// TestJupyterLab runs testdata/jupyter/lab.mjs, which uses JupyterLab in a browser.
func TestJupyterLab(t *testing.T) {
	soaked.Only(t, "a browser takes a minute; TestJupyter sends the same messages")
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip(err)
	}
	bin := python(t, "jupyterlab", lab)
	npm, err := fetched.Folder("playwright", browser, func(dir string) error {
		return ran(t, dir, "npm", "install", "--silent", browser)
	})
	if err != nil {
		t.Skipf("no %s to test with: %v", browser, err)
	}
	home, env := t.TempDir(), jupyter(t)
	settings := filepath.Join(home, "config", "lab", "user-settings", "@jupyterlab", "notebook-extension")
	write := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(settings, "tracker.jupyterlab-settings"), `{"windowingMode": "none"}`) // all cells are there
	for _, name := range []string{"one", "two"} {
		write(filepath.Join(home, name+".ipynb"), `{"cells": [{"cell_type": "code", "id": "a", "execution_count": null,
			"metadata": {}, "outputs": [], "source": []}], "metadata": {"kernelspec": {"display_name": "pdquant",
			"language": "pdquant", "name": "pdquant"}}, "nbformat": 4, "nbformat_minor": 5}`)
	}
	server := exec.Command(filepath.Join(bin, "jupyter"), "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
		"--port=0", "--IdentityProvider.token=token")
	server.Dir, server.Env = home, append(env, "JUPYTER_CONFIG_DIR="+filepath.Join(home, "config"), "HOME="+home)
	said, err := server.StderrPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Signal(os.Interrupt); _ = server.Process.Kill(); _ = server.Wait() }()
	address := ""
	for lines := bufio.NewScanner(said); address == "" && lines.Scan(); {
		if url := regexp.MustCompile(`http://127.0.0.1:\d+/`).FindString(lines.Text()); url != "" {
			address = url + "?token=token"
		}
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	script, err := filepath.Abs(filepath.Join("testdata", "jupyter", "lab.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	user := exec.CommandContext(t.Context(), "node", script, address, chromium, t.ArtifactDir())
	user.Dir = npm
	out, err := user.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
