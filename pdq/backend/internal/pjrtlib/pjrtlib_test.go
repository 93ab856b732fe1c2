package pjrtlib

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// fake returns a machine with these empty files, in whose environment $ROOT of env is the folder of all.
func fake(t *testing.T, env map[string]string, files ...string) Machine {
	t.Helper()
	root := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(root, "cache"))
	t.Setenv("HOME", filepath.Join(root, "cache")) // macOS
	for _, f := range files {
		path := filepath.Join(root, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	getenv := func(key string) string { return strings.ReplaceAll(env[key], "$ROOT", root) }
	return Machine{Root: root, Getenv: getenv}
}

const (
	venv   = "venv/lib/python3.12/site-packages/"
	cuda13 = venv + "jax_plugins/xla_cuda13/xla_cuda_plugin.so"
	cuda12 = venv + "jax_plugins/xla_cuda12/xla_cuda_plugin.so"
	system = "usr/lib/python3.9/dist-packages/jax_plugins/xla_cuda12/xla_cuda_plugin.so"
	cached = "cache/pdquant/" + Folder + "/" + File
	goXLA  = "home/.local/lib/go-xla/pjrt_c_api_cpu_v0.83.1_plugin.so"
	newer  = "home/.local/lib/go-xla/pjrt_c_api_cpu_v0.83.4_plugin.so"
	nvidia = "home/.local/lib/go-xla/nvidia/pjrt_c_api_cuda_plugin.so"
	rocm   = "home/.local/lib/go-xla/pjrt_c_api_rocm_plugin.so"
	driver = "dev/nvidiactl"
	python = "venv/bin/python3"

	shim    = "shims/python3"
	pyenv12 = "versions/3.12.1/lib/python3.12/site-packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so"
)

// TestFind: which plugin a name gives, on machines with these files and variables.
func TestFind(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("folders of Linux")
	}
	env := map[string]string{"HOME": "$ROOT/home", "VIRTUAL_ENV": "$ROOT/venv"}
	for _, c := range []struct {
		name  string
		env   map[string]string
		files []string
		want  string // end of the path, or of the error
	}{
		{"", env, nil, "no PJRT plugin is installed"},
		{"", env, []string{cuda12, cuda13, system, cached, driver}, cuda13},
		{"cuda", env, []string{cuda12, system, driver}, cuda12},
		{"cuda", map[string]string{}, []string{cuda13, system}, system},
		{"cuda", map[string]string{"PATH": "$ROOT/none:$ROOT/venv/bin"}, []string{system, cuda13, python}, cuda13},
		{"cuda", map[string]string{"PATH": "$ROOT/shims"}, []string{system, shim, pyenv12}, pyenv12},
		{"cuda", env, []string{cached}, `no PJRT plugin "cuda" is installed, only cpu`},
		{"", env, []string{cuda13, cached}, cached},                             // no driver
		{"", env, []string{cuda13, cached, "usr/lib64/libcuda.so.1"}, cuda13},   // its library is enough
		{"", env, []string{cuda13}, cuda13},                                     // nothing else
		{"cuda", env, []string{cuda13, cached}, cuda13},                         // asked for
		{"", env, []string{goXLA, newer, nvidia, rocm, cached, driver}, nvidia}, // go-xla's installer
		{"", env, []string{goXLA, rocm, nvidia}, rocm},                          // no driver
		{"cpu", env, []string{goXLA, newer, nvidia}, newer},                     // the newest
		{"cpu", env, []string{goXLA, newer, cached}, cached},                    // ours
		{"cpu_v0.83.1", env, []string{goXLA, newer, cached}, goXLA},             // by its version
		{"", map[string]string{Env: "$ROOT/" + cuda12}, []string{cuda12, cached, driver}, cuda12},
		{"", map[string]string{Env: "$ROOT/x"}, []string{"x/pjrt-plugin-tpu.so", cached}, "x/pjrt-plugin-tpu.so"},
		{"", map[string]string{Env: "$ROOT/" + venv}, []string{cuda12, cuda13, driver}, cuda13},
		{"cpu", map[string]string{Env: "$ROOT/" + cuda12}, []string{cuda12, cached}, `"cpu" is installed, only cuda`},
		{"", map[string]string{Env: "$ROOT/dev"}, []string{driver}, "no plugin in"},
		{"", map[string]string{Env: "$ROOT/none"}, []string{cached}, "no such file or directory"},
	} {
		m := fake(t, c.env, c.files...)
		p, err := m.Find(c.name)
		got := p.Path
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%q with %v and %v gives %s, want %s", c.name, c.env, c.files, got, c.want)
		}
	}
}

