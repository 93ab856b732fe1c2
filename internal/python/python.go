// Package python runs Python programs in tests, such as those in documents.
package python

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fetched"
)

// With returns a Python that has modules: python3, or one in pdquant's cache folder. If there is none, the test is
// skipped.
func With(t testing.TB, modules ...string) string {
	t.Helper()
	for _, program := range programs(t) {
		words := append([]string{"-c", "import sys, importlib.util as u; sys.exit(None in map(u.find_spec, sys.argv[1:]))"},
			modules...)
		if exec.CommandContext(t.Context(), program, words...).Run() == nil {
			return program
		}
	}
	t.Skipf("no Python has %s: python3 -m pip install %[1]s", strings.Join(modules, " "))
	return ""
}

// programs lists the Pythons of the machine.
func programs(t testing.TB) []string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cached, err := filepath.Glob(filepath.Join(cache, "pdquant", "*", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"python3"}, cached...)
}

// Checker returns a Python with the packages onnx and onnxruntime, which it fetches unless they are there. The test is
// skipped if they can't be fetched, or under -short.
func Checker(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("fetches Python packages; run without -short")
	}
	bin, err := fetched.Python("onnx-checker", "onnx==1.23.2 onnxruntime==1.32.0", func(words ...string) error {
		if out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, out)
		}
		return nil
	})
	if err != nil {
		t.Skipf("no Python with onnx and onnxruntime: %v", err)
	}
	return filepath.Join(bin, "python")
}

// Run runs a program by the given Python in dir, and returns what it prints.
func Run(t testing.TB, python, dir, program string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", "-")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nthe program:\n%s", err, out, program)
	}
	return string(out)
}

// Snippet returns the indented block of the Markdown file at path that has the line first as its first.
func Snippet(t testing.TB, path, first string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const indent = "    "
	var block []string
	for line := range strings.SplitSeq(string(text), "\n") {
		code, ok := strings.CutPrefix(line, indent)
		switch {
		case ok && (block != nil || code == first):
			block = append(block, code)
		case block != nil && line == "":
			block = append(block, "")
		case block != nil:
			return strings.Join(block, "\n")
		}
	}
	if block == nil {
		t.Fatalf("%s has no program that starts with %q", path, first)
	}
	return strings.Join(block, "\n")
}
