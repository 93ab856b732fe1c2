package pjrtlib

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// Check says why a file can't be a plugin for this program: it is none, or one for another processor.
func Check(path string) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is not a shared library: %w", path, err)
	}
	defer f.Close()
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	if want, ok := machines[runtime.GOARCH]; ok && f.Machine != want {
		return fmt.Errorf("%s is for processors of kind %v, this program for %s", path, f.Machine, runtime.GOARCH)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return fmt.Errorf("%s: %w", path, err)
	}
	if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "GetPjrtApi" }) {
		return fmt.Errorf("%s is not a PJRT plugin: it has no function GetPjrtApi", path)
	}
	return nil
}

// CheckVersion says why a plugin with this version of the PJRT C API can't be called. That of go-xla v0.4.13 is 0.104.
// Versions with the same first number are compatible, but an older plugin may lack functions: a remark.
func CheckVersion(major, minor int) (remark string, err error) {
	const wantMajor, wantMinor = 0, 104
	if major != wantMajor {
		return "", fmt.Errorf("its PJRT API is v%d.%d, go-xla's is v%d.%d", major, minor, wantMajor, wantMinor)
	}
	if minor < wantMinor {
		remark = fmt.Sprintf(" (older than go-xla's v%d.%d)", wantMajor, wantMinor)
	}
	return remark, nil
}

// HasNVIDIA says whether the machine has a driver for NVIDIA's GPUs: its device or its library.
func (m Machine) HasNVIDIA() bool {
	dirs := filepath.SplitList(m.Getenv("LD_LIBRARY_PATH"))
	for _, dir := range []string{"x86_64-linux-gnu", "aarch64-linux-gnu", "wsl/lib", "../lib64", "../local/nvidia/lib64"} {
		dirs = append(dirs, filepath.Join(m.Root, "usr", "lib", dir))
	}
	return exists(filepath.Join(m.Root, "dev", "nvidiactl")) ||
		slices.ContainsFunc(dirs, func(dir string) bool { return exists(filepath.Join(dir, "libcuda.so.1")) })
}

// CUDA returns what the CUDA plugin in file path needs beside it. data is the folder with nvvm/libdevice, which XLA
// compiles with; "" if there is none. libraries says whether NVIDIA's libraries lie where the plugin looks for them: in
// nvidia/*/lib of the same folder of Python's packages.
func (m Machine) CUDA(path string) (data string, libraries bool) {
	nvidia := filepath.Join(filepath.Dir(filepath.Dir(path)), "nvidia") // as go-xla installs it
	if packages, ok := sitePackages(path); ok {
		nvidia = filepath.Join(packages, "nvidia")
	}
	entries, _ := os.ReadDir(nvidia) // none: not there
	var dirs []string
	for _, e := range entries {
		dir := filepath.Join(nvidia, e.Name())
		dirs = append(dirs, dir)
		libraries = libraries || e.Name() == "cudnn" && exists(filepath.Join(dir, "lib"))
	}
	for _, dir := range append(dirs, filepath.Join(m.Root, "usr", "local", "cuda")) {
		if exists(filepath.Join(dir, "nvvm", "libdevice")) {
			return dir, libraries
		}
	}
	return "", libraries
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
