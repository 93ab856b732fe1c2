// Command wheel writes pdquant as a wheel of Python's, which pip installs: the program, its Jupyter kernel, and ONNX
// Runtime as a package that it depends on.
//
//	go run ./internal/wheel    # dist/pdquant-VERSION-py3-none-manylinux_2_28_x86_64.whl
//
// It compiles C with Zig, from PyPI's package ziglang, so that the program runs on every Linux with glibc 2.28 or
// later, whatever this machine has.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/internal/fetched"
)

// ziglang is the package of PyPI with the C compiler.
const ziglang = "ziglang==0.17.1"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("wheel", flag.ExitOnError)
	version := f.String("version", "0.1.0", "of the package, as PEP 440 has it")
	out := f.String("out", "dist", "folder for the wheel")
	_ = f.Parse(args) // exits on an error
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return fmt.Errorf("wheel: %w; start in the repository's root", err)
	}
	license, err := os.ReadFile("LICENSE")
	if err != nil {
		return fmt.Errorf("wheel: %w", err)
	}
	dir, err := os.MkdirTemp("", "wheel")
	if err != nil {
		return fmt.Errorf("wheel: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	program := filepath.Join(dir, "bin", project)
	if err := build(ctx, program); err != nil {
		return err
	}
	w := &wheel{version: *version, tag: "py3-none-" + platform}
	if err := w.addProgram(ctx, program); err != nil {
		return err
	}
	w.describe(readme, license)
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return fmt.Errorf("wheel: %w", err)
	}
	path := filepath.Join(*out, w.fileName())
	if err := atomicfile.Write(path, func(f *os.File) error { return w.write(f) }); err != nil {
		return fmt.Errorf("wheel: %w", err)
	}
	fmt.Println(path)
	return nil
}

// compiler returns the command of a C compiler for the platform, which it installs in the user's cache folder.
func compiler(ctx context.Context) (string, error) {
	bin, err := fetched.Python("ziglang", ziglang, func(words ...string) error {
		return command(ctx, nil, words[0], words[1:]...)
	})
	if err != nil {
		return "", fmt.Errorf("wheel: compiler: %w", err)
	}
	return filepath.Join(bin, "python") + " -m ziglang cc -target " + target, nil
}

// command runs a program to its end. Its output is in the error.
func command(ctx context.Context, env []string, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", c.Args, err, text)
	}
	return nil
}
