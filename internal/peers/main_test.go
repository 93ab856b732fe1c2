package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/python"
)

// TestTable: a row has accuracy and its paired difference by their definitions, or the reason why it has none, and is
// known by peer, setting, widths and half.
func TestTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.tsv")
	right := []bool{true, true, true, false}
	j := job{"onnxruntime", "MinMax", 4, 8}
	for _, r := range []row{
		{job: j, half: "a", images: 7, base: outcome{Right: right}, threads: 2,
			outcome: outcome{Versions: "x 1", Seconds: 1.6, Right: []bool{true, false, false, false}}},
		{job: j, half: "b", base: outcome{Right: right}, outcome: outcome{Reason: "no\n4 bits"}},
	} {
		if err := r.append(path); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	// 1 of 4: 100·√(0.25·0.75/4) = 21.65. Differences 0, -1, -1, 0: mean -0.5, 100·√((0.5 - 0.25)/4) = 25.
	want := []string{"onnxruntime", "MinMax", "4", "8", "half-a", "7", "4", "25.00", "21.65", "-50.00", "25.00", "2", "2"}
	if got := strings.Split(lines[1], "\t"); !slices.Equal(got[:len(want)], want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !strings.Contains(lines[2], "\t-\t-\t-\t-\t-\t") || !strings.Contains(lines[2], "\tno 4 bits\t") {
		t.Errorf("a failed row is %q", lines[2])
	}
	for _, c := range []struct {
		j    job
		half string
		want bool
	}{{j, "a", true}, {j, "b", true}, {j, "c", false}, {job{j.peer, j.setting, 8, 8}, "a", false}} {
		if got, err := has(path, c.j, c.half); err != nil || got != c.want {
			t.Errorf("%+v, half %s: %t, error %v", c.j, c.half, got, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{nil, {"-data=x", "-checkpoint=y", "another"}, {"-data=x", "-checkpoint=y"},
		{"-data=x", "-checkpoint=y", "-half=c", "nncf"}, {"-data=x", "-checkpoint=y", "nncf:MinMax"},
		{"-data=x", "nncf"}} {
		if _, _, err := parse(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	s, names, err := parse([]string{"-data=x", "-checkpoint=y", "nncf", "pdquant:nearest"})
	if err != nil || s.half != "a" || !slices.Equal(names, []string{"nncf", "pdquant:nearest"}) {
		t.Errorf("%+v %q %v", s, names, err)
	}
}

// TestArrays: NumPy reads the arrays as they were written.
func TestArrays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.npz")
	im := datasets.Images{Channels: 1, Height: 1, Width: 2, Pixels: []uint8{0, 255, 51, 102}, Labels: []int32{3, 1},
		Classes: []string{"0", "1", "2", "3"}, Mean: []float32{0.5}, Std: []float32{0.5}}
	if err := arrays(t.Context(), path, im); err != nil {
		t.Fatal(err)
	}
	got := python.Run(t, python.With(t, "numpy"), filepath.Dir(path), "import numpy as np\na = np.load('x.npz')\n"+
		"print(a['images'].shape, a['images'].dtype, a['images'].round(3).ravel().tolist(), a['labels'].tolist())\n")
	if want := "(2, 1, 1, 2) float32 [-1.0, 1.0, -0.6"; !strings.HasPrefix(got, want) || !strings.Contains(got, "[3, 1]") {
		t.Errorf("%s, want %s", got, want)
	}
}
