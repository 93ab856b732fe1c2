package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// cellScript runs a cell in the kernel of the environment, which jupyter_client finds.
const cellScript = `
from jupyter_client.manager import start_new_kernel
km, kc = start_new_kernel(kernel_name="pdquant", startup_timeout=30)
try:
    seen = []
    reply = kc.execute_interactive("teacher resnet8; units", timeout=60, output_hook=seen.append)
    assert reply["content"]["status"] == "ok", reply
    print([m["content"] for m in seen])
finally:
    kc.stop_channels()
    km.shutdown_kernel(now=True)
`

// TestInstall: pip installs the wheel in a fresh environment, where the program runs and Jupyter has the kernel, both
// with the environment's ONNX Runtime; and uninstalling leaves nothing.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program, and installs packages from PyPI; run without -short")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the wheel is for Linux on x86-64")
	}
	t.Chdir(filepath.Join("..", ".."))
	dir := t.TempDir()
	venv, dist := filepath.Join(dir, "env"), filepath.Join(dir, "dist")
	bin := filepath.Join(venv, "bin")
	pip := []string{filepath.Join(bin, "python"), "-m", "pip", "-q"}
	install := append(pip, "install", "jupyter_client", "onnxruntime")
	for _, words := range [][]string{{"python3", "-m", "venv", venv}, install} {
		if err := command(t.Context(), nil, words[0], words[1:]...); err != nil {
			t.Skipf("no environment to install in: %v", err)
		}
	}
	if _, err := compiler(t.Context()); err != nil {
		t.Skip(err)
	}
	if err := run(t.Context(), []string{"-out=" + dist}); err != nil {
		t.Fatal(err)
	}
	wheels, err := filepath.Glob(filepath.Join(dist, "*.whl"))
	if err != nil || len(wheels) != 1 {
		t.Fatalf("wheels %q, error %v", wheels, err)
	}
	env := append(os.Environ(), "JUPYTER_PATH=", "JUPYTER_DATA_DIR="+t.TempDir(), "JUPYTER_RUNTIME_DIR="+t.TempDir(),
		"ONNXRUNTIME_SHARED_LIBRARY_PATH=", "PATH=/usr/bin:/bin") // the kernel isn't found by PATH
	out := func(words ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), words[0], words[1:]...)
		c.Env, c.Dir = env, t.TempDir()
		text, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", words, err, text)
		}
		return string(text)
	}
	out(append(pip, "install", wheels[0])...)
	program, spec := filepath.Join(bin, project), filepath.Join(venv, "share", "jupyter", "kernels", project)
	if text := out(program, "-e", "models"); !strings.Contains(text, "resnet8") {
		t.Errorf("models: %s", text)
	}
	if text := out(filepath.Join(bin, "jupyter-kernelspec"), "list"); !strings.Contains(text, spec) {
		t.Errorf("kernelspec list: %s, want %s", text, spec)
	}
	text := out(pip[0], "-c", cellScript)
	if library := filepath.Join(venv, "lib"); !strings.Contains(text, "layer1.0") || !strings.Contains(text, library) {
		t.Errorf("the cell shows no units, or another library than in %s: %s", library, text)
	}
	out(append(pip, "uninstall", "-y", project)...)
	for _, path := range []string{program, spec} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there, error %v", path, err)
		}
	}
}
