package backend

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestShippedTimes: ONNX Runtime comes before XLA before Go for each kind of network, so that Open needn't know the
// kind.
func TestShippedTimes(t *testing.T) {
	order := shippedTimes().order()
	if want := []string{"onnx", "xla:cpu", "go"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	for network, of := range shippedTimes() {
		if !slices.IsSortedFunc(order, func(p, q string) int { return cmp.Compare(of[p], of[q]) }) {
			t.Errorf("%s: times %v are in another order than %v; let Open know the kind of network", network, of, order)
		}
	}
}

// cacheIn makes dir the user's cache folder.
func cacheIn(t *testing.T, dir string) {
	t.Helper()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir) // of macOS
}

// TestKeepTimes: backends that were measured here come first, in their order here.
func TestKeepTimes(t *testing.T) {
	for _, c := range []struct {
		reason string
		times  Times
		want   []string
		whose  string
	}{
		{"nothing measured", nil, []string{"onnx", "xla:cpu", "go"}, ""},
		{"one backend has no order", Times{"a": {"go": 1}}, []string{"onnx", "xla:cpu", "go"}, ""},
		{"CUDA comes before all others anyway", Times{"a": {"onnx": 1, "xla:cuda": 2}},
			[]string{"onnx", "xla:cpu", "go"}, ""},
		{"the order of the machine", Times{"a": {"onnx": 5, "go": 9, "xla:cpu": 1}},
			[]string{"xla:cpu", "onnx", "go"}, "measured here on 2"},
		{"means of ratios, not of times", Times{"a": {"onnx": 100, "go": 110}, "b": {"onnx": 2, "go": 1}},
			[]string{"go", "onnx", "xla:cpu"}, "measured here on 2"},
		{"b was measured with one backend only", Times{"a": {"onnx": 2, "go": 1}, "b": {"onnx": 1e-9}},
			[]string{"go", "onnx", "xla:cpu"}, "measured here on 2"},
	} {
		cacheIn(t, t.TempDir())
		path, err := KeepTimes(c.times)
		if err != nil || (path != "") != (c.whose != "") {
			t.Errorf("%s: kept at %q, error %v", c.reason, path, err)
		}
		got, whose := byTime()
		if !slices.Equal(got, c.want) || !strings.Contains(whose, c.whose) || (whose == "") != (c.whose == "") {
			t.Errorf("%s: order %v, %q, want %v, %q", c.reason, got, whose, c.want, c.whose)
		}
	}
}

// TestDamagedTimes: a file that isn't one of KeepTimes is said, and the shipped order is used.
func TestDamagedTimes(t *testing.T) {
	cacheIn(t, t.TempDir())
	path, err := KeepTimes(Times{"a": {"onnx": 2, "go": 1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "{", `{"Times":{"a":{"onnx":0}}}`, `{"Times":{"a":{"torch":1}}}`} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, whose := byTime(); got[0] != "onnx" || !strings.Contains(whose, path+" can't be used") {
			t.Errorf("%q: order %v, %q", text, got, whose)
		}
	}
}
