package exec

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
)

// TestCache: a cache in a file holds the same numbers as one in memory, and its file is removed.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	for _, inFile := range []bool{false, true} {
		c, err := NewCache([]int{10, 2, 3}, inFile, dir)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, 60)
		rng := rand.New(rand.NewPCG(1, 0))
		for i := range want {
			want[i] = rng.Float32()
		}
		for _, lo := range []int{4, 0, 7} { // out of order, as workers write
			hi := map[int]int{0: 4, 4: 7, 7: 10}[lo]
			if err := c.Write(want[lo*6:hi*6], lo); err != nil {
				t.Fatal(err)
			}
		}
		all := make([]float32, 60)
		if err := c.Read(all, 0); err != nil || !slices.Equal(all, want) {
			t.Errorf("in file %t: read %v, wrote %v, error %v", inFile, all, want, err)
		}
		got := make([]float32, 12)
		if err := c.Gather(got, []int{9, 3}); err != nil || !slices.Equal(got, slices.Concat(want[54:], want[18:24])) {
			t.Errorf("in file %t: gathered %v, error %v", inFile, got, err)
		}
		x, err := c.Tensor(2, 4)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tensors.CopyFlatData[float32](x); err != nil || !slices.Equal(got, want[12:24]) {
			t.Errorf("in file %t: images 2 and 3 are %v, error %v", inFile, got, err)
		}
		c.Free()
		c.Free() // again, as it is if data share a cache
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, error %v", left, err)
	}
	if _, err := NewCache([]int{1}, true, filepath.Join(dir, "none")); err == nil ||
		!strings.Contains(err.Error(), "CacheDir") {
		t.Errorf("error %v doesn't say what to do", err)
	}
}

// TestCacheMisuse: reads and writes after Free, and out of range, are errors, in memory and in a file.
func TestCacheMisuse(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		c, err := NewCache([]int{3, 2}, inFile, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for name, call := range map[string]func() error{
				"Read beyond":         func() error { return c.Read(make([]float32, 4), 2) },
				"Read before":         func() error { return c.Read(make([]float32, 2), -1) },
				"Write beyond":        func() error { return c.Write(make([]float32, 2), 3) },
				"Gather beyond":       func() error { return c.Gather(make([]float32, 2), []int{7}) },
				"Tensor beyond":       func() error { _, err := c.Tensor(2, 4); return err },
				"Tensor out of order": func() error { _, err := c.Tensor(2, 1); return err },
			} {
				if call() == nil {
					t.Errorf("%s: no error (freed %v)", name, c.Freed())
				}
			}
			c.Free()
		}
		if err := c.Read(make([]float32, 2), 0); err == nil || c.Len() != 3 {
			t.Errorf("after Free: error %v, length %d", err, c.Len())
		}
	}
	if c := new(Cache); c.Len() != 0 || c.Read(make([]float32, 1), 0) == nil {
		t.Error("the zero Cache isn't empty")
	}
}