func TestFrom(t *testing.T) {
	m := fake(t, nil, cuda13, venv+"jax_cuda13_pjrt-0.11.2.dist-info/METADATA")
	for path, want := range map[string]Plugin{
		cuda13: {Name: "cuda", From: "jax-cuda13-pjrt 0.11.2"},
		cuda12: {Name: "cuda"},
		cached: {Name: "cpu", From: Package + " " + Version},
		goXLA:  {Name: "cpu_v0.83.1"},
		"a.so": {},
	} {
		if got := At(filepath.Join(m.Root, path)); got.Name != want.Name || got.From != want.From {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

// TestCUDA: in each layout, the folder with libdevice and whether NVIDIA's libraries are there.
func TestCUDA(t *testing.T) {
	const libdevice, cudnn = "/nvvm/libdevice/libdevice.10.bc", "nvidia/cudnn/lib/libcudnn.so.9"
	for _, c := range []struct {
		plugin, data string
		libraries    bool
		files        []string
	}{
		{cuda13, venv + "nvidia/cu13", true, []string{venv + cudnn, venv + "nvidia/cu13" + libdevice}},
		{cuda12, venv + "nvidia/cuda_nvcc", false, []string{venv + "nvidia/cuda_nvcc" + libdevice}},
		{cuda12, "usr/local/cuda", false, []string{"usr/local/cuda" + libdevice}},
		{nvidia, "", true, []string{"home/.local/lib/go-xla/" + cudnn}},
		{cuda13, "", false, nil},
	} {
		m := fake(t, nil, append(c.files, c.plugin)...)
		data, libraries := m.CUDA(filepath.Join(m.Root, c.plugin))
		want := ""
		if c.data != "" {
			want = filepath.Join(m.Root, c.data)
		}
		if data != want || libraries != c.libraries {
			t.Errorf("%v: %q, %v; want %q, %v", c.files, data, libraries, want, c.libraries)
		}
	}
}

// TestCheck: a file that can't be a plugin is refused before it is loaded.
func TestCheck(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ELF is Linux's format")
	}
	header := func(machine elf.Machine) []byte {
		var buf bytes.Buffer
		h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Ehsize: 64}
		copy(h.Ident[:], elf.ELFMAG)
		h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
		if err := binary.Write(&buf, binary.LittleEndian, h); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	own, other := elf.EM_X86_64, elf.EM_AARCH64
	if runtime.GOARCH == "arm64" {
		own, other = other, own
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"text":            {[]byte("not a library"), "not a shared library"},
		"empty":           {nil, "not a shared library"},
		"other processor": {header(other), "is for processors of kind"},
		"other library":   {header(own), "no function GetPjrtApi"},
	} {
		path := filepath.Join(t.TempDir(), File)
		if err := os.WriteFile(path, c.data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := Check(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	for _, c := range []struct {
		major, minor  int
		remark, fails bool
	}{{0, 115, false, false}, {0, 54, true, false}, {1, 0, false, true}} {
		remark, err := CheckVersion(c.major, c.minor)
		if (remark != "") != c.remark || (err != nil) != c.fails {
			t.Errorf("v%d.%d: remark %q, error %v", c.major, c.minor, remark, err)
		}
	}
}

// TestPlugins: of plugins with one name the first is listed.
func TestPlugins(t *testing.T) {
	m := fake(t, map[string]string{"HOME": "$ROOT/home", "VIRTUAL_ENV": "$ROOT/venv"}, cuda12, cuda13, goXLA, nvidia, rocm)
	plugins, err := m.Plugins()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range plugins {
		names = append(names, p.Name)
	}
	if want := []string{"cuda", "rocm", "cpu_v0.83.1"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}
