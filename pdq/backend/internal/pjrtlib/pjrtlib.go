// Package pjrtlib finds PJRT plugins, the shared libraries of XLA, and checks them before they are loaded.
package pjrtlib

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/pdq/backend/internal/pyenv"
)

const (
	// Env is the variable with a plugin's file, or a folder that holds plugins. If it is set, nothing else is searched.
	Env = "PDQUANT_XLA"
	// Package and Version are PyPI's package with the CPU plugin that the project installs.
	Package = "lammps-jax-pjrt-cpu"
	Version = "0.11.2"
	// File is the plugin's file in that package.
	File = "pjrt_c_api_cpu_plugin.so"
)

// Folder is the plugin's folder in pdquant's part of the user's cache folder.
const Folder = "xla-cpu-" + Version

// Plugin is the file of a plugin.
type Plugin struct {
	Name string // "cpu", "cuda", or with a version "cpu_v0.83.1"; "" if the file's name doesn't say
	Path string
	From string // package and version that it is of, "" if not known
}

// Kind returns the plugin's name without a version.
func (p Plugin) Kind() string {
	kind, _, _ := strings.Cut(p.Name, "_v")
	return kind
}

// At returns the plugin in the file path.
func At(path string) Plugin {
	p := Plugin{Name: nameOf(path), Path: path}
	if filepath.Base(filepath.Dir(path)) == Folder {
		p.From = Package + " " + Version
	}
	if packages, ok := sitePackages(path); ok {
		kind := strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "xla_") // cuda13
		infos, _ := filepath.Glob(filepath.Join(packages, "jax_"+kind+"_pjrt-*.dist-info"))
		if len(infos) == 1 {
			_, version, _ := strings.Cut(strings.TrimSuffix(filepath.Base(infos[0]), ".dist-info"), "-")
			p.From = "jax-" + kind + "-pjrt " + version
		}
	}
	return p
}

// sitePackages returns the folder of packages that JAX's plugin in file path lies in.
func sitePackages(path string) (string, bool) {
	plugins := filepath.Dir(filepath.Dir(path))
	return filepath.Dir(plugins), filepath.Base(plugins) == "jax_plugins"
}

// nameOf returns the name of the plugin in file path: the * of xla_*_plugin.so, as JAX calls its file, or of
// pjrt_c_api_*_plugin.so or pjrt-plugin-*.so.
func nameOf(path string) string {
	form := regexp.MustCompile(`^(?:(?:pjrt_c_api|xla)_(.+)_plugin|pjrt[-_]plugin[-_](.+))\.(?:so|dylib)$`)
	found := form.FindStringSubmatch(filepath.Base(path))
	if found == nil {
		return ""
	}
	return found[1] + found[2]
}

// Machine is where plugins are searched.
type Machine struct {
	Root    string // the file system, "/"
	Program string // path of this program, which may lie in a Python environment
	Getenv  func(string) string
}

// This returns the machine that the program runs on.
func This() Machine {
	program, _ := os.Executable() // "": lies nowhere
	return Machine{Root: "/", Program: program, Getenv: os.Getenv}
}

// Plugins lists the plugins on the machine, best first: cuda, rocm, cpu, then others. The error says that Env names
// nothing.
func (m Machine) Plugins() ([]Plugin, error) {
	var paths []string
	if named := m.Getenv(Env); named != "" {
		info, err := os.Stat(named)
		if err != nil {
			return nil, fmt.Errorf("$%s: no plugin: %w", Env, err)
		}
		if !info.IsDir() {
			if named, err = filepath.Abs(named); err != nil {
				return nil, err
			}
			return []Plugin{At(named)}, nil
		}
		if paths = in(named); len(paths) == 0 {
			return nil, fmt.Errorf("$%s: no plugin in %s", Env, named)
		}
	} else {
		for _, dir := range m.folders() {
			paths = append(paths, in(dir)...)
		}
	}
	var plugins []Plugin
	for _, path := range paths {
		p := At(path)
		if !slices.ContainsFunc(plugins, func(q Plugin) bool { return q.Name == p.Name }) { // else the first counts
			plugins = append(plugins, p)
		}
	}
	slices.SortStableFunc(plugins, func(p, q Plugin) int { return cmp.Compare(rank(p), rank(q)) })
	return plugins, nil
}

