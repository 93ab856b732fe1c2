package main

import (
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	platform = "manylinux_2_28_x86_64"
	target   = "x86_64-linux-gnu.2.28" // Zig's name of the same
	minor    = 28                      // glibc 2.28
)

// build builds the program for the platform, and checks what it needs of glibc.
func build(ctx context.Context, program string) error {
	cc, err := compiler(ctx)
	if err != nil {
		return err
	}
	env := []string{"CC=" + cc, "CGO_ENABLED=1", "GOOS=linux", "GOARCH=amd64", "GOTOOLCHAIN=auto", "GOEXPERIMENT=simd"}
	if err := command(ctx, env, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./repl"); err != nil {
		return fmt.Errorf("wheel: build: %w", err)
	}
	return checkGlibc(program)
}

// checkGlibc returns an error if the program needs a symbol of a glibc later than the platform's.
func checkGlibc(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("wheel: %s: %w", program, err)
	}
	defer f.Close()
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return fmt.Errorf("wheel: %s: %w", program, err)
	}
	for _, s := range symbols {
		if !oldEnough(s.Version) {
			return fmt.Errorf("wheel: %s needs %s@%s, later than %s", program, s.Name, s.Version, platform)
		}
	}
	return nil
}

// oldEnough says whether the platform has a symbol of a version, as GLIBC_2.2.5; "": any.
func oldEnough(version string) bool {
	number, ok := strings.CutPrefix(version, "GLIBC_2.")
	if !ok {
		return version == ""
	}
	number, _, _ = strings.Cut(number, ".")
	n, err := strconv.Atoi(number)
	return err == nil && n <= minor
}

// addProgram adds the program and its kernel's specification, which the program itself writes.
func (w *wheel) addProgram(ctx context.Context, program string) error {
	data, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("wheel: %w", err)
	}
	w.script(project, data)
	prefix := filepath.Dir(filepath.Dir(program))
	if err := command(ctx, nil, program, "kernel", "install", "--prefix="+prefix); err != nil {
		return fmt.Errorf("wheel: %w", err)
	}
	const folder = "share/jupyter/kernels/" + project
	entries, err := os.ReadDir(filepath.Join(prefix, folder))
	if err != nil {
		return fmt.Errorf("wheel: %w", err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(prefix, folder, e.Name()))
		if err == nil && e.Name() == "kernel.json" {
			data, err = relocatable(data)
		}
		if err != nil {
			return fmt.Errorf("wheel: %s: %w", e.Name(), err)
		}
		w.data(folder+"/"+e.Name(), data)
	}
	return nil
}

// relocatable returns a kernel's specification whose program is found wherever pip installs both. Jupyter puts the
// folder of kernel.json, PREFIX/share/jupyter/kernels/pdquant, in the place of {resource_dir}. {prefix}, which it knows
// too, is the environment of Jupyter itself, which may be another one.
func relocatable(spec []byte) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(spec, &fields); err != nil {
		return nil, err
	}
	argv, ok := fields["argv"].([]any)
	if !ok || len(argv) == 0 {
		return nil, fmt.Errorf("argv is %v, not a list", fields["argv"])
	}
	argv[0] = "{resource_dir}/../../../../bin/" + project
	data, err := json.MarshalIndent(fields, "", "  ")
	return append(data, '\n'), err
}
