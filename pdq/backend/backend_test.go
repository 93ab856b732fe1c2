package backend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/pdquant/pdquant/pdq/backend/internal/pjrtlib"
)

const childEnv = "PDQUANT_TEST_OPEN"

// TestMain opens the backends named in childEnv, if that is set, and prints the results of Open: a process looks for
// libraries and loads them only once.
func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(childEnv)
	if !ok {
		os.Exit(m.Run())
	}
	for n := range strings.SplitSeq(name, " ") {
		b, note, err := Open(n)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Println(b.Name()+":", note)
	}
}

// openInChild returns the result of Open(name) in a process with the environment env, in which only the libraries that
// its variables name are installed. If name has several names, separated by spaces, each result has its line.
func openInChild(t *testing.T, name string, env ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	cmd := exec.Command(self)
	cmd.Env = []string{"PATH=" + empty, "HOME=" + empty, "XDG_CACHE_HOME=" + empty, pjrtlib.Env + "=" + empty,
		"LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH"), childEnv + "=" + name}
	cmd.Env = append(cmd.Env, env...) // the last value of a variable counts
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Open(%q) with %v: %v", name, env, err)
	}
	return strings.TrimSpace(string(out))
}

// TestOpen checks the result of each kind of name that needs no library.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "libonnxruntime.so.1")
	plugin := filepath.Join(dir, "pjrt_c_api_cpu_plugin.so")
	cuda, noCUDA := filepath.Join(dir, "jax_plugins", "xla_cuda13", "xla_cuda_plugin.so"), "no NVIDIA driver"
	if pjrtlib.This().HasNVIDIA() {
		noCUDA = "not a shared library"
	}
	if err := os.MkdirAll(filepath.Dir(cuda), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{text, plugin, cuda} {
		if err := os.WriteFile(f, []byte("not a library\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const goBackend, failure = "Go Backend: go: ", "error: backend: "
	for _, c := range []struct {
		name   string
		env    []string
		native bool // needs a binary built with cgo
		want   []string
	}{
		{"go", nil, false, []string{goBackend, "threads"}},
		{"go:ops_sequential", nil, false, []string{goBackend, "ops_sequential"}},
		{"go:nope", nil, false, []string{failure, "go", `"nope"`}},
		{"nope", nil, false, []string{failure, `"nope"`, names}},
		{"cuda", nil, false, []string{failure, `"cuda"`, names}},
		{"onnx", nil, true, []string{failure, "not installed", "make onnxruntime"}},
		{"onnx:intra_threads=1", nil, true, []string{failure, "not installed", "make onnxruntime"}},
		{"onnx", []string{libraryEnv + "=/none/lib.so"}, true,
			[]string{failure, "$" + libraryEnv, "/none/lib.so", "make onnxruntime"}},
		{"onnx:/none/libonnxruntime.so.1", nil, true, []string{failure, "/none/libonnxruntime.so.1", "make onnxruntime"}},
		{"onnx:" + dir + "/", nil, true, []string{failure, dir, "folder", "make onnxruntime"}},
		{"onnx:" + text, nil, true, []string{failure, text, "make onnxruntime"}},
		{"onnx:" + text + ",threads=2", nil, true, []string{failure, `"threads"`}},
		{"onnx:cuda", nil, true, []string{failure, "onnx: "}},
		{"xla", nil, true, []string{failure, "$" + pjrtlib.Env, "no plugin in", "make xla", "xla:/path/plugin.so"}},
		{"xla:cuda", nil, true, []string{failure, "no plugin in", "make xla"}},
		{"xla:/none/plugin.so", nil, true, []string{failure, "/none/plugin.so", "make xla"}},
		{"xla:" + plugin, nil, true, []string{failure, plugin, "not a shared library", "make xla"}},
		{"xla:cpu", []string{pjrtlib.Env + "=" + dir}, true, []string{failure, plugin, "not a shared library"}},
		{"xla:rocm", []string{pjrtlib.Env + "=" + dir}, true, []string{failure, `"rocm"`, "only cuda, cpu"}},
		{"xla:cuda", []string{pjrtlib.Env + "=" + dir}, true, []string{failure, cuda, noCUDA}},
		{"xla:" + cuda, nil, true, []string{failure, cuda, noCUDA}},
		{"xla", []string{pjrtlib.Env + "=/none/plugin.so"}, true, []string{failure, "$" + pjrtlib.Env, "/none/plugin.so"}},
		{"auto", nil, true, []string{goBackend, "auto: ", "xla:cpu: $" + pjrtlib.Env, "onnx: ONNX Runtime is not installed",
			"make onnxruntime"}},
		{"", nil, true, []string{goBackend, "make onnxruntime"}},
		{"auto", []string{pjrtlib.Env + "=" + dir}, true, []string{goBackend, "not a shared library"}},
		{"auto", []string{libraryEnv + "=/none/lib.so"}, true, []string{goBackend, "$" + libraryEnv, "/none/lib.so"}},
		{"auto", []string{libraryEnv + "=" + text}, true, []string{goBackend, text}},
		{"auto", []string{"GOMLX_BACKEND=go:ops_sequential"}, false, []string{goBackend, "ops_sequential", "$GOMLX_BACKEND"}},
		{"auto", []string{"GOMLX_BACKEND=auto"}, false, []string{goBackend}},
		{"", []string{"GOMLX_BACKEND=nope"}, false, []string{failure, names, "$GOMLX_BACKEND"}},
		{"go", []string{"GOMLX_BACKEND=nope"}, false, []string{goBackend}},
	} {
		t.Run(strings.Join(append(c.env, c.name), " "), func(t *testing.T) {
			t.Parallel()
			want := c.want
			if c.native && !native {
				want = []string{"built without cgo"}
			}
			got := openInChild(t, c.name, c.env...)
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("Open(%q) answered\n%s\nwithout %q", c.name, got, w)
				}
			}
			if strings.Contains(got, "\n") || strings.Contains(got, "backend: backend") {
				t.Errorf("Open(%q) answered more than one line, or a prefix twice:\n%s", c.name, got)
			}
		})
	}
}

func TestParseONNX(t *testing.T) {
	threads := fmt.Sprintf("intra_threads=%d", (runtime.GOMAXPROCS(0)+7)/8)
	for _, c := range []struct {
		options string
		want    onnxConfig
	}{
		{"", onnxConfig{"", true, []string{"cpu", threads}}},
		{"cpu", onnxConfig{"", true, []string{"cpu", threads}}},
		{"/a/libonnxruntime.so.1", onnxConfig{"/a/libonnxruntime.so.1", true, []string{"cpu", threads}}},
		{"libonnxruntime.so.1, log=2", onnxConfig{"libonnxruntime.so.1", true, []string{"cpu", "log=2", threads}}},
		{"Intra_Op_Num_Threads=1", onnxConfig{"", true, []string{"cpu", "Intra_Op_Num_Threads=1"}}},
		{"/a/lib.dylib,CUDA", onnxConfig{"/a/lib.dylib", false, []string{"CUDA"}}},
	} {
		if got := parseONNX(c.options); got.library != c.want.library || got.onCPU != c.want.onCPU ||
			!slices.Equal(got.options, c.want.options) {
			t.Errorf("parseONNX(%q) = %v, want %v", c.options, got, c.want)
		}
	}
}

func TestWithoutPath(t *testing.T) {
	for note, want := range map[string]string{
		"onnx: ONNX Runtime 1.30.0 at /home/a b/lib.so.1, cpu, intra_threads=1": "onnx: ONNX Runtime 1.30.0, cpu, " +
			"intra_threads=1",
		"xla:cpu: lammps-jax-pjrt-cpu 0.11.2 at /home/a/p.so, PJRT v0.115, 4 devices (auto: no NVIDIA driver)": "xla:cpu: " +
			"lammps-jax-pjrt-cpu 0.11.2, PJRT v0.115, 4 devices",
		"onnx: ONNX Runtime 1 at /a/lib.so.1, cpu (xla: no PJRT plugin is installed)": "onnx: ONNX Runtime 1, cpu",
		"go: GoMLX's Go backend, 2 threads ($GOMLX_BACKEND)":                          "go: GoMLX's Go backend, 2 threads",
		"go: GoMLX's Go backend, 2 threads, ops_sequential": "go: GoMLX's Go backend, 2 threads, " +
			"ops_sequential",
	} {
		if got := WithoutPath(note); got != want {
			t.Errorf("WithoutPath(%q) = %q, want %q", note, got, want)
		}
	}
}

// TestAvailable computes 2x+1 on each installed backend, which uses its compiler, buffers and kernels.
func TestAvailable(t *testing.T) {
	installed := Available()
	for _, kind := range []string{"go", "onnx", "xla"} {
		if !slices.ContainsFunc(installed, func(name string) bool { return strings.HasPrefix(name, kind) }) {
			t.Run(kind, func(t *testing.T) {
				_, _, err := Open(kind)
				t.Skip(err)
			})
		}
	}
	for _, name := range installed {
		t.Run(name, func(t *testing.T) {
			b, note, err := Open(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(note, "-", Workers(b), "workers")
			want := map[string]int{"go": runtime.GOMAXPROCS(0),
				"onnx": runtime.GOMAXPROCS(0) / ((runtime.GOMAXPROCS(0) + 7) / 8), "xla": 1}
			if kind, _, _ := strings.Cut(name, ":"); Workers(b) != want[kind] {
				t.Errorf("%d workers on %d processors, want %d", Workers(b), runtime.GOMAXPROCS(0), want[kind])
			}
			exec, err := graph.NewExec(b, func(x *graph.Node) *graph.Node { return graph.AddScalar(graph.MulScalar(x, 2), 1) })
			if err != nil {
				t.Fatal(err)
			}
			defer exec.Finalize()
			y, err := exec.Call1([]float32{-1, 0, 0.5, 3})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := y.Value().([]float32), []float32{-1, 1, 2, 7}; !slices.Equal(got, want) {
				t.Errorf("2x+1 = %v, want %v", got, want)
			}
		})
	}
}

// TestOnnxLoadedOnce: a process doesn't load the library of a second path, and the note says so.
func TestOnnxLoadedOnce(t *testing.T) {
	path, err := findONNX()
	if err != nil || !native || runtime.GOOS != "linux" {
		t.Skipf("needs ONNX Runtime on Linux, with cgo: %v", err)
	}
	other := filepath.Join(t.TempDir(), "libonnxruntime.so.1")
	if err := os.Link(path, other); err != nil {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(other, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first, second, _ := strings.Cut(openInChild(t, "onnx:"+path+" onnx:"+other), "\n")
	if !strings.Contains(first, path) || strings.Contains(first, "; not ") {
		t.Errorf("first note %q, want %s and no remark", first, path)
	}
	if !strings.Contains(second, "; not "+other) {
		t.Errorf("second note %q, want it to say that %s is not loaded", second, other)
	}
}

// TestReopen: a run goes on on the backend that its note names, unless another is asked for.
func TestReopen(t *testing.T) {
	_, goNote, err := Open("go")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(compute.ConfigEnvVar, "")
	for _, c := range []struct{ name, note, want, fails string }{
		{"auto", goNote, "go: ", ""},
		{"", goNote + autoMark + "the fastest installed)", "go: ", ""},
		{" go:ops_sequential", "onnx: ONNX Runtime 1.0 at /none, cpu", "go: ", ""},
		{"auto", "other: 1", "", `"other"`},
		{"auto", "other: 1", "", "give backend="},
		{"go", "other: 1", "go: ", ""},
	} {
		_, note, err := Reopen(c.name, c.note)
		if !strings.HasPrefix(note, c.want) || (err == nil) != (c.fails == "") ||
			err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("Reopen(%q, %q) gives %q, %v; want %q, %q", c.name, c.note, note, err, c.want, c.fails)
		}
	}
	t.Setenv(compute.ConfigEnvVar, "go")
	if _, note, err := Reopen("auto", "other: 1"); err != nil || !strings.HasPrefix(note, "go: ") {
		t.Errorf("$%s=go gives %q, %v", compute.ConfigEnvVar, note, err)
	}
}

// TestAutoTakesONNX: if the library is there, auto takes it and says why.
func TestAutoTakesONNX(t *testing.T) {
	path, err := findONNX()
	if err != nil || !native {
		t.Skipf("needs ONNX Runtime, with cgo: %v", err)
	}
	got := openInChild(t, "auto", libraryEnv+"="+path)
	for _, w := range []string{"onnx: ONNX Runtime", path, "cpu", "intra_threads=", "auto: ", "the fastest installed"} {
		if !strings.Contains(got, w) {
			t.Errorf("auto answered\n%s\nwithout %q", got, w)
		}
	}
}