func rank(p Plugin) int {
	order := []string{"cuda", "rocm", "cpu"}
	if i := slices.Index(order, p.Kind()); i >= 0 {
		return i
	}
	return len(order)
}

// in lists the plugins in a folder, and those of JAX in a folder of Python's packages, the newest first.
func in(dir string) (paths []string) {
	entries, _ := os.ReadDir(dir) // none: not there
	for _, e := range slices.Backward(entries) {
		path := filepath.Join(dir, e.Name())
		if !e.IsDir() && nameOf(path) != "" {
			paths = append(paths, path)
		}
	}
	jax := filepath.Join(dir, "jax_plugins")
	entries, _ = os.ReadDir(jax)
	for _, e := range slices.Backward(entries) { // xla_cuda13 before xla_cuda12
		if strings.HasPrefix(e.Name(), "xla_") {
			paths = append(paths, in(filepath.Join(jax, e.Name()))...)
		}
	}
	return paths
}

// folders lists the folders that are searched, in this order: Python's packages, the user's cache, go-xla's folders.
func (m Machine) folders() (dirs []string) {
	home := m.Getenv("HOME")
	for _, prefix := range m.prefixes(home) {
		dirs = append(dirs, pyenv.Packages(prefix)...)
	}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "pdquant", Folder))
	}
	if own := m.Getenv("PJRT_PLUGIN_LIBRARY_PATH"); own != "" { // go-xla's variable
		return append(dirs, filepath.SplitList(own)...)
	}
	lib := []string{filepath.Join(home, ".local", "lib"), filepath.Join(home, "Library", "Application Support"),
		filepath.Join(m.Root, "usr", "local", "lib")}
	for _, dir := range lib {
		goXLA := filepath.Join(dir, "go-xla")
		dirs = append(dirs, goXLA, filepath.Join(goXLA, "nvidia"))
	}
	return append(dirs, filepath.SplitList(m.Getenv("LD_LIBRARY_PATH"))...)
}

// prefixes lists the folders of Python environments.
func (m Machine) prefixes(home string) (prefixes []string) {
	for _, env := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := m.Getenv(env); dir != "" {
			prefixes = append(prefixes, dir)
		}
	}
	if prefix, ok := pyenv.Prefix(m.Program); ok {
		prefixes = append(prefixes, prefix)
	}
	for _, dir := range filepath.SplitList(m.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, "python3")); err == nil {
			prefixes = append(prefixes, filepath.Dir(dir))
			if filepath.Base(dir) == "shims" { // of pyenv, which runs one of its versions
				prefixes = append(prefixes, versions(filepath.Dir(dir))...)
			}
			break // the python3 that a shell would run
		}
	}
	return append(prefixes, filepath.Join(home, ".local"), filepath.Join(m.Root, "usr", "local"),
		filepath.Join(m.Root, "usr"))
}

// versions lists the Python environments of pyenv in folder root, the newest first by name.
func versions(root string) (prefixes []string) {
	entries, _ := os.ReadDir(filepath.Join(root, "versions")) // none: not there
	for _, e := range slices.Backward(entries) {
		prefixes = append(prefixes, filepath.Join(root, "versions", e.Name()))
	}
	return prefixes
}

// Find returns the plugin called name, with or without its version. For "" it returns the best plugin: one for CUDA
// only if there is a driver, or nothing else.
func (m Machine) Find(name string) (Plugin, error) {
	plugins, err := m.Plugins()
	if err != nil {
		return Plugin{}, err
	}
	if len(plugins) == 0 {
		return Plugin{}, errors.New("no PJRT plugin is installed")
	}
	var names []string
	for _, p := range plugins {
		if name == p.Name || name == p.Kind() || name == "" && (p.Kind() != "cuda" || m.HasNVIDIA()) {
			return p, nil
		}
		names = append(names, p.Name)
	}
	if name == "" {
		return plugins[0], nil
	}
	return Plugin{}, fmt.Errorf("no PJRT plugin %q is installed, only %s", name, strings.Join(names, ", "))
}
